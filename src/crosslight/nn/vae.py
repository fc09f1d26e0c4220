"""The two halves of UNIT's variational autoencoder (Liu et al., NIPS 2017; its code of 2018).

Images are in [-1, 1]. A code is the mean of a normal distribution of variance 1 at each place of
a map a quarter of the image's size. Letters: B batch, C channels of the image, H and W its size,
K channels of the code.
"""

from __future__ import annotations

from torch import Tensor, nn

from crosslight.nn.conv_block import SLOPE, ConvBlock, ResidualBlock
from crosslight.nn.feature_norm import SampleNorm, instance_norm
from crosslight.nn.padding import reflected
from crosslight.nn.precision import wide
from crosslight.nn.upsample import UpsampleConv

SHRINK = 4
"""Height and width of an image over those of its code."""


class HalvingConv(nn.Module):
    """Reflection padding by 1, 4x4 convolution with stride 2, norm, leaky ReLU: half the size.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        norm: Whether each channel of each image is normalised, without learnt scale and shift.
        slope: Of the leaky ReLU; 0 is the plain one.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, norm: bool, slope: float = SLOPE
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 4, 2)
        self.norm = norm
        self.slope = slope

    def forward(self, maps: Tensor) -> Tensor:
        """(B, in_channels, h, w) → (B, out_channels, h / 2, w / 2)."""
        maps = self.conv(reflected(maps, 1))
        if self.norm:
            return instance_norm(maps, slope=self.slope)
        return nn.functional.leaky_relu(maps, self.slope, inplace=True)


class Encoder(nn.Module):
    """An image to the mean of its code.

    7x7, two halvings to K channels, residual blocks with instance normalisation.

    Args:
        in_channels: C.
        width: Channels of the first convolution; K is 4 times as many.
        blocks: Residual blocks.
        norm: Instance normalisation in the first three layers too. It takes an image's overall
            brightness and cast of colour away and bounds the code, so that noise of variance 1
            hides much of it where K is small.
        slope: Of the leaky ReLUs; 0 is the plain one.

    Attributes:
        channels: K.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: int,
        blocks: int,
        norm: bool = True,
        slope: float = SLOPE,
    ) -> None:
        super().__init__()
        self.channels = 4 * width
        self.layers = nn.Sequential(
            ConvBlock(in_channels, width, 7, norm=norm, slope=slope),
            HalvingConv(width, 2 * width, norm=norm, slope=slope),
            HalvingConv(2 * width, 4 * width, norm=norm, slope=slope),
            *(ResidualBlock(4 * width, slope=slope) for _ in range(blocks)),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) → (B, K, H / 4, W / 4)."""
        mean: Tensor = self.layers(images)
        return mean


class Decoder(nn.Module):
    """A code to an image: residual blocks, two doublings, 7x7, tanh.

    Args:
        out_channels: C.
        width: As of the encoder.
        blocks: Residual blocks.
        slope: As of the encoder.
    """

    def __init__(self, out_channels: int, *, width: int, blocks: int, slope: float = SLOPE) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(ResidualBlock(4 * width, slope=slope) for _ in range(blocks)),
            UpsampleConv(4 * width, 2 * width),
            SampleNorm(2 * width, slope=slope),
            UpsampleConv(2 * width, width),
            SampleNorm(width, slope=slope),
            ConvBlock(width, out_channels, 7, norm=False, activate=False),
        )

    def forward(self, codes: Tensor) -> Tensor:
        """(B, K, H / 4, W / 4) → (B, C, H, W) in [-1, 1], float32 or wider."""
        images: Tensor = self.layers(codes)
        return wide(images).tanh()


def kl_to_standard_normal(mean: Tensor) -> Tensor:
    """Twice the divergence of N(mean, 1) from N(0, 1), averaged over the code, as UNIT weighs it.

    Args:
        mean: (B, K, h, w).

    Returns:
        Scalar, float32 or wider.
    """
    return wide(mean).square().mean()
