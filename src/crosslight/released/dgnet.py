"""DG-Net (NVlabs): generator, appearance encoder with both heads, critic, teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crosslight.errors import ConfigError
from crosslight.released.contract import (
    Piece,
    Settings,
    System,
    Weights,
    critic_scales,
    heard,
    resnet_named,
    widths,
)
from crosslight.released.rules import NORM, UNREAD_STATISTICS, Table

IMAGENET = "ImageNet's classifier, which nothing reads"
_NON_LOCAL = r"(?:enc_content\.model\.4|dec\.model\.1)\.model\.[0-3]\.nonloc\."

RESNET = {r"model\.((?:conv1|bn1|layer[1-4])\..+)": "appearance.backbone.network.{1}"}
NO_CLASSIFIER = {r"model\.fc\.(?:weight|bias)": IMAGENET}


def head(original: str, here: str) -> dict[str, str]:
    """Rules of a bottleneck with a classifier."""
    return {
        rf"{original}\.add_block\.0\.(weight|bias)": f"{here}.linear.{{1}}",
        rf"{original}\.add_block\.1\.({NORM})": f"{here}.norm.{{1}}",
        rf"{original}\.classifier\.0\.(weight|bias)": f"{here}.classifier.{{1}}",
    }


def critic(here: str) -> Table:
    """Rules of the critics of three scales."""
    return Table(
        kept={
            r"cnns\.([0-2])\.([0-4])\.conv\.(weight|bias)": f"{here}.{{1}}.{{2}}.conv.{{3}}",
            r"cnns\.([0-2])\.([5-8])\.model\.0\.conv\.(weight|bias)": (
                f"{here}.{{1}}.{{2}}.first.conv.{{3}}"
            ),
            r"cnns\.([0-2])\.([5-8])\.model\.1\.conv\.(weight|bias)": (
                f"{here}.{{1}}.{{2}}.second.conv.{{3}}"
            ),
            r"cnns\.([0-2])\.9\.(weight|bias)": f"{here}.{{1}}.9.{{2}}",
        }
    )


GENERATOR = Table(
    kept={
        r"enc_content\.model\.([0-3])\.conv\.(weight|bias)": "structure.layers.{1}.conv.{2}",
        r"enc_content\.model\.4\.model\.([0-3])\.model\.0\.conv\.(weight|bias)": (
            "structure.layers.{1+4}.first.conv.{2}"
        ),
        r"enc_content\.model\.4\.model\.([0-3])\.model\.1\.conv\.(weight|bias)": (
            "structure.layers.{1+4}.second.conv.{2}"
        ),
        r"enc_content\.model\.5\.conv1\.conv\.(weight|bias)": "structure.layers.8.near.conv.{1}",
        # The names 6, 12 and 18 have dilations 3, 6 and 9.
        r"enc_content\.model\.5\.conv(6|12|18)\.([01])\.conv\.(weight|bias)": (
            "structure.layers.8.far.{1/6-1}.{2}.conv.{3}"
        ),
        r"enc_content\.model\.5\.fuse\.conv\.(weight|bias)": "structure.layers.8.fuse.conv.{1}",
        r"mlp_w([1-4])\.model\.([0-2])\.fc\.(weight|bias)": "adain.scale.{1-1}.{2*2}.{3}",
        r"mlp_b([1-4])\.model\.([0-2])\.fc\.(weight|bias)": "adain.shift.{1-1}.{2*2}.{3}",
        r"dec\.model\.1\.model\.([0-3])\.model\.0\.conv\.(weight|bias)": (
            "decoder.blocks.{1}.first.{2}"
        ),
        r"dec\.model\.1\.model\.([0-3])\.model\.1\.conv\.(weight|bias)": (
            "decoder.blocks.{1}.second.{2}"
        ),
        r"dec\.model\.(3|5)\.conv\.(weight|bias)": "decoder.up.{1-3}.conv.{2}",
        r"dec\.model\.(3|5)\.norm\.gamma": "decoder.up.{1-2}.scale",
        r"dec\.model\.(3|5)\.norm\.beta": "decoder.up.{1-2}.shift",
        r"dec\.model\.(6|7)\.conv\.(weight|bias)": "decoder.out.{1-6}.conv.{2}",
        r"dec\.model\.8\.conv\.(weight|bias)": "decoder.out.2.{1}",
    },
    left_out={
        r"dec\.model\.1\.model\.[0-3]\.model\.[01]\.norm\.running_(?:mean|var)": UNREAD_STATISTICS,
        _NON_LOCAL + r"(?:(?:query|key|value)_conv\.(?:weight|bias)|gamma)": (
            "non-local layers, which the published networks do not have"
        ),
    },
    alarming={
        _NON_LOCAL + "gamma": (
            "The non-local layers of this generator are at work (a gamma is not 0), but the "
            "published code has none: what it draws, and its structure code, will differ from "
            "what the original drew."
        ),
    },
)
IDENTITY = Table(
    kept={**RESNET, **head("classifier1", "primary"), **head("classifier2", "fine")},
    left_out=NO_CLASSIFIER,
)
TEACHER = Table(
    kept={
        r"model\.((?:conv1|bn1|layer[1-4])\..+)": "teacher.backbone.network.{1}",
        **head("classifier", "teacher.head"),
    },
    left_out=NO_CLASSIFIER,
)
CRITIC_PIECE = Piece(
    name="dis_NNNNNNNN.pt",
    holds="the critic",
    tables={"": critic("critic.critics")},
    parts=("critic.",),
    needed_for=("training further",),
)


def drawing_settings(weights: Weights) -> Settings:
    """What shapes say of a DG-Net's generator, critic and appearance encoder."""
    named = {
        "config.structure_width": "structure.layers.0.conv.weight",
        "config.adain_width": "adain.scale.0.0.weight",
        "config.critic_width": "critic.critics.0.0.conv.weight",
    }
    return {
        **widths(weights, named),
        **critic_scales(weights, "critic.critics."),
        **resnet_named(weights, "appearance.backbone.network."),
    }


