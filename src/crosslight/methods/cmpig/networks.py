"""The networks of cmPIG: a ResNet cut in two, style encoders, MLPs and decoders.

Letters: B batch, H and W size of the image a network sees, C channels of the content code, Z
length of a style, K residual blocks of a decoder.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from timm.models.resnet import ResNet

from crosslight.errors import ConfigError
from crosslight.nn.adain import LAYERS, AdaINResidualBlock
from crosslight.nn.backbones import Backbone
from crosslight.nn.conv_block import ConvBlock
from crosslight.nn.feature_norm import SampleNorm
from crosslight.nn.precision import wide
from crosslight.nn.upsample import UpsampleConv
from crosslight.nn.vae import HalvingConv

RELU = 0.0
"""Slope of the leaky ReLU that is none."""


def cut_resnet(backbone: Backbone, *, stem_relu: bool) -> tuple[nn.Sequential, nn.Sequential, int]:
    """E_i, I, and C: a ResNet up to its first layer, and the other three.

    Args:
        backbone: Of the ResNet family; its modules are used.
        stem_relu: Whether an activation stands before the max-pooling.

    Raises:
        ConfigError: The backbone has no such layers.
    """
    network: Any = backbone.network
    if not isinstance(network, ResNet):
        raise ConfigError(
            f"The backbone {type(network).__name__} cannot be cut into a set level and an instance "
            "level; use one of the ResNet family (resnet50, resnet18-half, resnext50_32x4d...)."
        )
    act = ("act1",) if stem_relu else ()
    names = ("conv1", "bn1", *act, "maxpool", "layer1")
    content = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in names))
    later = ("layer2", "layer3", "layer4")
    instance = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in later))
    channels = {info["module"]: int(info["num_chs"]) for info in network.feature_info}
    return content, instance, channels["layer1"]


class StyleEncoder(nn.Module):
    """E_s: an image to a vector; nothing is normalised, so that a style keeps brightness and cast.

    Args:
        width: Channels of the first convolution; each halving doubles them, up to 4 times.
        dim: Z.
        halvings: Strided convolutions.
    """

    def __init__(self, width: int, dim: int, halvings: int) -> None:
        super().__init__()
        widths = [min(2**n, 4) * width for n in range(halvings + 1)]
        self.layers = nn.Sequential(
            ConvBlock(3, width, 7, norm=False, slope=RELU),
            *(
                HalvingConv(before, after, norm=False, slope=RELU)
                for before, after in pairwise(widths)
            ),
        )
        self.out = nn.Linear(widths[-1], dim)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] → (B, Z), float32 or wider."""
        style: Tensor = self.out(wide(self.layers(images)).mean(dim=(2, 3)))
        return wide(style)


class StyleParameters(nn.Module):
    """A style to the scales and shifts of all blocks, by one MLP.

    Args:
        dim: Z.
        hidden: Width of the two hidden layers.
        blocks: K.
        channels: C.
    """

    def __init__(self, dim: int, *, hidden: int, blocks: int, channels: int) -> None:
        super().__init__()
        self.shape = (blocks, LAYERS, 2, channels)
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, blocks * LAYERS * 2 * channels),
        )

    def forward(self, style: Tensor) -> Tensor:
        """(B, Z) → (B, K, 2 scale and shift, 2 layers, C); the MLP gives shifts before scales."""
        given: Tensor = self.layers(style).unflatten(1, self.shape)  # (B, K, layer, shift, C)
        return given.flip(3).transpose(2, 3)


class Decoder(nn.Module):
    """G: a content code in a style to an image.

    Args:
        channels: C; each doubling halves them.
        blocks: K.
        doublings: Of the map.
    """

    def __init__(self, channels: int, *, blocks: int, doublings: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(AdaINResidualBlock(channels, slope=RELU) for _ in range(blocks))
        widths = [max(channels // 2**n, 1) for n in range(doublings + 1)]
        up: list[nn.Module] = []
        for before, after in pairwise(widths):
            up += [UpsampleConv(before, after), SampleNorm(after, slope=RELU)]
        self.up = nn.Sequential(*up)
        self.out = ConvBlock(widths[-1], 3, 7, norm=False, activate=False)

    def forward(self, content: Tensor, adain: Tensor) -> Tensor:
        """(B, C, h, w) and (B, K, 2, 2, C) → (B, 3, h', w') in [-1, 1], float32 or wider."""
        maps = content
        for block, parameters in zip(self.blocks, adain.unbind(1), strict=True):
            maps = block(maps, parameters)
        images: Tensor = self.out(self.up(maps))
        return wide(images).tanh()


class UsualStyle(nn.Module):
    """The mean style of each light's training images, over about the last 100 iterations.

    Args:
        dim: Z.
        lights: How many.
    """

    mean: Tensor
    num_batches_tracked: Tensor

    def __init__(self, dim: int, lights: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(lights, dim))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @torch.no_grad()
    def follow(self, styles: Tensor) -> None:
        """Takes note of (lights, B, Z)."""
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked.clamp(max=100)
        self.mean += share * (styles.mean(dim=1).to(self.mean.dtype) - self.mean)
