"""What "near" can mean, and the names of the arrays of this room."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from crosslight.errors import ConfigError
from crosslight.types import Distance

DISTANCE_TEXT: dict[Distance, str] = {
    "cosine": "1 - cosine of the angle (a row of zeros has cosine 0), computed in float64",
    "euclidean": "Euclidean, computed in float64",
    "dot": "inner product, larger is nearer, computed in float64",
}

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def check_distance(name: str) -> Distance:
    """The name itself, if it is one of the distances.

    Raises:
        ConfigError: It is not.
    """
    for distance in get_args(Distance):
        if name == distance:
            return name  # type: ignore[return-value]
    raise ConfigError(
        f"Distance '{name}' is unknown; choose one of {', '.join(get_args(Distance))}."
    )
