"""Backbones: any timm model as a map from images to a feature map, and light nets of our own.

Letters: B batch, C channels, H and W image size, h and w size of the feature map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crosslight.data.torchvision_build  # noqa: F401

# isort: split
import timm
import torch
from timm.models import vision_transformer
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from crosslight.data.imagenet import IMAGENET_MEAN, IMAGENET_STD
from crosslight.errors import CheckpointError, ConfigError
from crosslight.nn.strided_conv import guard_strides
from crosslight.nn.weights import initial_weights_wanted, load_weights, read_weights
from crosslight.registry import did_you_mean
from crosslight.shipped import SHIPPED, Shipped, shipped
from crosslight.types import Modality

_STREAMS = "backbone"
"""Where a two-stream network has its backbone in the file."""


@dataclass(frozen=True, kw_only=True)
class LightResNet:
    """A ResNet of basic blocks, thinner than the published ones, with three 3x3 stem layers.

    Attributes:
        blocks: Residual blocks of the four layers.
        channels: Channels of the four layers.
        stem: Channels of the first two stem layers; the third has twice as many.
    """

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]
    stem: int


LIGHT_BACKBONES = {
    "resnet10-quarter": LightResNet(blocks=(1, 1, 1, 1), channels=(16, 32, 64, 128), stem=8),
    "resnet10-half": LightResNet(blocks=(1, 1, 1, 1), channels=(32, 64, 128, 256), stem=16),
    "resnet18-half": LightResNet(blocks=(2, 2, 2, 2), channels=(32, 64, 128, 256), stem=16),
}
"""Names that a recipe may use beside timm's; for training from scratch on small images."""


