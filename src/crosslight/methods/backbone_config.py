"""Which backbone a method starts from, as every recipe names it."""

from __future__ import annotations

from dataclasses import dataclass

from crosslight.methods.beginning import Digest, Network, Weights
from crosslight.methods.scaling import MethodConfig
from crosslight.nn.backbones import Backbone, create_backbone
from crosslight.ranges import Few


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(MethodConfig):
    """The part of a method's `Config` that says what its backbone is and starts from.

    Attributes:
        backbone: Any timm model, or a light one of `crosslight.nn.backbones`; of the ResNet family
            where a method takes it apart (AGW, D2RL, zero-padding).
        weights: `timm`, `none`, `promenade` (ships with crosslight; of a resnet18-half) or the path
            of a file.
        sha256: Digest that the file must have.
        last_stride: Stride of a ResNet's last layer.
    """

    backbone: Network = "resnet50.tv_in1k"
    weights: Weights = "timm"
    sha256: Digest = None
    last_stride: Few = 1


def build_backbone(
    config: BackboneConfig,
    image_size: tuple[int, int],
    *,
    name: str | None = None,
    in_channels: int = 3,
) -> Backbone:
    """The backbone that a configuration names; see `create_backbone`.

    Args:
        config: Its four fields.
        image_size: (H, W).
        name: Another one in its place, from the same weights; None: the configuration's.
        in_channels: Channels of the input.

    Raises:
        ConfigError: No such model, or the name and the weights contradict each other.
        CheckpointError: The weights cannot be had or do not fit.
    """
    return create_backbone(
        name or config.backbone,
        weights=config.weights,
        sha256=config.sha256,
        in_channels=in_channels,
        last_stride=config.last_stride,
        image_size=image_size,
    )
