"""Layer normalisation of whole feature maps as MUNIT has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-5
_TINY = 1e-30


class SampleNorm(nn.Module):
    """(x - mean) / (std + 1e-5) over all of an image's C, h, w, then scale and shift per channel.

    The deviation is the unbiased one and the epsilon is added to it, not to the variance: MUNIT's
    definition (Huang et al., ECCV 2018), not that of `nn.LayerNorm`.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        normalised: Tensor = _SampleNorm.apply(maps, self.scale, self.shift)  # type: ignore[no-untyped-call]
        return normalised


class _SampleNorm(torch.autograd.Function):
    """Keeps only its input for the backward pass; written out, four maps would be kept.

    Letters: n = C * h * w, r the reciprocal of the biased deviation, k = sqrt(n / (n - 1)), so
    that 1 / (k / r + epsilon) = r / (k + epsilon * r) is what differences from the mean are
    multiplied by.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        batch, channels, height, width = maps.shape
        # The scale makes the statistics as wide as itself, whatever the maps are.
        normalised, mean, reciprocal = torch.native_group_norm(
            maps, scale, torch.zeros_like(scale), batch, channels, height * width, 1, _TINY
        )
        ctx.save_for_backward(maps, mean, reciprocal, scale)
        correction = 1 / (_stretch(maps) + EPSILON * reciprocal)  # (B, 1)
        return normalised.mul_(_spread(correction, maps)).add_(_spread(shift[None], maps))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps, mean, reciprocal, scale = ctx.saved_tensors
        count = maps[0].numel()
        slope = reciprocal / (_stretch(maps) + EPSILON * reciprocal)  # (B, 1)
        sums = gradient.sum(dim=(2, 3), dtype=scale.dtype)  # (B, C)
        products = (gradient * maps).sum(dim=(2, 3), dtype=scale.dtype)
        along = (products - mean * sums) * slope  # sums of gradient times normalised map
        mean_gradient = (sums * scale).sum(dim=1, keepdim=True) / count
        mean_along = (along * scale).sum(dim=1, keepdim=True) / count
        # d/dx = slope * (scale * gradient - mean_gradient) - (x - mean) * bend
        bend = slope * reciprocal * _stretch(maps) * mean_along
        offset = mean * bend - slope * mean_gradient
        to_maps = gradient * _spread(slope * scale, maps)
        to_maps.addcmul_(maps, _spread(bend, maps), value=-1).add_(_spread(offset, maps))
        return to_maps, along.sum(dim=0), sums.sum(dim=0)


def _stretch(maps: Tensor) -> float:
    count = maps[0].numel()
    return float((count / (count - 1)) ** 0.5)


def _spread(values: Tensor, maps: Tensor) -> Tensor:
    return values.to(maps.dtype)[:, :, None, None]
