"""The networks of Hi-CMD that DG-Net has no like of.

Everybody sees ImageNet-normalised images. Letters: B batch, H and W image size, K blocks of the
decoder, D numbers of the attribute for each of them, S channels of the prototype, C length of its
vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from timm.models.resnet import ResNet

from crosslight.errors import ConfigError
from crosslight.nn.backbones import Backbone
from crosslight.nn.precision import wide

BLOCKS = 4
"""K."""
_LAYERS = ("layer2", "layer3")


class AttributeEncoder(nn.Module):
    """E_att: a backbone's mean over the picture, a quarter of it for each block of the decoder."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, K, D), float32 or wider."""
        vectors = wide(self.backbone(images)).mean(dim=(2, 3))
        return torch.unflatten(vectors, 1, (BLOCKS, -1))


def numbers_per_block(backbone: Backbone) -> int:
    """D of the attribute that a backbone makes.

    Raises:
        ConfigError: Its channels cannot be shared out.
    """
    if backbone.channels % (4 * BLOCKS):
        raise ConfigError(
            f"The attribute of {backbone.channels} numbers cannot be cut into a style, a pose and "
            f"an illumination for each of {BLOCKS} blocks; give config.backbone a network with a "
            f"multiple of {4 * BLOCKS} channels, such as resnet50.tv_in1k."
        )
    return backbone.channels // BLOCKS


def style_of(attribute: Tensor) -> Tensor:
    """(B, K, D) → (B, K, D / 2): what the attribute says of the person."""
    return attribute[..., : attribute.shape[-1] // 2]


def excluded_of(attribute: Tensor) -> Tensor:
    """(B, K, D) → (B, K, D / 2): pose and illumination, which are nobody's."""
    return attribute[..., attribute.shape[-1] // 2 :]


def pose_of(attribute: Tensor) -> Tensor:
    """(B, K, D) → (B, K, D / 4)."""
    return excluded_of(attribute).chunk(2, dim=-1)[0]


def illumination_of(attribute: Tensor) -> Tensor:
    """(B, K, D) → (B, K, D / 4)."""
    return excluded_of(attribute).chunk(2, dim=-1)[1]


def joined(*parts: Tensor) -> Tensor:
    """Parts in the order style, pose, illumination → (B, K, D)."""
    return torch.cat(parts, dim=-1)


class PrototypeVector(nn.Module):
    """P: layers 2 and 3 of a ResNet on the prototype, and the mean over their map.

    A 1x1 convolution comes first where the prototype has another number of channels than the second
    layer takes.

    Args:
        backbone: Whose layers are used.
        channels: S.

    Attributes:
        channels: C.

    Raises:
        ConfigError: The backbone has no such layers.
    """

    def __init__(self, backbone: Backbone, channels: int) -> None:
        super().__init__()
        network: Any = backbone.network
        if not isinstance(network, ResNet):
            raise ConfigError(
                f"The prototype's vector needs layers of a ResNet, found {type(network).__name__}; "
                "set config.prototype_backbone to one (resnet50.tv_in1k, resnet10-half)."
            )
        layers = [getattr(network, name) for name in _LAYERS]
        self.layers = nn.Sequential(*layers)
        wanted = layers[0][0].conv1.in_channels
        self.entry = nn.Identity() if wanted == channels else nn.Conv2d(channels, wanted, 1)
        sizes = {info["module"]: int(info["num_chs"]) for info in network.feature_info}
        self.channels = sizes[_LAYERS[-1]]

    def forward(self, prototypes: Tensor) -> Tensor:
        """(B, S, H / 4, W / 4) → (B, C), float32 or wider.

        The prototype itself could not be averaged: its channels have the mean 0 in every image.
        """
        maps: Tensor = self.layers(self.entry(prototypes))
        return maps.mean(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))
