"""Smooth random patterns that repeat with period one, looked up in a small tile."""

from functools import cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, compiled


@cache
def _tile(size: int, seed: int, slope: float, cutoff: float) -> Floats:
    """Noise whose spectrum falls with `slope` and ends at `cutoff` waves per period."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(size, size)))
    waves = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None]) * size
    spectrum *= np.exp(-((waves / cutoff) ** 4)) / np.maximum(waves, 1.5) ** (slope / 2 + 0.4)
    tile = np.fft.ifft2(spectrum).real
    normalised: Floats = ((tile - tile.mean()) / tile.std()).astype(np.float32)
    return normalised


@compiled
def _look_up(tile: Floats, across: Floats, along: Floats) -> Floats:
    size = tile.shape[0]
    out = np.empty(across.size, np.float32)
    for index in range(across.size):
        x = (across[index] - np.floor(across[index])) * size
        y = (along[index] - np.floor(along[index])) * size
        column, row = int(x), int(y)
        right, down = x - column, y - row
        column, row = column % size, row % size
        next_column, next_row = (column + 1) % size, (row + 1) % size
        upper = tile[row, column] * (1 - right) + tile[row, next_column] * right
        lower = tile[next_row, column] * (1 - right) + tile[next_row, next_column] * right
        out[index] = upper * (1 - down) + lower * down
    return out


def _sample(tile: Floats, across: Floats, along: Floats) -> Floats:
    across, along = np.broadcast_arrays(across, along)
    flat = _look_up(
        tile,
        np.ascontiguousarray(across, np.float64).ravel(),
        np.ascontiguousarray(along, np.float64).ravel(),
    )
    return flat.reshape(across.shape)


def texture(across: Floats, along: Floats) -> Floats:
    """Fractal noise of unit variance with period one in both directions; shapes broadcast."""
    return _sample(_tile(256, 7, 1.6, 1e9), across, along)


def folds(across: Floats, along: Floats) -> Floats:
    """Low-pass noise of unit variance with period one: broad-band noise would look like plaster."""
    return _sample(_tile(128, 8, 2.2, 9.0), across, along)
