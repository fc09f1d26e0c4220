"""The convolution of MUNIT's family of generators: reflection padding, norm, leaky ReLU.

Letters: B batch, C channels, h and w the map's height and width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.feature_norm import instance_norm
from crosslight.nn.padding import reflected

SLOPE = 0.2
"""Of the leaky ReLU, unless a system has another."""


class ConvBlock(nn.Module):
    """Reflection padding, convolution with bias, instance norm, leaky ReLU; the size h/s x w/s.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        kernel: Side of the kernel, odd.
        stride: s.
        dilation: Distance of the kernel's taps.
        norm: Whether each channel of each image is normalised, without learnt scale and shift.
        activate: Whether the leaky ReLU follows.
        slope: Of the leaky ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        norm: bool = True,
        activate: bool = True,
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, dilation=dilation)
        self.padding = dilation * (kernel // 2)
        self.norm = norm
        self.slope = slope if activate else None

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out_channels, h / s, w / s)."""
        maps = self.conv(reflected(maps, self.padding))
        if self.norm:
            return instance_norm(maps, slope=self.slope)
        return maps if self.slope is None else F.leaky_relu(maps, self.slope, inplace=True)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and the input added to their result; nothing after the sum.

    Args:
        channels: C.
        norm: See `ConvBlock`.
        slope: Of the leaky ReLU.
    """

    def __init__(self, channels: int, *, norm: bool = True, slope: float) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels, 3, norm=norm, slope=slope)
        self.second = ConvBlock(channels, channels, 3, norm=norm, activate=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        total: Tensor = maps + self.second(self.first(maps))
        return total


def init_kaiming(module: nn.Module) -> None:
    """Kaiming normal (fan in) for the weights of convolutions and linear layers, bias 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
