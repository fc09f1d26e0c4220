"""Images in [0, 1] to what a backbone was trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crosslight.data.luma import LUMA


class Normalize(nn.Module):
    """(B, C, H, W) in [0, 1] → zero mean and unit deviation per channel.

    Args:
        mean: One value per channel.
        std: One value per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Normalises images."""
        return (images - self.mean) / self.std


def to_gray(images: Tensor) -> Tensor:
    """(B, 3, H, W) → (B, 1, H, W) by the ITU-R BT.601 luma weights; gray images stay as they are.

    Written as differences from the first channel, so that three equal channels come back exactly.
    """
    red, green, blue = images.split(1, dim=1)
    gray: Tensor = red + LUMA[1] * (green - red) + LUMA[2] * (blue - red)
    return gray