def _settings(weights: Weights) -> Settings:
    named = {
        "config.dim": "primary.linear.weight",
        "config.teacher_dim": "teacher.head.linear.weight",
    }
    return {**drawing_settings(weights), **widths(weights, named)}


_ONLY: Mapping[str, Any] = {"pool": "max", "norm_id": False, "single": "gray"}
_SIZE = {
    "ID_stride": "config.last_stride",
    "crop_image_height": "data.height",
    "crop_image_width": "data.width",
}


def options(files: Sequence[Settings]) -> Settings:
    """The `config.yaml` of a training, and the `opts.yaml` of its teacher.

    Raises:
        ConfigError: They ask for what the method here has not.
    """
    found: dict[str, Any] = {}
    for content in files:
        found |= heard(content, _ONLY, _SIZE, "DG-Net")
    stride = found.get("config.last_stride", 1)
    for content in files:
        if _is_teachers(content) and content.get("stride", 2) != stride:
            raise ConfigError(
                f"The teacher has a last stride of {content.get('stride', 2)} and the appearance "
                f"encoder of {stride}, but here both have the same; leave the teacher's files out."
            )
    return found


def _is_teachers(content: Settings) -> bool:
    return not {"gen", "ID_class", "ID_stride"} & content.keys()


DGNET = System(
    method="dgnet",
    about="DG-Net (Zheng et al., CVPR 2019)",
    pieces=(
        Piece(
            name="gen_NNNNNNNN.pt",
            holds="structure encoder, MLPs and decoder",
            tables={"": GENERATOR},
            parts=("structure.", "adain.", "decoder."),
        ),
        Piece(
            name="id_NNNNNNNN.pt",
            holds="the appearance encoder and its two heads",
            tables={"": IDENTITY},
            parts=("appearance.", "primary.", "fine."),
        ),
        CRITIC_PIECE,
        Piece(
            name="net_last.pth",
            holds="the teacher",
            tables={"": TEACHER},
            parts=("teacher.",),
            needed_for=("training further", "code teacher"),
        ),
    ),
    recipes={751: "dgnet-market1501", 702: "dgnet-dukemtmc", 1041: "dgnet-msmt17"},
    settings=_settings,
    people="primary.classifier.weight",
    options=options,
    constants=(r"normalize\.(?:mean|std)", "teacher_counts"),
)
