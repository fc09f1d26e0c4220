"""A critic of images at several scales, with the gradient penalty on real ones.

Letters: B batch, H and W image size, S scales.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.conv_block import SLOPE, ConvBlock, ResidualBlock
from crosslight.nn.precision import wide


class ScaledCritics(nn.Module):
    """Independent critics of one image: the first of full size, each next one of half the last.

    Args:
        critics: One for each scale; their convolutions start from a normal distribution of 0.02.
    """

    def __init__(self, critics: Iterable[nn.Module]) -> None:
        super().__init__()
        self.critics = nn.ModuleList(critics)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) → a map (B, 1, h, w) of each critic, float32 or wider."""
        verdicts = []
        for number, critic in enumerate(self.critics):
            if number:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
            verdict: Tensor = critic(images)
            verdicts.append(wide(verdict))
        return verdicts


class MultiScaleCritic(ScaledCritics):
    """S independent patch critics on images of full, half, quarter... size (DG-Net's D).

    Each: 1x1, 3x3, 3x3 stride 2, 3x3, 3x3 stride 2 to twice the width, four residual blocks and a
    plain 1x1 convolution to one channel: maps of H / 4 x W / 4, H / 8 x W / 8, ... No
    normalisation.

    Args:
        width: Channels of the first layers.
        scales: S.
        blocks: Residual blocks.
        slope: Of the leaky ReLUs.
    """

    def __init__(self, *, width: int, scales: int, blocks: int = 4, slope: float = SLOPE) -> None:
        def critic() -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(3, width, 1, norm=False, slope=slope),
                ConvBlock(width, width, 3, norm=False, slope=slope),
                ConvBlock(width, width, 3, stride=2, norm=False, slope=slope),
                ConvBlock(width, width, 3, norm=False, slope=slope),
                ConvBlock(width, 2 * width, 3, stride=2, norm=False, slope=slope),
                *(ResidualBlock(2 * width, norm=False, slope=slope) for _ in range(blocks)),
                nn.Conv2d(2 * width, 1, 1),
            )

        super().__init__(critic() for _ in range(scales))


def gradient_penalty(verdicts: list[Tensor], images: Tensor) -> Tensor:
    """R1: squared norm of the gradient of a scale's summed verdicts at the image, over all scales.

    Args:
        verdicts: Of a critic for `images`.
        images: (B, 3, H, W), a leaf that requires a gradient.

    Returns:
        (B,), with a graph to the critic's weights.
    """
    penalty = torch.zeros(len(images), dtype=verdicts[0].dtype, device=images.device)
    for verdict in verdicts:
        (slope,) = torch.autograd.grad(verdict.sum(), images, create_graph=True)
        penalty = penalty + slope.square().flatten(1).sum(dim=1)
    return penalty
