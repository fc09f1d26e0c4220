"""Atrous spatial pyramid pooling as DG-Net's structure encoder has it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crosslight.nn.conv_block import ConvBlock


class ASPP(nn.Module):
    """Four branches that look differently far, concatenated and fused by a 1x1 convolution.

    The first branch is a 1x1 convolution, each other one a 1x1 and a dilated 3x3. Nothing is
    activated at the end of a branch nor after the fusion, so a channel of the result has zero
    mean and unit variance in each image.

    Args:
        in_channels: Channels that come in.
        branch_channels: Channels of each branch; four times as many go out.
        dilations: Of the three 3x3 convolutions.
        slope: Of the leaky ReLUs.
    """

    def __init__(
        self,
        in_channels: int,
        branch_channels: int,
        dilations: Sequence[int],
        *,
        slope: float,
    ) -> None:
        super().__init__()
        self.near = ConvBlock(in_channels, branch_channels, 1, activate=False)
        self.far = nn.ModuleList(
            nn.Sequential(
                ConvBlock(in_channels, branch_channels, 1, slope=slope),
                ConvBlock(branch_channels, branch_channels, 3, dilation=d, activate=False),
            )
            for d in dilations
        )
        total = branch_channels * (1 + len(dilations))
        self.fuse = ConvBlock(total, total, 1, activate=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, in_channels, h, w) → (B, 4 * branch_channels, h, w)."""
        branches = [self.near(maps), *(branch(maps) for branch in self.far)]
        fused: Tensor = self.fuse(torch.cat(branches, dim=1))
        return fused
