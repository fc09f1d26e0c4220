"""Images of light in other sizes: blended between pixels where larger, averaged where smaller.

The weights and the order of the sums are those of Pillow, whose pictures these were at first.
"""

from functools import cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled


@cache
def _weights(size: int, wanted: int, *, average: bool) -> tuple[Integers, Floats]:
    """For each place of a line of `wanted`, its first source and the weights of all."""
    scale = size / wanted
    spread = max(scale, 1.0)
    support = (0.5 if average else 1.0) * spread
    first, shares = [], []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), size)
        sources = [(source - centre + 0.5) * (1.0 / spread) for source in range(low, high)]
        if average:
            own = [1.0 if -0.5 < source <= 0.5 else 0.0 for source in sources]
        else:
            own = [max(1.0 - abs(source), 0.0) for source in sources]
        used = [index for index, share in enumerate(own) if share]
        total = sum(own)
        first.append(low + used[0])
        shares.append([share / total for share in own[used[0] : used[-1] + 1]])
    weights = np.zeros((wanted, max(map(len, shares))))
    for place, share in enumerate(shares):
        weights[place, : len(share)] = share
    return np.array(first), weights


@cache
def _columns(size: int, wanted: int, channels: int, *, average: bool) -> tuple[Integers, Floats]:
    """`_weights` for lines of several channels: `(steps, wanted * channels)` each."""
    first, weights = _weights(size, wanted, average=average)
    steps = np.arange(weights.shape[1])[:, None]
    sources = np.minimum(first + steps, size - 1)[..., None] * channels + np.arange(channels)
    return sources.reshape(len(steps), -1), np.repeat(weights.T, channels, axis=1)


@compiled
def _blend(
    light: Floats, sources: Integers, shares: Floats, first: Integers, weights: Floats
) -> Floats:
    height, length = light.shape[0], sources.shape[1]
    across = np.empty((height, length), np.float32)
    sums = np.empty(length)
    for row in range(height):
        sums[:] = 0.0
        for step in range(len(sources)):
            for place in range(length):
                sums[place] += light[row, sources[step, place]] * shares[step, place]
        for place in range(length):
            across[row, place] = sums[place]
    out = np.empty((len(first), length), np.float32)
    for row in range(len(first)):
        sums[:] = 0.0
        for step in range(weights.shape[1]):
            share = weights[row, step]
            if share != 0.0:
                for place in range(length):
                    sums[place] += across[first[row] + step, place] * share
        for place in range(length):
            out[row, place] = sums[place]
    return out


def resize(light: Floats, rows: int, columns: int) -> Floats:
    """The image `(h, w, channels)` in another size, `(rows, columns, channels)` float32."""
    height, width, channels = light.shape
    average = rows < height
    across = _columns(width, columns, channels, average=average)
    down = _weights(height, rows, average=average)
    lines = np.ascontiguousarray(light, np.float32).reshape(height, width * channels)
    return _blend(lines, *across, *down).reshape(rows, columns, channels)
