"""What "near" can mean, and the names of the arrays of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.types import Distance

DISTANCE_TEXT: dict[Distance, str] = {
    "cosine": "1 - cosine of the angle (a row of zeros has cosine 0), computed in float64",
    "euclidean": "Euclidean, computed in float64",
    "dot": "inner product, larger is nearer, computed in float64",
}

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def unit_rows(rows: npt.NDArray[Any]) -> FloatArray:
    """`(N, D)` rows of unit length in float64; a row of zeros stays one."""
    rows = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = rows / np.where(norms > 0, norms, 1.0)
    return unit


def rows_to_average(rows: npt.NDArray[Any], distance: Distance) -> FloatArray:
    """`(N, D)` rows whose mean may stand in for them, in float64: the cosine knows no length."""
    return unit_rows(rows) if distance == "cosine" else np.asarray(rows, dtype=np.float64)
