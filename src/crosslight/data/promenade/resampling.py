"""Images of light in other sizes: blended between pixels where larger, averaged where smaller.

The weights and the order of the sums are those of Pillow, whose pictures these were at first.
"""

import math
from functools import cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled


@cache
def _weights(size: int, wanted: int, *, average: bool) -> tuple[Integers, Floats]:
    """For each place of a line of `wanted`, its first source and the weights of all."""
    scale = size / wanted
    spread = max(scale, 1.0)
    support = (0.5 if average else 1.0) * spread
    first = np.empty(wanted, np.int64)
    weights = np.zeros((wanted, math.ceil(support) * 2 + 1))
    for place in range(wanted):
        centre = (place + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), size)
        sources = [(source - centre + 0.5) * (1.0 / spread) for source in range(low, high)]
        if average:
            shares = [1.0 if -0.5 < source <= 0.5 else 0.0 for source in sources]
        else:
            shares = [max(1.0 - abs(source), 0.0) for source in sources]
        total = sum(shares)
        first[place] = low
        weights[place, : high - low] = [share / total for share in shares]
    return first, weights


@compiled
def _blend(light: Floats, first_x: Integers, x: Floats, first_y: Integers, y: Floats) -> Floats:
    height, width, channels = light.shape
    across = np.empty((height, len(x), channels), np.float32)
    for row in range(height):
        for column in range(len(x)):
            start = first_x[column]
            for channel in range(channels):
                total = 0.0
                for step in range(min(x.shape[1], width - start)):
                    total += (
                        np.float64(np.float32(light[row, start + step, channel])) * x[column, step]
                    )
                across[row, column, channel] = total
    out = np.empty((len(y), len(x), channels), np.float32)
    sums = np.empty(len(x) * channels)
    flat, lines = across.reshape(height, -1), out.reshape(len(y), -1)
    for row in range(len(y)):
        sums[:] = 0.0
        for step in range(min(y.shape[1], height - first_y[row])):
            share = y[row, step]
            if share != 0.0:
                for place in range(len(sums)):
                    sums[place] += np.float64(flat[first_y[row] + step, place]) * share
        for place in range(len(sums)):
            lines[row, place] = sums[place]
    return out


def resize(light: Floats, rows: int, columns: int) -> Floats:
    """The image `(h, w, channels)` in another size, `(rows, columns, channels)` float32."""
    average = rows < light.shape[0]
    first_x, x = _weights(light.shape[1], columns, average=average)
    first_y, y = _weights(light.shape[0], rows, average=average)
    return _blend(np.ascontiguousarray(light), first_x, x, first_y, y)
