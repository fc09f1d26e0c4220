"""Whether a picture can show anybody."""

from __future__ import annotations

import numpy as np
from PIL import Image

SMALLEST_PX = (12, 24)
"""Width and height, below which nobody is recognised."""

_FLAT = 2.0
"""Standard deviation of the gray levels, of 255, below which there is nothing in a picture."""


def fault_of(picture: Image.Image) -> str | None:
    """Why an answer about a picture means nothing, for a sentence; None: it may mean something."""
    width, height = SMALLEST_PX
    if picture.width < width or picture.height < height:
        return (
            f"has {picture.width} x {picture.height} pixels, and nobody is recognised in fewer "
            f"than {width} x {height}"
        )
    if np.asarray(picture.convert("L"), dtype=np.float32).std() < _FLAT:
        return "is of one gray and shows nobody"
    return None
