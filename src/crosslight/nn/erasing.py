"""Random erasing of a whole batch at once, on its device (Zhong et al., AAAI 2020).

Letters: B batch, H and W image size, T attempts.
"""

from __future__ import annotations

import torch
from torch import Tensor

ATTEMPTS = 100
ASPECT = (0.3, 1 / 0.3)


def erase(images: Tensor, rectangles: Tensor) -> Tensor:
    """Sets a rectangle of each image to 0, the mean colour of normalised images.

    Args:
        images: (B, C, H, W).
        rectangles: (B, 4) whole numbers: top, left, height, width; an empty one erases nothing.
    """
    top, left, height, width = rectangles[:, :, None].unbind(1)  # (B, 1) each
    rows = torch.arange(images.shape[2], device=images.device)
    columns = torch.arange(images.shape[3], device=images.device)
    inside_rows = (rows >= top) & (rows < top + height)  # (B, H)
    inside_columns = (columns >= left) & (columns < left + width)  # (B, W)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return images.masked_fill(inside, 0.0)


def draw_rectangles(images: Tensor, *, probability: float, area: tuple[float, float]) -> Tensor:
    """A random rectangle per image, empty for those that stay whole: (B, 4) for `erase`.

    Area and aspect are drawn again, up to 100 times, until the rectangle is smaller than the image.

    Args:
        images: (B, C, H, W), of which only shape and device matter.
        probability: That an image gets one.
        area: Smallest and largest part of the image.
    """
    count, _, height, width = images.shape
    draws = torch.rand(5, count, ATTEMPTS, device=images.device)
    size = (area[0] + (area[1] - area[0]) * draws[0]) * height * width
    aspect = ASPECT[0] + (ASPECT[1] - ASPECT[0]) * draws[1]
    rows, columns = (size * aspect).sqrt().round(), (size / aspect).sqrt().round()
    fits = (rows < height) & (columns < width)
    first = fits.int().argmax(dim=1, keepdim=True)
    rows, columns, fits = (part.gather(1, first)[:, 0] for part in (rows, columns, fits))
    top = (draws[2, :, 0] * (height - rows + 1)).floor()
    left = (draws[3, :, 0] * (width - columns + 1)).floor()
    chosen = fits & (draws[4, :, 0] < probability)
    return torch.stack([top, left, rows, columns], dim=1).long() * chosen[:, None]
