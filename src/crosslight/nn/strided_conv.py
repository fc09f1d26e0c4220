"""Strided convolutions that stay right on maps of a few pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosslight.nn.precision import full_precision

FEW_PIXELS = 16


class StridedConv2d(nn.Conv2d):
    """A convolution that a CPU computes in float32 where bfloat16 would be garbage.

    On maps of 4 x 2 pixels, which images of 64 x 32 become before a ResNet's last layer, torch
    2.13's bfloat16 convolution of stride 2 returns what happened to be in memory.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h', w')."""
        if maps.device.type != "cpu" or maps.shape[-2] * maps.shape[-1] > FEW_PIXELS:
            return super().forward(maps)
        with full_precision(maps):
            wide: Tensor = maps.to(torch.promote_types(maps.dtype, torch.float32))
            return super().forward(wide)


def guard_strides(network: nn.Module) -> None:
    """Puts `StridedConv2d` in place of each convolution of stride 2; the weights stay the same."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.stride == (2, 2) and module.kernel_size != (1, 1):
            module.__class__ = StridedConv2d
