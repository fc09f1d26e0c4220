"""Adaptive instance normalisation: a code decides each channel's scale and shift.

Letters: B batch, C channels, K residual blocks, h and w the map's height and width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from crosslight.nn.conv_block import SLOPE
from crosslight.nn.feature_norm import instance_norm
from crosslight.nn.padding import reflected

LAYERS = 2
"""Normalised convolutions of one residual block."""


class AdaINResidualBlock(nn.Module):
    """Two 3x3 convolutions with adaptive instance norm, and the input added to their result.

    Args:
        channels: C.
        slope: Of the leaky ReLU.
    """

    def __init__(self, channels: int, *, slope: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3)
        self.second = nn.Conv2d(channels, channels, 3)
        self.slope = slope

    def forward(self, maps: Tensor, parameters: Tensor) -> Tensor:
        """(B, C, h, w) and (B, 2 scale and shift, 2 layers, C) → (B, C, h, w)."""
        scale, shift = parameters.unbind(1)
        inner = self.first(reflected(maps, 1))
        inner = instance_norm(inner, scale[:, 0], shift[:, 0], slope=self.slope)
        inner = self.second(reflected(inner, 1))
        return maps + instance_norm(inner, scale[:, 1], shift[:, 1])


class AdaINParameters(nn.Module):
    """Appearance code to the scales and shifts of K residual blocks (DG-Net's eight MLPs).

    The code of S channels x K stripes is cut in K slices of S; slice k decides block k, through
    one MLP for its scales and one for its shifts.

    Args:
        code_channels: S.
        blocks: K.
        channels: C of the blocks.
        hidden: Width of the two hidden layers.
        slices: `channels` cuts the code as it lies in memory, channel after channel, so that a
            slice holds S / K channels with all their stripes: DG-Net's released code. `stripes`
            gives each block one stripe with all channels.
        slope: Of the leaky ReLUs.
    """

    def __init__(
        self,
        code_channels: int,
        *,
        blocks: int,
        channels: int,
        hidden: int,
        slices: Literal["channels", "stripes"],
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.channels = channels
        self.slices = slices

        def mlp() -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(code_channels, hidden),
                nn.LeakyReLU(slope),
                nn.Linear(hidden, hidden),
                nn.LeakyReLU(slope),
                nn.Linear(hidden, LAYERS * channels),
            )

        self.scale = nn.ModuleList(mlp() for _ in range(blocks))
        self.shift = nn.ModuleList(mlp() for _ in range(blocks))

    def forward(self, code: Tensor) -> Tensor:
        """(B, S, K) → (B, K, 2 scale and shift, 2 layers, C)."""
        if self.slices == "channels":
            parts = code.flatten(1).chunk(self.blocks, dim=1)
        else:
            parts = code.unbind(2)
        both = [
            torch.stack([scale(part), shift(part)], dim=1)
            for scale, shift, part in zip(self.scale, self.shift, parts, strict=True)
        ]
        stacked: Tensor = torch.stack(both, dim=1).unflatten(3, (LAYERS, self.channels))
        return stacked
