"""Rows of features as the products take them: scaled, in float32 and in fewer bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.bounds import Roundings
from crosslight.evaluation.distances import FloatArray, IntArray
from crosslight.evaluation.effort import Threads
from crosslight.evaluation.pooling import in_float
from crosslight.evaluation.products import Precision, Rows


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
        return rows, Roundings(length=self.length, kept=kept, lost=lost)


def read_rows(feats: npt.NDArray[Any], rows: IntArray) -> npt.NDArray[Any]:
    """Rows of a table that may lie on disk, in float; consecutive rows are not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return in_float(feats[rows[0] : rows[-1] + 1])
    return in_float(feats[rows])
