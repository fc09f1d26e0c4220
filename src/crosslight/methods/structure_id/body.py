"""What makes an identity vector of a structure code, and the two heads behind it.

Letters: B batch, S channels of the structure code, h and w its height and width, C length of the
vector.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from crosslight.errors import ConfigError
from crosslight.nn.backbones import create_backbone
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.conv_block import ConvBlock
from crosslight.nn.precision import full_precision, wide

BodyName: TypeAlias = Literal["shallow", "shallow+resnet18", "resnet50"]
NETWORKS = {"shallow+resnet18": "resnet18.tv_in1k", "resnet50": "resnet50.tv_in1k"}
_FIRST_LAYER = {"shallow+resnet18": 1, "resnet50": 2}


class StructureBody(nn.Module):
    """(B, S, h, w) structure code → (B, C) vector.

    Args:
        code_channels: S.
        kind: `shallow`: one 3x3 convolution of stride 2; `shallow+resnet18`: a ResNet-18;
            `resnet50`: the layers 2 to 4 of a ResNet-50, so that they, with the structure
            encoder before them, are an encoder with the body of a ResNet-50.
        network: Another ResNet of `crosslight.nn.backbones` or timm for that one; None: `kind`'s.
        weights: Of the ResNet: `timm`, `none` or the path of a file.
        squeezed: Two normalised 3x3 convolutions bring the code down to an image of three
            channels, which the whole ResNet sees with its stem and its last stride. False: a 1x1
            convolution brings it to the width of the ResNet's first used layer; the stem, which
            would shrink it fourfold, is left out, and the last stride is 1.

    Attributes:
        channels: C.

    Raises:
        ConfigError: `network` is no ResNet.
    """

    def __init__(
        self,
        code_channels: int,
        *,
        kind: BodyName,
        network: str | None,
        weights: str,
        squeezed: bool,
    ) -> None:
        super().__init__()
        self.squeezed = squeezed and kind != "shallow"
        if kind == "shallow":
            self.channels = 4 * code_channels
            self.entry: nn.Module = nn.Identity()
            self.layers: nn.Module = _convolution(code_channels, self.channels, 3, stride=2)
            return
        name = network or NETWORKS[kind]
        backbone = create_backbone(name, weights=weights, last_stride=2 if squeezed else 1)
        resnet: Any = backbone.network
        if not hasattr(resnet, "layer4"):
            raise ConfigError(
                f"The structure body {kind} cannot be a {name}; give config.body_network a ResNet."
            )
        self.channels = backbone.channels
        if self.squeezed:
            half = code_channels // 2
            self.entry = nn.Sequential(ConvBlock(code_channels, half, 3), ConvBlock(half, 3, 3))
            self.layers = backbone
            return
        used = [getattr(resnet, f"layer{i}") for i in range(_FIRST_LAYER[kind], 5)]
        self.entry = _convolution(code_channels, used[0][0].conv1.in_channels, 1)
        self.layers = nn.Sequential(*used)

    def forward(self, code: Tensor) -> Tensor:
        """Mean over the last map, float32 or wider.

        The code itself could not be averaged: its channels have the mean 0 in every image.
        """
        entered: Tensor = self.entry(code)
        # On maps of a few pixels, which squeezing leads to, the CPU's bfloat16 convolutions of
        # torch 2.13 return what happened to be in memory (4 x 2 to 2 x 1, stride 2).
        with full_precision(entered) if self.squeezed else nullcontext():
            maps: Tensor = self.layers(wide(entered) if self.squeezed else entered)
        return maps.mean(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


class TwoHeads(nn.Module):
    """DG-Net's primary and fine head on one vector.

    Args:
        channels: C.
        dim: Length of each embedding.
        num_ids: Number of training people.
        dropout: Before the primary and the fine classifier.
    """

    def __init__(
        self, channels: int, dim: int, num_ids: int, *, dropout: tuple[float, float]
    ) -> None:
        super().__init__()
        self.primary, self.fine = (
            BottleneckHead(channels, dim, num_ids, dropout=part) for part in dropout
        )

    def embeddings(self, vectors: Tensor, *, parts: int = 1) -> tuple[Tensor, Tensor]:
        """(B, C) → twice (B, dim), each part normalised by itself."""
        return (
            in_parts(self.primary.embed, vectors, parts),
            in_parts(self.fine.embed, vectors, parts),
        )

    def logits(self, embeddings: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Twice (B, dim) → twice (B, num_ids)."""
        primary, fine = (
            head.classifier(head.dropout(embedding))
            for head, embedding in zip((self.primary, self.fine), embeddings, strict=True)
        )
        return primary, fine


def in_parts(network: Callable[[Tensor], Tensor], rows: Tensor, parts: int) -> Tensor:
    """What a network makes of each part of a batch by itself, one after the other."""
    if parts == 1:
        return network(rows)
    return torch.cat([network(part) for part in rows.chunk(parts)])


def _convolution(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )
