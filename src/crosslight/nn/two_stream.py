"""Two streams: a stem of its own for each modality, then layers that both share; or all apart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
from timm.models.resnet import ResNet

from crosslight.errors import ConfigError
from crosslight.nn.backbones import Backbone
from crosslight.nn.nonlocal_block import with_non_local
from crosslight.nn.per_modality import PerModality, SeesLights, restored
from crosslight.types import Modality

Streams = Literal["whole", "stem"]
"""What each light has of its own: a whole backbone, or the first layers of a ResNet."""

_STEM = ("conv1", "bn1", "act1", "maxpool")
_LAYERS = ("layer1", "layer2", "layer3", "layer4")


class TwoStream(SeesLights, nn.Module):
    """Images of both modalities, in any order → one feature map.

    Attributes:
        stems: The stem of each `Modality`, by its number.
        shared: What both go through after it.
        channels: Channels of the feature map.
    """

    def __init__(self, stem: nn.Module, shared: nn.Module, channels: int) -> None:
        super().__init__()
        self.stems = nn.ModuleList([stem, *(deepcopy(stem) for _ in list(Modality)[1:])])
        self.shared = shared
        self.channels = channels

    def forward(self, images: Tensor, modality: Tensor) -> Tensor:
        """Gives the feature map.

        Args:
            images: (B, 3, H, W), normalised.
            modality: (B,) `Modality`; a batch may hold one of them only.

        Returns:
            (B, C, h, w) in the order of the images.
        """
        # Statistics of a stem's batch normalisation are those of its own modality.
        rows = self.rows_of(modality)
        mixed = torch.cat([self.stems[int(part.light)](part.of(images)) for part in rows])
        maps: Tensor = self.shared(mixed)
        return restored(maps, rows)


def split_backbone(
    backbone: Backbone,
    *,
    non_local: Sequence[int] = (0, 0, 0, 0),
    non_local_width: int | None = None,
) -> TwoStream:
    """Splits a ResNet after its stem (conv1, bn1, activation, max-pooling).

    Args:
        backbone: Of the ResNet family; its modules are used, the stem copied.
        non_local: How many of the last blocks of each of the four layers are followed by a
            non-local block; a layer with fewer blocks gets one after each of them.
        non_local_width: Channels inside such a block; None: half of the map's.

    Raises:
        ConfigError: The backbone has no such stem and layers.
    """
    network: Any = backbone.network
    if not isinstance(network, ResNet):
        raise ConfigError(
            f"The backbone {type(network).__name__} cannot be split into two streams; use one of "
            f"the ResNet family (resnet50, resnet18-half, resnext50_32x4d, seresnet50...)."
        )
    stem = nn.Sequential(OrderedDict((name, getattr(network, name)) for name in _STEM))
    channels = {info["module"]: int(info["num_chs"]) for info in network.feature_info}
    layers = (
        (name, with_non_local(getattr(network, name), channels[name], count, non_local_width))
        for name, count in zip(_LAYERS, non_local, strict=True)
    )
    streams = TwoStream(stem, nn.Sequential(OrderedDict(layers)), backbone.channels)
    if backbone.infrared_stem is not None:
        streams.stems[Modality.INFRARED].load_state_dict(backbone.infrared_stem)
    return streams


def build_streams(backbone: Backbone, kind: Streams) -> PerModality[Backbone] | TwoStream:
    """A network for each light, the two starting alike but for what the weights have apart.

    Args:
        backbone: What both start from; its modules may be used.
        kind: See `Streams`.

    Raises:
        ConfigError: The backbone cannot be split into stem and layers.
    """
    if kind == "stem":
        return split_backbone(backbone)
    streams = PerModality(lambda: deepcopy(backbone))
    if backbone.infrared_stem is not None:
        network: Any = streams.networks[Modality.INFRARED]
        weights = network.network.state_dict()
        network.network.load_state_dict({**weights, **backbone.infrared_stem})
    return streams
