"""UNIT's critic of image patches at several scales, and what it and its opponent minimise.

Letters: B batch, C channels of the image, H and W its size, S scales, n halvings.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.vae import HalvingConv

GanLoss = Literal["least-squares", "logarithmic"]


class PatchCritic(nn.Module):
    """S independent nets on images of full, half, quarter... size: n halvings and a 1x1.

    No normalisation; the width doubles with each halving.

    Args:
        in_channels: C.
        width: Channels after the first halving.
        layers: n.
        scales: S.
    """

    def __init__(self, in_channels: int, *, width: int, layers: int, scales: int) -> None:
        super().__init__()
        widths = [in_channels, *(width * 2**n for n in range(layers))]
        self.critics = nn.ModuleList(
            nn.Sequential(
                *(HalvingConv(before, after, norm=False) for before, after in pairwise(widths)),
                nn.Conv2d(widths[-1], 1, 1),
            )
            for _ in range(scales)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) → S maps (B, 1, h, w), float32 or wider; large values mean real."""
        verdicts = []
        for number, critic in enumerate(self.critics):
            if number:
                images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
            verdict: Tensor = critic(images)
            verdicts.append(verdict.to(torch.promote_types(verdict.dtype, torch.float32)))
        return verdicts


def critic_loss(real: Sequence[Tensor], fake: Sequence[Tensor], kind: GanLoss) -> Tensor:
    """What a critic minimises: the mean over a scale's map, summed over the scales.

    Args:
        real: Its verdicts on real images.
        fake: Its verdicts on generated ones.
        kind: `least-squares`: (D(x) - 1)^2 + D(G(z))^2 (LSGAN); `logarithmic`: the negative of
            log D(x) + log(1 - D(G(z))), with D the logistic function of the verdict.
    """
    if kind == "least-squares":
        terms = [(r - 1).square().mean() + f.square().mean() for r, f in _pairs(real, fake)]
    else:
        terms = [F.softplus(-r).mean() + F.softplus(f).mean() for r, f in _pairs(real, fake)]
    return torch.stack(terms).sum()


def generator_loss(fake: Sequence[Tensor], kind: GanLoss) -> Tensor:
    """What a generator minimises: (D(G(z)) - 1)^2, or -log D(G(z)), which does not saturate.

    Args:
        fake: The critic's verdicts on generated images.
        kind: See `critic_loss`.
    """
    if kind == "least-squares":
        return torch.stack([(f - 1).square().mean() for f in fake]).sum()
    return torch.stack([F.softplus(-f).mean() for f in fake]).sum()


def _pairs(real: Sequence[Tensor], fake: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(real, fake, strict=True))
