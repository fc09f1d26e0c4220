"""Rows of tables that may lie on disk, as the products take them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.errors import ProtocolError
from crosslight.evaluation.ranking.distances import FloatArray, IntArray

LARGEST_SQUARE = 1e280
"""Of a row; products of longer ones leave the range of float64."""


def in_float(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows as float32 or float64, contiguous; smaller types become float32, others float64."""
    kind: Any = np.float32 if rows.dtype in (np.float16, np.float32) else np.float64
    return np.require(rows, dtype=kind, requirements=["C", "A"])


def read_rows(feats: npt.NDArray[Any], rows: IntArray) -> npt.NDArray[Any]:
    """Rows of a table that may lie on disk, in float; consecutive rows are not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return in_float(feats[rows[0] : rows[-1] + 1])
    return in_float(feats[rows])


def require_products(squares: FloatArray, rows: npt.NDArray[Any], numbers: IntArray) -> None:
    """Refuses rows whose products leave the range of float64, or are no numbers.

    Args:
        squares: `(n,)` squared lengths of the rows.
        rows: `(n, D)`.
        numbers: `(n,)` what the rows are called.

    Raises:
        ProtocolError: A row is too long, or holds an infinite number or none.
    """
    wrong = np.flatnonzero(~(squares <= LARGEST_SQUARE))
    if len(wrong):
        row = rows[wrong[0]]
        if not np.isfinite(row).all():
            raise ProtocolError(
                f"feats[{numbers[wrong[0]]}] holds {row[~np.isfinite(row)][0]}, expected finite "
                "numbers; extract the features of this image again."
            )
        raise ProtocolError(
            f"feats[{numbers[wrong[0]]}] holds a value as large as {np.abs(row).max():.1e}, whose "
            "products overflow; scale the features down."
        )
