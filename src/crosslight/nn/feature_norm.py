"""Normalising feature maps with leaky ReLU behind: per channel or whole, keeping only the input.

Letters: B batch, C channels, h and w the map's height and width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-5
_TINY = 1e-30
_NATIVE_FROM = 1024
"""Pixels; on smaller interleaved maps torch's group norm takes a loop without vectors."""


def instance_norm(
    maps: Tensor,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    *,
    slope: float | None = None,
) -> Tensor:
    """Each channel of each image to mean 0 and (biased) variance 1, then scaled and shifted.

    With a scale and shift that a network computes it is adaptive instance normalisation.

    Args:
        maps: (B, C, h, w).
        scale: (B, C), taken as it is, not as 1 + scale; None: 1.
        shift: (B, C); None: 0.
        slope: Of a leaky ReLU that follows; None: none.
    """
    return _normalised(maps, scale, shift, True, slope)


class SampleNorm(nn.Module):
    """(x - mean) / (std + 1e-5) over all of an image's C, h, w, scale and shift, leaky ReLU.

    The deviation is the unbiased one and the epsilon is added to it, not to the variance: MUNIT's
    definition (Huang et al., ECCV 2018), not that of `nn.LayerNorm`.

    Args:
        channels: C.
        slope: Of the leaky ReLU; None: none.
    """

    def __init__(self, channels: int, *, slope: float | None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.slope = slope

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        return _normalised(maps, self.scale[None], self.shift[None], False, self.slope)


def _normalised(
    maps: Tensor, scale: Tensor | None, shift: Tensor | None, per_channel: bool, slope: float | None
) -> Tensor:
    wide = torch.promote_types(maps.dtype, torch.float32)
    if scale is None:
        scale = torch.ones(1, maps.shape[1], dtype=wide, device=maps.device)
    if shift is None:
        shift = torch.zeros_like(scale)
    scale, shift = scale.to(wide), shift.to(wide)
    with torch.autocast(maps.device.type, enabled=False):
        if torch.compiler.is_compiling():
            mean, reciprocal = _statistics(maps, per_channel)
            step, _ = _steps(maps, reciprocal, per_channel)
            normalised = (maps.to(wide) - _spread(mean)) * _spread(step)
            out = torch.addcmul(_spread(shift), normalised, _spread(scale))
            return (out if slope is None else F.leaky_relu(out, slope)).to(maps.dtype)
        applied: Tensor = _Normalise.apply(maps, scale, shift, per_channel, slope)  # type: ignore[no-untyped-call]
    return applied


class _Normalise(torch.autograd.Function):
    """Left to autograd, several maps of the input's size would be kept for the backward pass.

    Letters: n values are normalised together, r is the reciprocal of their biased deviation,
    `step` what their differences from the mean are multiplied by.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, scale: Tensor, shift: Tensor, per_channel: bool, slope: float | None
    ) -> Tensor:
        batch, channels, height, width = maps.shape
        size = height * width
        if maps.device.type == "cpu" and (not per_channel or size >= _NATIVE_FROM):
            # Weights that are wider than the maps make its statistics as wide.
            out, mean, reciprocal = torch.native_group_norm(
                maps,
                torch.ones_like(scale[0]),
                torch.zeros_like(shift[0]),
                *(batch, channels, size),
                *((channels, EPSILON) if per_channel else (1, _TINY)),
            )
            step, _ = _steps(maps, reciprocal, per_channel)
            factor = scale if per_channel else scale * step / reciprocal
            out.mul_(_spread(factor.to(maps.dtype))).add_(_spread(shift.to(maps.dtype)))
        else:
            mean, reciprocal = _statistics(maps, per_channel)
            step, _ = _steps(maps, reciprocal, per_channel)
            out = _scaled(maps, mean, step * scale, shift)
        ctx.save_for_backward(maps, mean, reciprocal, scale, shift)
        ctx.per_channel, ctx.slope = per_channel, slope
        return out if slope is None else F.leaky_relu_(out, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        maps, mean, reciprocal, scale, shift = ctx.saved_tensors
        step, bend = _steps(maps, reciprocal, ctx.per_channel)
        if ctx.slope is not None:
            out = _scaled(maps, mean, step * scale, shift)
            gradient = torch.ops.aten.leaky_relu_backward(gradient, out, ctx.slope, False)
        size = maps.shape[2] * maps.shape[3]
        sums = gradient.sum(dim=(2, 3), dtype=scale.dtype)  # (B, C)
        products = (gradient * maps).sum(dim=(2, 3), dtype=scale.dtype)
        along = (products - mean * sums) * step  # sums of gradient times normalised map
        mean_gradient, mean_along = scale * sums / size, scale * along / size
        if not ctx.per_channel:
            mean_gradient = mean_gradient.mean(dim=1, keepdim=True)
            mean_along = mean_along.mean(dim=1, keepdim=True)
        # d/dx = step * (scale * gradient - mean_gradient - (x - mean) * bend * mean_along)
        curve = step * bend * mean_along
        constant = mean * curve - step * mean_gradient
        to_maps = gradient * _spread((step * scale).to(maps.dtype))
        to_maps.addcmul_(maps, _spread(curve.to(maps.dtype)), value=-1)
        to_maps.add_(_spread(constant.to(maps.dtype)))
        return to_maps, along.sum_to_size(scale.shape), sums.sum_to_size(shift.shape), None, None


def _statistics(maps: Tensor, per_channel: bool) -> tuple[Tensor, Tensor]:
    """Mean and reciprocal of the biased deviation, (B, C) or (B, 1), float32 or wider."""
    wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
    dims = (2, 3) if per_channel else (1, 2, 3)
    if maps.device.type == "cpu" and not torch.compiler.is_compiling():
        # Several times as fast there as var_mean, which goes value by value.
        mean = wide.mean(dim=dims, keepdim=True)
        variance = (wide - mean).square_().mean(dim=dims, keepdim=True)
    else:
        variance, mean = torch.var_mean(wide, dim=dims, correction=0, keepdim=True)
    reciprocal = (variance + (EPSILON if per_channel else _TINY)).rsqrt()
    return mean[:, :, 0, 0], reciprocal[:, :, 0, 0]


def _steps(maps: Tensor, reciprocal: Tensor, per_channel: bool) -> tuple[Tensor, Tensor]:
    """What differences from the mean are multiplied by, and how much the deviation bends that."""
    if per_channel:
        return reciprocal, reciprocal
    count = maps.shape[1] * maps.shape[2] * maps.shape[3]
    bessel = float((count / (count - 1)) ** 0.5)
    return reciprocal / (bessel + EPSILON * reciprocal), bessel * reciprocal


def _scaled(maps: Tensor, mean: Tensor, factor: Tensor, shift: Tensor) -> Tensor:
    offset = shift - mean * factor
    return torch.addcmul(_spread(offset.to(maps.dtype)), maps, _spread(factor.to(maps.dtype)))


def _spread(values: Tensor) -> Tensor:
    return values[:, :, None, None]
