"""Rows of features as the products take them: scaled, in float32 and in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.bounds import Roundings, float32_width
from crosslight.evaluation.distances import FloatArray, IntArray
from crosslight.evaluation.effort import Threads
from crosslight.evaluation.pooling import in_float
from crosslight.evaluation.products import Precision, Rows, plain_product

_DIRECTIONS = 128
_ROWS_AT_ONCE = 2048


class Subspace:
    """A few directions that hold most of the rows of a data set.

    Args:
        sample: `(n, D)` some of the rows; their span is taken.
    """

    def __init__(self, sample: npt.NDArray[np.float32]) -> None:
        self._basis = np.linalg.qr(sample.T.astype(np.float64))[0].astype(np.float32)
        self._product = plain_product()
        self._packed = self._product.pack(Rows(numbers=np.ascontiguousarray(self._basis.T)))
        basis = self._basis.astype(np.float64)
        # How far the basis is from having length 1 in every direction, after rounding.
        self._uneven = float(np.linalg.norm(basis.T @ basis - np.eye(basis.shape[1])))

    def lengths(
        self, rows: npt.NDArray[np.float32], length: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Bounds from below and above of the lengths of projected rows.

        Args:
            rows: `(n, D)`.
            length: `(n,)` their lengths, or more.
        """
        dimensions, directions = self._basis.shape
        inside = np.empty((len(rows), directions), dtype=np.float32)
        inside = self._product.multiply(Rows(numbers=rows), self._packed, inside)
        found = np.linalg.norm(inside.astype(np.float64), axis=1)
        error = float32_width(dimensions, length, (1 + self._uneven) * directions**0.5, 0.0)
        below = np.maximum(found - error, 0.0) / (1 + self._uneven) ** 0.5
        return below, (found + error) / (1 - self._uneven) ** 0.5


def make_subspace(side: Side) -> Subspace | None:
    """The span of some rows of a block; None where there are too few rows or numbers to gain."""
    rows, dimensions = side.quick.shape
    if min(rows, dimensions) < 4 * _DIRECTIONS:
        return None
    return Subspace(side.quick[:: rows // _DIRECTIONS][:_DIRECTIONS])


@dataclass(kw_only=True, eq=False)
class Side:
    """Scaled rows of queries or of a block of the gallery.

    Attributes:
        quick: `(n, D)` float32.
        length: `(n,)` lengths of the exact scaled rows.
    """

    quick: npt.NDArray[np.float32]
    length: FloatArray

    def rounded(
        self, precision: Precision, threads: Threads, subspace: Subspace | None
    ) -> tuple[Rows, Roundings]:
        """The rows in 'bf16' or 'int8', and what rounding took from them."""
        from crosslight.evaluation.arithmetic import round_to_bfloat16, round_to_int8

        n = len(self.quick)
        kept, lost = np.empty(n), np.empty(n)
        quick = self.quick
        if precision == "bf16":
            patterns = np.empty(quick.shape, dtype=np.uint16)
            threads.over(
                n,
                quick.size,
                lambda a, b: round_to_bfloat16(quick[a:b], patterns[a:b], lost[a:b], kept[a:b]),
            )
            rows = Rows(numbers=patterns)
        else:
            codes = np.empty(quick.shape, dtype=np.int8)
            steps = np.empty(n, dtype=np.float32)
            threads.over(
                n,
                quick.size,
                lambda a, b: round_to_int8(
                    quick[a:b], codes[a:b], steps[a:b], lost[a:b], kept[a:b]
                ),
            )
            rows = Rows(numbers=codes, steps=steps)
        outside, lost_inside = self.length, lost
        if subspace is not None:
            outside, lost_inside = self._split(rows, lost, subspace, threads)
        roundings = Roundings(
            length=self.length, kept=kept, lost=lost, outside=outside, lost_inside=lost_inside
        )
        return rows, roundings

    def _split(
        self, rounded: Rows, lost: FloatArray, subspace: Subspace, threads: Threads
    ) -> tuple[FloatArray, FloatArray]:
        from crosslight.evaluation.arithmetic import rest_of_bfloat16, rest_of_int8

        outside, lost_inside = np.empty(len(lost)), np.empty(len(lost))
        rest = np.empty((min(_ROWS_AT_ONCE, len(lost)), self.quick.shape[1]), dtype=np.float32)
        for low in range(0, len(lost), _ROWS_AT_ONCE):
            part = slice(low, min(low + _ROWS_AT_ONCE, len(lost)))
            quick, numbers = self.quick[part], rounded.numbers[part]
            left = rest[: len(quick)]
            if rounded.steps is None:
                threads.over(
                    len(left),
                    left.size,
                    lambda a, b, q=quick, n=numbers, r=left: (  # type: ignore[misc]
                        rest_of_bfloat16(q[a:b], n[a:b], r[a:b])
                    ),
                )
            else:
                threads.over(
                    len(left),
                    left.size,
                    lambda a, b, q=quick, n=numbers, s=rounded.steps[part], r=left: (  # type: ignore[misc]
                        rest_of_int8(q[a:b], n[a:b], s[a:b], r[a:b])
                    ),
                )
            length = self.length[part]
            below, _ = subspace.lengths(quick, length)
            # The float32 rows differ from the exact ones by one rounding, which 1e-6 covers.
            outside[part] = np.sqrt(np.maximum(length**2 - below**2, 0.0)) + 1e-6 * length
            inside = subspace.lengths(left, 1.01 * lost[part])[1]
            lost_inside[part] = np.minimum(inside, lost[part])
        return np.minimum(outside, self.length), lost_inside


def read_rows(feats: npt.NDArray[Any], rows: IntArray) -> npt.NDArray[Any]:
    """Rows of a table that may lie on disk, in float; consecutive rows are not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return in_float(feats[rows[0] : rows[-1] + 1])
    return in_float(feats[rows])
