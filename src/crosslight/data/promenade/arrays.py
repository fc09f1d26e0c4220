"""Array types and the just-in-time compiler, as every file of Promenade uses them."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from crosslight.machine_code import machine_code

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.uint8]

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


def rotation(axis: str, angle: float) -> Floats:
    """The right-handed 3x3 rotation about the axis `x`, `y` or `z` by an angle in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    if axis == "y":
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


def profile(position: Floats, stations: Floats | list[float], values: Floats) -> Floats:
    """A smoothed piecewise-linear curve through (station, value) pairs."""
    step = 0.035
    before = np.interp(position - step, stations, values)
    after = np.interp(position + step, stations, values)
    smooth: Floats = (before + 2 * np.interp(position, stations, values) + after) / 4
    return smooth
