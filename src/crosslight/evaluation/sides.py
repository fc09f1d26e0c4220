"""Rows of features as the products take them: scaled, in float32 and in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.errors import ProtocolError
from crosslight.evaluation.bounds import Roundings
from crosslight.evaluation.distances import FloatArray, IntArray
from crosslight.evaluation.effort import Threads
from crosslight.evaluation.pooling import in_float
from crosslight.evaluation.products import Precision, Rows

LARGEST_SQUARE = 1e280
"""Of a row; products of longer ones leave the range of float64."""


@dataclass(kw_only=True, eq=False)
class Side:
    """Scaled rows of queries or of a block of the gallery.

    Attributes:
        quick: `(n, D)` float32.
        length: `(n,)` lengths of the exact scaled rows.
    """

    quick: npt.NDArray[np.float32]
    length: FloatArray

    def rounded(self, precision: Precision, threads: Threads) -> tuple[Rows, Roundings]:
        """The rows in 'bf16', 'int8' or 'int8x2', and what rounding took from them."""
        from crosslight.evaluation.arithmetic import (
            round_to_bfloat16,
            round_to_int8,
            round_to_two_int8,
        )

        quick = self.quick
        n, dimensions = quick.shape
        kept, lost, low = np.empty(n), np.empty(n), np.zeros(n)
        steps = np.empty(n, dtype=np.float32)
        if precision == "bf16":
            numbers: npt.NDArray[Any] = np.empty((n, dimensions), dtype=np.uint16)

            def task(a: int, b: int) -> None:
                round_to_bfloat16(quick[a:b], numbers[a:b], lost[a:b], kept[a:b])

        elif precision == "int8":
            numbers = np.empty((n, dimensions), dtype=np.int8)

            def task(a: int, b: int) -> None:
                round_to_int8(quick[a:b], numbers[a:b], steps[a:b], lost[a:b], kept[a:b])

        else:
            numbers = np.empty((n, 2 * dimensions), dtype=np.int8)

            def task(a: int, b: int) -> None:
                part = slice(a, b)
                round_to_two_int8(
                    quick[part], numbers[part], steps[part], lost[part], kept[part], low[part]
                )

        threads.over(n, quick.size, task)
        rows = Rows(numbers=numbers, steps=None if precision == "bf16" else steps)
        return rows, Roundings(length=self.length, kept=kept, lost=lost, low=low)


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
