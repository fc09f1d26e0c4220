"""The networks of DG-Net (Zheng et al., CVPR 2019, section 4.1 and appendix, and its release).

All of them see ImageNet-normalised images. Letters: B batch, H and W image size, A channels of
the appearance encoder's map, S channels of the structure code, K the blocks of the decoder and
the stripes of the appearance code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from crosslight.nn.adain import AdaINResidualBlock
from crosslight.nn.aspp import ASPP
from crosslight.nn.backbones import Backbone
from crosslight.nn.conv_block import SLOPE, ConvBlock, ResidualBlock
from crosslight.nn.edges import soft_edges
from crosslight.nn.feature_norm import SampleNorm
from crosslight.nn.pooling import stripe_average, stripe_maximum
from crosslight.nn.precision import wide
from crosslight.nn.upsample import UpsampleConv

STRIPES = 4
"""K."""
EDGE_NOISE = 0.1
"""Deviation of the noise on edges in training, as in the release's edge mode."""
StructureSource: TypeAlias = Literal["gray", "edge", "gray+edge"]
_CHANNELS = {"gray": 1, "edge": 1, "gray+edge": 2, "colour": 3}


class AppearanceEncoder(nn.Module):
    """E_a: the re-identification backbone, pooled twice.

    Args:
        backbone: Of any family.
        pooling: The largest value as in DG-Net, or the mean.

    Attributes:
        channels: A.
    """

    def __init__(self, backbone: Backbone, *, pooling: Literal["max", "avg"] = "max") -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = backbone.channels
        self.pooling = pooling

    def forward(self, images: Tensor, modality: Tensor | None = None) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """(B, 3, H, W) → appearance code (B, A, K), a value per stripe, and vector (B, A).

        Every light is seen alike.
        """
        maps = self.backbone(images)
        if self.pooling == "avg":
            maps = wide(maps)
            return stripe_average(maps, STRIPES), maps.mean(dim=(2, 3))
        code = wide(stripe_maximum(maps, STRIPES))
        return code, code.amax(dim=2)


class StructureEncoder(nn.Module):
    """E_s: an image to a map at a quarter of its size; every channel is instance-normalised.

    Args:
        width: Channels of the first convolution; 8 times as many go out.
        dilations: Of the pyramid's three 3x3 convolutions.
        source: What is looked at; `gray` as published, `colour` is the image as it comes.
        slope: Of the leaky ReLUs.

    Attributes:
        channels: S.
    """

    def __init__(
        self,
        width: int,
        dilations: Sequence[int],
        *,
        source: StructureSource | Literal["colour"],
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        self.channels = 8 * width
        self.source = source
        self.layers = nn.Sequential(
            ConvBlock(_CHANNELS[source], width, 3, stride=2, slope=slope),
            ConvBlock(width, 2 * width, 3, slope=slope),
            ConvBlock(2 * width, 2 * width, 3, slope=slope),
            ConvBlock(2 * width, 4 * width, 3, stride=2, slope=slope),
            *(ResidualBlock(4 * width, slope=slope) for _ in range(4)),
            ASPP(4 * width, 2 * width, dilations, slope=slope),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, S, H / 4, W / 4); gray is the mean of the normalised channels."""
        gray = images.mean(dim=1, keepdim=True)
        if self.source == "colour":
            looked_at = images
        elif self.source == "gray":
            looked_at = gray
        else:
            edges = soft_edges(gray)
            if self.training:
                edges = edges + EDGE_NOISE * torch.randn_like(edges)
            looked_at = edges if self.source == "edge" else torch.cat([gray, edges], dim=1)
        code: Tensor = self.layers(looked_at)
        return code


class Decoder(nn.Module):
    """G: a structure code to an image, its residual blocks coloured by the appearance code.

    Args:
        channels: S.
        doublings: How often the code's size doubles, and its channels halve, to the image's.
        slope: Of the leaky ReLUs.
    """

    def __init__(self, channels: int, *, doublings: int = 2, slope: float = SLOPE) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            AdaINResidualBlock(channels, slope=slope) for _ in range(STRIPES)
        )
        widths = [channels // 2**n for n in range(doublings + 1)]
        self.up = nn.Sequential()
        for before, after in pairwise(widths):
            self.up.extend([UpsampleConv(before, after), SampleNorm(after, slope=slope)])
        last = widths[-1]
        self.out = nn.Sequential(
            ConvBlock(last, last, 3, norm=False, slope=slope),
            ConvBlock(last, last, 3, norm=False, slope=slope),
            nn.Conv2d(last, 3, 1),
        )

    def forward(self, structure: Tensor, adain: Tensor) -> Tensor:
        """(B, S, h, w) and (B, K, 2, 2, S) → (B, 3, H, W), normalised, not bounded, float32."""
        maps = structure
        for block, parameters in zip(self.blocks, adain.unbind(1), strict=True):
            maps = block(maps, parameters)
        images: Tensor = self.out(self.up(maps))
        return wide(images)
