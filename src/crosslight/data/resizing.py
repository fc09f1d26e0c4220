"""Images brought to a network's size without torch, bit for bit as with it.

Letters: H height, W width.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.types import Interpolation

PILLOWS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
_MOST_BITS = 22
_WEIGHT_LIMIT = 1 << 15


def resized(
    image: Image.Image, height: int, width: int, interpolation: Interpolation
) -> NDArray[np.uint8]:
    """An RGB image as (H, W, 3), equal to the pixels of `InferenceTransform`.

    Args:
        image: RGB of any size.
        height: H.
        width: W.
        interpolation: As in `DataConfig`.
    """
    if interpolation != "bilinear":
        return np.array(image.resize((width, height), PILLOWS[interpolation]))
    pixels: NDArray[np.uint8] = np.array(image)
    if pixels.shape[1] != width:
        pixels = _columns(pixels, width)
    if pixels.shape[0] != height:
        pixels = _columns(pixels.transpose(1, 0, 2), height).transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)


def _columns(pixels: NDArray[np.uint8], wanted: int) -> NDArray[np.uint8]:
    """Antialiased bilinear interpolation along the second axis, rounded to whole values."""
    first, weights, bits = _taps(pixels.shape[1], wanted)
    total = np.full((len(pixels), wanted, 3), 1 << (bits - 1), dtype=np.int32)
    for tap, weight in enumerate(weights.T):
        place = np.minimum(first + tap, pixels.shape[1] - 1)
        total += pixels[:, place] * weight[None, :, None]
    return (total >> bits).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _taps(given: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.int32], int]:
    """Of each wanted pixel: the first given one, whole weights from it on, and their scale's bits.

    torch weighs uint8 images by 16-bit whole numbers with as many bits as the largest allows.
    """
    scale = given / wanted
    support = max(scale, 1.0)
    centres = scale * (np.arange(wanted) + 0.5)
    first = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    last = np.minimum((centres + support + 0.5).astype(np.intp), given)
    places = first[:, None] + np.arange(2 * math.ceil(support) + 1)
    weights = 1 - np.abs((places - centres[:, None] + 0.5) / support)
    weights = np.where(places < last[:, None], weights.clip(min=0), 0)
    weights /= weights.sum(axis=1, keepdims=True)
    largest, bits = float(weights.max()), 0
    while bits < _MOST_BITS and int(0.5 + largest * (1 << (bits + 1))) < _WEIGHT_LIMIT:
        bits += 1
    return first, (weights * (1 << bits) + 0.5).astype(np.int32), bits