class Backbone(nn.Module):
    """(B, in_channels, H, W) normalised images → (B, C, h, w) feature map.

    Token models give their image tokens on the grid of patches; class and register tokens go.

    Attributes:
        network: The timm model without its classifier.
        channels: C.
        mean: Per channel, what the weights expect to be subtracted from images in [0, 1].
        std: Per channel, what they expect images to be divided by.
        infrared_stem: Tensors of a stem of its own for infrared images, where the weights have one.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        channels: int,
        mean: Sequence[float],
        std: Sequence[float],
        infrared_stem: Mapping[str, Tensor] | None,
    ) -> None:
        super().__init__()
        self.network = network
        self.channels = channels
        self.mean = tuple(mean)
        self.std = tuple(std)
        self.infrared_stem = infrared_stem

    def forward(self, images: Tensor) -> Tensor:
        """Gives the feature map of normalised images."""
        network: Any = self.network
        features: Tensor = network.forward_features(images)
        if features.ndim == 3:
            tokens = features[:, getattr(network, "num_prefix_tokens", 0) :].transpose(1, 2)
            grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
            return torch.unflatten(tokens, 2, grid or (tokens.shape[2], 1))
        if getattr(network, "output_fmt", "NCHW") == "NHWC":
            return features.permute(0, 3, 1, 2)
        return features


def create_backbone(
    name: str,
    *,
    weights: str = "none",
    sha256: str | None = None,
    in_channels: int = 3,
    last_stride: int = 1,
    image_size: tuple[int, int] | None = None,
) -> Backbone:
    """Builds a backbone.

    Args:
        name: A timm model, with or without its weight tag, or one of `LIGHT_BACKBONES`.
        weights: `none`, `timm` (fetched, or from timm's cache), `promenade` (those that ship with
            crosslight) or the path of a file.
        sha256: Expected digest of that file; None checks nothing.
        in_channels: Channels of the input. Fewer than 3: each input channel of the first
            convolution starts as the sum of the three that the weights were trained with, so that
            a gray image in one of them is seen as before. More: the first three keep their weights
            and the others start as their mean.
        last_stride: Stride of a ResNet's last layer, 1 or 2. 1 is the field's "last stride 1":
            same weights, twice the resolution, no dilation. Other families keep their own.
        image_size: (H, W), for models that are built for one size, such as ViTs.

    Raises:
        ConfigError: No such model, or the name and the weights contradict each other.
        CheckpointError: The weights cannot be had or do not fit.
    """
    if last_stride not in (1, 2):
        raise ConfigError(f"last_stride is {last_stride}; a ResNet's last layer knows 1 and 2.")
    if sha256 is not None and weights in ("none", "timm", *SHIPPED):
        raise ConfigError(
            f"sha256 is given, but weights is {weights}; give the path of the file it belongs to."
        )
    fetch = weights == "timm" and initial_weights_wanted()
    network = _light(name) if name in LIGHT_BACKBONES else _from_timm(name, image_size, fetch=fetch)
    card: dict[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    if fetch and not (card.get("url") or card.get("hf_hub_id")):
        raise ConfigError(
            f"The backbone {name!r} has no published weights; use weights: none or a file."
        )
    infrared = None
    if weights in SHIPPED and initial_weights_wanted():
        infrared = _read_shipped(network, name, shipped(weights))
    elif weights not in ("none", "timm") and initial_weights_wanted():
        _read_file(network, weights, sha256, classifier=card.get("classifier") or "fc")
    if in_channels != 3:
        _replace_first_convolution(network, card.get("first_conv") or "conv1.0", in_channels)
    if last_stride == 1 and isinstance(network, ResNet):
        _undo_last_stride(network)
    guard_strides(network)
    mean, std = card.get("mean", IMAGENET_MEAN), card.get("std", IMAGENET_STD)
    if in_channels != 3:
        mean, std = (_for_channels(values, in_channels) for values in (mean, std))
    return Backbone(
        network,
        channels=int(network.num_features),
        mean=mean,
        std=std,
        infrared_stem=infrared if in_channels == 3 else None,
    )


def _light(name: str) -> Any:
    light = LIGHT_BACKBONES[name]
    return ResNet(
        BasicBlock,
        light.blocks,
        num_classes=0,
        global_pool="",
        channels=light.channels,
        stem_type="deep",
        stem_width=light.stem,
    )


def _from_timm(name: str, image_size: tuple[int, int] | None, *, fetch: bool) -> Any:
    if not timm.is_model(name):
        near = did_you_mean(name, [*timm.list_models(), *LIGHT_BACKBONES])
        hint = near if near.startswith("; did") else "; `timm.list_models()` lists what timm has."
        raise ConfigError(f"Unknown backbone {name!r}{hint}")
    card = timm.get_pretrained_cfg(name)
    sized = {"img_size": image_size} if image_size and card and card.fixed_input_size else {}
    try:
        network = timm.create_model(name, num_classes=0, global_pool="", **sized)
    except (RuntimeError, TypeError, AssertionError, ValueError) as error:
        raise ConfigError(f"timm cannot build the backbone {name!r}: {error}") from error
    if not fetch or card is None or not card.has_weights:
        return network
    try:
        return timm.create_model(name, pretrained=True, num_classes=0, global_pool="", **sized)
    except Exception as error:  # the hub, its cache and the network each raise their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"The weights of timm's {name} could not be fetched ({reason}); fetch them on a "
            f"machine with network access, copy the file here and give its path as weights, or "
            f"use weights: none."
        ) from error


def _read_file(
    network: nn.Module, file: str, sha256: str | None, *, classifier: str | tuple[str, ...]
) -> None:
    weights = read_weights(Path(file).expanduser(), sha256=sha256)
    if isinstance(network, VisionTransformer):
        # Brings the position embedding to the size of these images.
        weights = vision_transformer.checkpoint_filter_fn(weights, network)
    load_weights(
        network,
        weights,
        source=f"The weight file {file}",
        ignored=(classifier,) if isinstance(classifier, str) else classifier,
    )


def _read_shipped(network: nn.Module, name: str, weights: Shipped) -> dict[str, Tensor]:
    """Fills a network from the visible stream; gives the tensors of the infrared stem."""
    if name != weights.backbone:
        raise ConfigError(
            f"The weights {weights.name!r} are of a {weights.backbone}, but backbone is {name}; "
            f"set backbone to {weights.backbone}, or weights to none."
        )
    found = read_weights(weights.model)
    starts = (f"{_STREAMS}.stems.{int(Modality.VISIBLE)}.", f"{_STREAMS}.shared.")
    own = {
        k.removeprefix(start): v
        for start in starts
        for k, v in found.items()
        if k.startswith(start)
    }
    load_weights(network, own, source=f"The weight file {weights.model}")
    infrared = f"{_STREAMS}.stems.{int(Modality.INFRARED)}."
    return {k.removeprefix(infrared): v for k, v in found.items() if k.startswith(infrared)}


def _replace_first_convolution(network: nn.Module, name: str, in_channels: int) -> None:
    old = network.get_submodule(name)
    if not isinstance(old, nn.Conv2d) or old.groups != 1:
        raise ConfigError(
            f"The first layer of this backbone cannot take {in_channels} channels; use a ResNet."
        )
    new = nn.Conv2d(
        in_channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    with torch.no_grad():
        if in_channels > old.in_channels:
            new.weight.copy_(old.weight.mean(dim=1, keepdim=True).expand_as(new.weight))
            new.weight[:, : old.in_channels] = old.weight
        else:
            # What the weights answer to a gray image, whose three channels are alike.
            new.weight.copy_(old.weight.sum(dim=1, keepdim=True).expand_as(new.weight))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new)


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...]:
    mean = sum(values) / len(values)
    kept = tuple(values) if channels > len(values) else ()
    return (*kept, *(mean for _ in range(channels - len(kept))))


def _undo_last_stride(network: nn.Module) -> None:
    block = network.get_submodule("layer4").get_submodule("0")
    for name, module in list(block.named_modules()):
        parent, _, child = name.rpartition(".")
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        elif isinstance(module, nn.AvgPool2d) or type(module).__name__ == "BlurPool2d":
            setattr(block.get_submodule(parent), child, nn.Identity())
