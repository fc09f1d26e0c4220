"""The codes of a flat scan (flat_scan.py): 2 bits for each number of a vector, 4 where few.

turbovec makes them, keeps them in its own format, and compares those that a mask leaves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from crosslight.files import written_whole
from crosslight.gallery.stores.lance.scan_files import Halves, NoScanError, State
from crosslight.gallery.stores.rows import Vectors

LEAST_DIM = 16
"""Numbers per vector from which codes find enough of the nearest."""

_LARGEST = float(np.finfo(np.float16).max)
_FEW_BITS_FROM = 256
_LANES = 8  # a code's length is a multiple of it


def is_possible(dim: int) -> str | None:
    """Why vectors of this length cannot be scanned here; None where they can."""
    if dim < LEAST_DIM:
        return f"vectors of {dim} numbers have no codes that find enough"
    try:
        import turbovec  # noqa: F401
    except ImportError:
        return "turbovec is not installed (pip install 'crosslight[gallery]', where it has a wheel)"
    return None


def centred(state: State, halves: Halves) -> State:
    """Codes are of what is left of a vector beside what all have in common.

    That changes no order of inner products with a query. For the Euclidean distance, a vector gets
    one number more, so that an inner product gives the order of distances:
    q·x - |x|²/2, from which a middle value is taken, and which is weighed so that query and row
    share the error of coding it.
    """
    vectors = _finite(halves)
    centre = vectors.mean(axis=0)
    squares = np.square((vectors - centre).astype(np.float64)).sum(axis=1) / 2
    spread = float(squares.std())
    return replace(
        state,
        centre=[float(number) for number in centre],
        middle=float(squares.mean()),
        weight=1 / np.sqrt(spread) if spread > 0 else 1.0,
    )


def to_code(state: State, halves: Halves) -> Vectors:
    """(N, width) of which the codes are made."""
    wide = np.zeros((len(halves), _width(state)), np.float32)
    wide[:, : state.dim] = _finite(halves) - np.array(state.centre, np.float32)
    if state.distance == "euclidean":
        squares = np.square(wide[:, : state.dim].astype(np.float64)).sum(axis=1) / 2
        wide[:, state.dim] = state.weight * (squares - state.middle)
    return wide


def asked(state: State, queries: Vectors) -> Vectors:
    """(Q, width) that the codes are asked with."""
    wide = np.zeros((len(queries), _width(state)), np.float32)
    wide[:, : state.dim] = queries
    if state.distance == "euclidean":
        wide[:, : state.dim] -= np.array(state.centre, np.float32)
        wide[:, state.dim] = -1 / state.weight
    return wide


def _finite(halves: Halves) -> Vectors:
    return np.nan_to_num(halves.astype(np.float32), posinf=_LARGEST, neginf=-_LARGEST)


def _width(state: State) -> int:
    return -(-(state.dim + (state.distance == "euclidean")) // _LANES) * _LANES


def new_index(state: State) -> Any:
    """Turbovec's index of no rows.

    Raises:
        NoScanError: turbovec is missing or fails.
    """
    with engine():
        from turbovec import TurboQuantIndex

        bits = 2 if state.dim >= _FEW_BITS_FROM else 4
        return TurboQuantIndex(dim=_width(state), bit_width=bits)


def read(folder: Path, state: State) -> Any:
    """Turbovec's index of the rows that have codes on the disk.

    Raises:
        OSError: The file cannot be read.
        NoScanError: It is damaged, or turbovec is missing or fails.
    """
    with engine():
        from turbovec import TurboQuantIndex

        content = state.codes(folder).read_bytes()
        if zlib.crc32(content) != state.codes_sum:
            raise NoScanError("codes are damaged")
        index = TurboQuantIndex.from_bytes(content)
        if len(index) != state.coded:
            raise NoScanError(f"{len(index)} codes, not {state.coded}")
        return index


def write(folder: Path, state: State, index: Any) -> State:
    """With the codes of all rows on the disk.

    Raises:
        OSError: The disk fails or is full.
        NoScanError: turbovec fails.
    """
    with engine():
        content = index.to_bytes()
    state = replace(state, coded=state.rows, codes_sum=zlib.crc32(content))
    with written_whole(state.codes(folder)) as file:
        file.write(content)
    return state


@contextmanager
def engine() -> Iterator[None]:
    """Turns what turbovec raises, native code that panics included, into a NoScanError."""
    try:
        yield
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        raise NoScanError(str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise NoScanError(str(error)) from error
        raise
