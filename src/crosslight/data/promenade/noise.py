"""Smooth random patterns that repeat with period one, looked up in a small tile."""

from functools import cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, compiled

_FOLDS = (128, 8, 2.2, 9.0)
_STEP = 0.012
"""How far apart slopes of folds are measured."""


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
def _look_up(tile: Floats, across: float, along: float) -> float:
    """The noise of a tile at a point, blended between its four neighbours."""
    size = tile.shape[0]
    x = (across - np.floor(across)) * size
    y = (along - np.floor(along)) * size
    column, row = int(x), int(y)
    right, down = x - column, y - row
    # Rounding can lift a point just below a whole number to the end of the tile.
    column = column if column < size else 0
    row = row if row < size else 0
    next_column = column + 1 if column + 1 < size else 0
    next_row = row + 1 if row + 1 < size else 0
    upper = tile[row, column] * (1 - right) + tile[row, next_column] * right
    lower = tile[next_row, column] * (1 - right) + tile[next_row, next_column] * right
    blended: float = upper * (1 - down) + lower * down
    return blended


@compiled
def _look_up_all(tile: Floats, across: Floats, along: Floats) -> Floats:
    out = np.empty(across.size, np.float32)
    for index in range(across.size):
        out[index] = _look_up(tile, across[index], along[index])
    return out


def _sample(tile: Floats, across: Floats, along: Floats) -> Floats:
    if across.shape != along.shape:
        across, along = across + 0 * along, along + 0 * across
    flat = _look_up_all(
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
    return _sample(_tile(*_FOLDS), across, along)


@compiled
def _fold_slopes(tile: Floats, across: Floats, along: Floats, step: np.float32) -> Floats:
    out = np.empty((across.size, 3), np.float32)
    for index in range(across.size):
        here, there = np.float64(across[index]), np.float64(across[index] + step)
        up = along[index]
        depth = np.float32(_look_up(tile, here, up))
        out[index, 0] = depth
        out[index, 1] = np.float32(_look_up(tile, there, up)) - depth
        out[index, 2] = np.float32(_look_up(tile, here, up + _STEP)) - depth
    return out


def fold_slopes(across: Floats, along: Floats) -> Floats:
    """`folds` at `n` points and how much deeper they are a step across and a step along, `(n, 3)`.

    Args:
        across: `(n,)` float32.
        along: `(n,)` float64.
    """
    return _fold_slopes(_tile(*_FOLDS), across, along, np.float32(_STEP))
