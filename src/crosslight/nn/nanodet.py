"""NanoDet-g, a detector of 3.8 million parameters, with people as its one class.

The network of https://github.com/RangiLyu/nanodet (configuration nanodet-g): cross-stage partial
blocks, a path aggregation network of sums, and on each of three grids one head that scores every
cell and says, as distributions over `BINS` distances, how far the sides of the box are from it
(Li et al., Generalized Focal Loss, NeurIPS 2020). Batch normalisation is folded into convolutions.

Letters: B batch, H and W size of the input, h and w of a grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
"""Pixels of the input from one cell of a grid to the next."""

BINS = 11
"""Distances, in cells, that a side may have: 0 to 10."""

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of red, green and blue in [0, 255]; the network itself takes blue first."""

_SLOPE = 0.1
_WIDTH = 128


class NanoDet(nn.Module):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32, stride=2)
        self.stages = nn.ModuleList(
            [
                _Partial(32, residuals=1, stride=1),
                _Partial(64, residuals=2, stride=2),
                _Partial(128, residuals=2, stride=2),
                _Partial(256, residuals=3, stride=2),
            ]
        )
        self.laterals = nn.ModuleList([nn.Conv2d(c, _WIDTH, 1) for c in (128, 256, 512)])
        self.heads = nn.ModuleList(
            [
                nn.Sequential(_conv(_WIDTH, _WIDTH), nn.Conv2d(_WIDTH, 1 + 4 * BINS, 1))
                for _ in STRIDES
            ]
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """What each grid says.

        Args:
            pixels: (B, 3, H, W) blue, green, red, normalised; H and W multiples of 32.

        Returns:
            For each of `STRIDES` (B, 1 + 4 BINS, h, w): the logit of a person, and the logits of
            the distances to the left, upper, right and lower side.
        """
        features = F.max_pool2d(self.stem(pixels), kernel_size=3, stride=2, padding=1)
        grids = []
        for stage in self.stages:
            features = stage(features)
            grids.append(features)
        fine, middle, coarse = (
            lateral(grid) for lateral, grid in zip(self.laterals, grids[1:], strict=True)
        )
        middle = middle + _resized(coarse, middle)
        fine = fine + _resized(middle, fine)
        middle = middle + _resized(fine, middle)
        coarse = coarse + _resized(middle, coarse)
        return [head(grid) for head, grid in zip(self.heads, (fine, middle, coarse), strict=True)]


class _Partial(nn.Module):
    """Half of the output has been through the residuals, half is as the first layer left it."""

    def __init__(self, channels: int, *, residuals: int, stride: int) -> None:
        super().__init__()
        self.enter = _conv(channels, channels, stride=stride)
        self.residuals = nn.Sequential(*(_Residual(channels) for _ in range(residuals)))
        self.leave = _conv(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        features = self.enter(features)
        return torch.cat([self.leave(self.residuals(features)), features], dim=1)


class _Residual(nn.Module):
    """A concatenation in place of a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = _conv(channels, channels // 2)
        self.middle = _conv(channels // 2, channels // 2)

    def forward(self, features: Tensor) -> Tensor:
        features = self.enter(features)
        return torch.cat([self.middle(features), features], dim=1)


def _conv(channels: int, out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride=stride, padding=1),
        nn.LeakyReLU(_SLOPE, inplace=True),
    )


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
