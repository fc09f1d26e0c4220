"""Reflection padding that stays in the arithmetic of its input and keeps nothing of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def reflected(maps: Tensor, padding: int) -> Tensor:
    """Pads every side of (B, C, h, w) by reflection; 0 gives the maps themselves.

    Autocast would make it float32 on a CPU, only for the next convolution to go back, and autograd
    would keep the input, of which nothing but the shape matters.
    """
    if not padding:
        return maps
    with torch.autocast(maps.device.type, enabled=False):
        if torch.compiler.is_compiling():
            return F.pad(maps, (padding,) * 4, mode="reflect")
        padded: Tensor = _Reflect.apply(maps, padding)  # type: ignore[no-untyped-call]
    return padded


class _Reflect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, padding: int) -> Tensor:
        ctx.padding = (padding,) * 4
        return F.pad(maps, ctx.padding, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        batch, channels, height, width = gradient.shape
        padding = ctx.padding[0]
        likeness = torch.empty(
            (batch, channels, height - 2 * padding, width - 2 * padding),
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=_format(gradient),
        )
        return torch.ops.aten.reflection_pad2d_backward(gradient, likeness, ctx.padding), None


def _format(maps: Tensor) -> torch.memory_format:
    interleaved = maps.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if interleaved else torch.contiguous_format
