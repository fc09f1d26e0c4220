"""Padding that stays in the arithmetic of its input, and repeats its gradients on a GPU.

torch's gradients of padding add in whatever order a GPU's threads come to; here they are sums of
slices there. On a CPU torch's own are as repeatable and faster.
"""

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


def replicated(maps: Tensor, padding: int) -> Tensor:
    """Pads every side of (B, C, h, w) with the nearest value."""
    # torch.compile expects the native padding's gradient in another memory format than it has.
    if torch.compiler.is_compiling() or maps.is_cuda:
        return _widened(_widened(maps, padding, 2), padding, 3)
    with torch.autocast(maps.device.type, enabled=False):
        return F.pad(maps, (padding,) * 4, mode="replicate")


def _widened(maps: Tensor, padding: int, dim: int) -> Tensor:
    last = maps.shape[dim] - 1
    before, after = maps.narrow(dim, 0, 1), maps.narrow(dim, last, 1)
    return torch.cat([*[before] * padding, maps, *[after] * padding], dim=dim)


def folded(gradient: Tensor, padding: int) -> Tensor:
    """The gradient of `reflected`: what lies in the padding is added where it was reflected."""
    for dim in (2, 3):
        length = gradient.shape[dim] - 2 * padding
        inner = gradient.narrow(dim, padding, length)
        first = _placed(gradient.narrow(dim, 0, padding).flip(dim), 1, length, dim)
        last = gradient.narrow(dim, padding + length, padding).flip(dim)
        gradient = inner + first + _placed(last, length - 1 - padding, length, dim)
    return gradient


def _placed(part: Tensor, start: int, length: int, dim: int) -> Tensor:
    around = [0, 0, 0, 0]
    place = 2 * (3 - dim)
    around[place : place + 2] = start, length - start - part.shape[dim]
    return F.pad(part, around)


class _Reflect(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, padding: int) -> Tensor:
        ctx.padding = (padding,) * 4
        return F.pad(maps, ctx.padding, mode="reflect")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        padding = ctx.padding[0]
        if gradient.is_cuda:
            return folded(gradient, padding), None
        batch, channels, height, width = gradient.shape
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
