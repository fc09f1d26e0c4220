"""Array types and the just-in-time compiler, as every file of Promenade uses them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from crosslight.machine_code import machine_code

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.uint8]

Line: TypeAlias = Sequence[float]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Compiles a loop over arrays to one-threaded machine code; see `machine_code`.

    Without fast-math and without threads: the same machine gives the same bits every time.
    """
    return machine_code(function, error_model="numpy")


def unit(vectors: Floats) -> Floats:
    """Vectors `(..., 3)` scaled to length one; a zero vector stays zero."""
    length = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    scaled: Floats = vectors / (length[..., None] + 1e-9)
    return scaled


def dot(first: Floats, second: Floats) -> Floats:
    """Row-wise scalar product of `(n, 3)` arrays: `(n,)`."""
    product: Floats = np.einsum("ij,ij->i", first, second)
    return product


def cross(first: Floats, second: Floats) -> Floats:
    """Vector product of two vectors `(3,)`."""
    (a, b, c), (x, y, z) = first.tolist(), second.tolist()
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def rotation(axis: str, angle: float) -> Floats:
    """The right-handed 3x3 rotation about the axis `x`, `y` or `z` by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    if axis == "y":
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


@cache
def _counting(count: int) -> Floats:
    numbers: Floats = np.arange(count, dtype=np.float64)
    return numbers


def evenly(start: float, stop: float, count: int) -> Floats:
    """`np.linspace`, without what it does for everybody else: figures need it by the thousand."""
    numbers: Floats = _counting(count) * ((stop - start) / (count - 1)) + start
    numbers[-1] = stop
    return numbers


@compiled
def _interpolate(at: Floats, stations: Floats, values: Floats) -> Floats:
    out = np.empty(len(at))
    last = len(stations) - 1
    for index in range(len(at)):
        place = at[index]
        if place <= stations[0]:
            out[index] = values[0]
        elif place >= stations[last]:
            out[index] = values[last]
        else:
            left = 0
            while stations[left + 1] <= place:
                left += 1
            rise = values[left + 1] - values[left]
            slope = rise / (stations[left + 1] - stations[left])
            out[index] = slope * (place - stations[left]) + values[left]
    return out


def between(at: Floats, stations: Floats | Line, values: Floats | Line) -> Floats:
    """`np.interp` for short lines: straight between (station, value) pairs, level outside them."""
    return _interpolate(
        np.ascontiguousarray(at, np.float64),
        np.ascontiguousarray(stations, np.float64),
        np.ascontiguousarray(values, np.float64),
    )


def profile(position: Floats, stations: Floats | Line, values: Floats) -> Floats:
    """A smoothed piecewise-linear curve through (station, value) pairs."""
    step = 0.035
    before = between(position - step, stations, values)
    after = between(position + step, stations, values)
    smooth: Floats = (before + 2 * between(position, stations, values) + after) / 4
    return smooth
