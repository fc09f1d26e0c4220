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

from crosslight.nn.critic import ScaledCritics
from crosslight.nn.vae import HalvingConv

GanLoss = Literal["least-squares", "logarithmic"]


class PatchCritic(ScaledCritics):
    """S independent nets on images of full, half, quarter... size: n halvings and a 1x1.

    No normalisation; the width doubles with each halving. Large values mean real.

    Args:
        in_channels: C.
        width: Channels after the first halving.
        layers: n.
        scales: S.
    """

    def __init__(self, in_channels: int, *, width: int, layers: int, scales: int) -> None:
        widths = [in_channels, *(width * 2**n for n in range(layers))]
        super().__init__(
            nn.Sequential(
                *(HalvingConv(before, after, norm=False) for before, after in pairwise(widths)),
                nn.Conv2d(widths[-1], 1, 1),
            )
            for _ in range(scales)
        )


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
