"""The two-stream ResNet-50 that BDTR's first author published in 2019."""

from __future__ import annotations

from crosslight.released.contract import Piece, Settings, System, Weights, resnet_named, widths
from crosslight.released.rules import NORM, Table

_STREAMS = "backbone.networks.{}.network."
_TABLE = Table(
    kept={
        r"visible_net\.visible\.((?:conv1|bn1|layer[1-4])\..+)": _STREAMS.format(0) + "{1}",
        r"thermal_net\.thermal\.((?:conv1|bn1|layer[1-4])\..+)": _STREAMS.format(1) + "{1}",
        r"feature\.feat_block\.0\.(weight|bias)": "head.linear.{1}",
        rf"feature\.feat_block\.1\.({NORM})": "head.norm.{1}",
        # The number is 2 where a dropout stands before the classifier.
        r"classifier\.classifier\.[12]\.(weight|bias)": "head.classifier.{1}",
    },
    left_out={
        r"(?:visible_net\.visible|thermal_net\.thermal)\.fc\.(?:weight|bias)": (
            "ImageNet's classifiers, which nothing reads"
        ),
    },
)


def _settings(weights: Weights) -> Settings:
    return {
        # Trained on the identity loss alone.
        "config.metric": "none",
        **widths(weights, {"config.dim": "head.linear.weight"}),
        **resnet_named(weights, _STREAMS.format(0)),
    }


BDTR = System(
    method="bdtr",
    about="the two-stream ResNet-50 of 2019 (Ye)",
    pieces=(Piece(name="NAME_best.t", holds="the network", tables={"": _TABLE}),),
    recipes={395: "bdtr-sysu-mm01", 206: "bdtr-regdb"},
    settings=_settings,
    people="head.classifier.weight",
    constants=(r"normalize\.(?:mean|std)",),
)
