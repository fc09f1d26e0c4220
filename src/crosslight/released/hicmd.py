"""Hi-CMD (bismex): what draws, what identifies, and the critics; `a` is visible, `b` infrared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from crosslight.released.dgnet import IMAGENET, critic
from crosslight.released.rules import NORM, UNREAD_STATISTICS, Table

_LIGHTS = {"a": 0, "b": 1}


def _generator(light: int) -> Table:
    prototype = f"prototype.networks.{light}.layers"
    residual = r"enc_pro\.model3\.0\.model\.([0-3])\.model"
    pyramid = r"enc_pro\.model3\.1"
    return Table(
        kept={
            r"enc_att\.model\.((?:conv1|bn1|layer[1-4])\..+)": (
                f"attribute.networks.{light}.backbone.network.{{1}}"
            ),
            r"enc_pro\.model1\.([01])\.conv\.(weight|bias)": f"{prototype}.{{1}}.conv.{{2}}",
            r"enc_pro\.model2\.([01])\.conv\.(weight|bias)": f"{prototype}.{{1+2}}.conv.{{2}}",
            rf"{residual}\.0\.conv\.(weight|bias)": f"{prototype}.{{1+4}}.first.conv.{{2}}",
            rf"{residual}\.1\.conv\.(weight|bias)": f"{prototype}.{{1+4}}.second.conv.{{2}}",
            rf"{pyramid}\.conv1\.conv\.(weight|bias)": f"{prototype}.8.near.conv.{{1}}",
            # The names 6, 12 and 18 have dilations 3, 6 and 9.
            rf"{pyramid}\.conv(6|12|18)\.([01])\.conv\.(weight|bias)": (
                f"{prototype}.8.far.{{1/6-1}}.{{2}}.conv.{{3}}"
            ),
            rf"{pyramid}\.fuse\.conv\.(weight|bias)": f"{prototype}.8.fuse.conv.{{1}}",
            # Both files' decoders are one module.
            r"dec\.model\.0\.model\.([0-3])\.model\.0\.conv\.(weight|bias)": (
                "decoder.blocks.{1}.first.{2}"
            ),
            r"dec\.model\.0\.model\.([0-3])\.model\.1\.conv\.(weight|bias)": (
                "decoder.blocks.{1}.second.{2}"
            ),
            r"dec\.model\.(2|4)\.conv\.(weight|bias)": "decoder.up.{1-2}.conv.{2}",
            r"dec\.model\.(2|4)\.norm\.gamma": "decoder.up.{1-1}.scale",
            r"dec\.model\.(2|4)\.norm\.beta": "decoder.up.{1-1}.shift",
            r"dec\.model\.(5|6)\.conv\.(weight|bias)": "decoder.out.{1-5}.conv.{2}",
            r"dec\.model\.7\.conv\.(weight|bias)": "decoder.out.2.{1}",
            r"dec\.mlp_w([1-4])\.model\.([0-2])\.fc\.(weight|bias)": "adain.scale.{1-1}.{2*2}.{3}",
            r"dec\.mlp_b([1-4])\.model\.([0-2])\.fc\.(weight|bias)": "adain.shift.{1-1}.{2*2}.{3}",
        },
        left_out={
            r"enc_att\.model\.fc\.(?:weight|bias)": IMAGENET,
            r"dec\.model\.0\.model\.[0-3]\.model\.[01]\.norm\.running_(?:mean|var)": (
                UNREAD_STATISTICS
            ),
        },
    )


_HEAD = Table(
    kept={
        r"classifier\.add_block\.0\.(weight|bias)": "head.linear.{1}",
        rf"classifier\.add_block\.1\.({NORM})": "head.norm.{1}",
        r"classifier\.classifier\.0\.(weight|bias)": "head.classifier.{1}",
        r"classifier\.add_block2\.0\.(weight|bias)": "metric.{1}",
    }
)
_VECTOR = Table(
    kept={r"model\.layer(2|3)\.(.+)": "vector.layers.{1-2}.{2}"},
    left_out={
        r"model\.(?:conv1|bn1|layer[14]|fc)\..+": (
            "layers of the prototype's ResNet that it does not go through"
        ),
    },
)
_SHARE = Table(kept={r"multp": "share"})


def _settings(weights: Weights) -> Settings:
    named = {
        "config.structure_width": "prototype.networks.0.layers.0.conv.weight",
        "config.adain_width": "adain.scale.0.0.weight",
        "config.critic_width": "critics.0.critics.0.0.conv.weight",
        "config.dim": "head.linear.weight",
        "config.triplet_dim": "metric.weight",
    }
    return {
        **widths(weights, named),
        **critic_scales(weights, "critics.0.critics."),
        **resnet_named(weights, "attribute.networks.0.backbone.network."),
    }


_ONLY: Mapping[str, Any] = {
    **{"G_act": "lrelu", "D_act": "lrelu", "ID_act": "none", "ID_norm": "bn", "D_norm": "none"},
    **{"G_pad_type": "reflect", "D_pad_type": "reflect", "G_enc_res_norm": "in"},
    **{"G_dec_res_norm": "adain", "G_res_type": "basic", "G_tanh": False, "G_ASPP": True},
    **{"G_style_typepool": "avg", "G_style_partpool": 1, "att_pose_ratio": 0.5},
    **{"att_style_ratio": 0.5, "backbone_pro_typepool": "avg", "backbone_pro_partpool": 1},
}
"""What the weights do not show, and is so here."""
_OURS = {
    **{"h": "data.height", "w": "data.width", "stride": "config.last_stride"},
    **{"G_w_lrelu": "config.slope", "droprate": "config.dropout"},
}


def _options(files: Sequence[Settings]) -> Settings:
    """The `opts.yaml` that a training writes beside its checkpoints.

    Raises:
        ConfigError: It asks for what the method here has not.
    """
    found: dict[str, Any] = {}
    for content in files:
        slope = content.get("G_w_lrelu", content.get("w_lrelu"))
        only = {**_ONLY, **({} if slope is None else {"D_w_lrelu": slope})}
        found |= heard(content, only, _OURS, "Hi-CMD")
    return found


HICMD = System(
    method="hicmd",
    about="Hi-CMD (Choi et al., CVPR 2020)",
    pieces=(
        Piece(
            name="gen_NNNNNNN.pt",
            holds="encoders, MLPs and decoder",
            tables={key: _generator(light) for key, light in _LIGHTS.items()},
            parts=("prototype.", "attribute.", "adain.", "decoder."),
        ),
        Piece(
            name="id_NNNNNNN.pt",
            holds="the head, the prototype's layers and its share",
            tables={"id": _HEAD, "backbone_pro": _VECTOR, "combine_weight": _SHARE},
            parts=("head.", "metric.", "vector.", "share"),
        ),
        Piece(
            name="dis_NNNNNNN.pt",
            holds="the critics",
            tables={key: critic(f"critics.{light}.critics") for key, light in _LIGHTS.items()},
            parts=("critics.",),
            needed_for=("training further",),
        ),
    ),
    recipes={206: "hicmd-regdb", 296: "hicmd-sysu-mm01"},
    settings=_settings,
    people="head.classifier.weight",
    options=_options,
    constants=(r"normalize\.(?:mean|std)",),
    absent={"illumination_running_mean": ("translating",)},
)
