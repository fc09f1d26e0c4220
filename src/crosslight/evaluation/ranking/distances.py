"""What "near" can mean, and the names of the arrays of this room."""

from __future__ import annotations

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
