"""The study's code (chaitrasj): DG-Net with identity networks behind the structure code."""

from __future__ import annotations

from crosslight.released.contract import Piece, Settings, System, Weights, widths
from crosslight.released.dgnet import (
    CRITIC_PIECE,
    GENERATOR,
    IMAGENET,
    NO_CLASSIFIER,
    RESNET,
    drawing_settings,
    head,
    options,
)
from crosslight.released.rules import Table

_GENERATOR = Table(
    kept={
        **GENERATOR.kept,
        r"enc_content\.model_1\.([01])\.conv\.(weight|bias)": ("body.structure.entry.{1}.conv.{2}"),
        r"enc_content\.model_res_str\.((?:conv1|bn1|layer[1-4])\..+)": (
            "body.structure.layers.network.{1}"
        ),
        **head(r"enc_content\.classifier1", "heads.structure.primary"),
        **head(r"enc_content\.classifier2", "heads.structure.fine"),
    },
    left_out={
        **GENERATOR.left_out,
        r"enc_content\.model_res_str\.fc\.(?:weight|bias)": IMAGENET,
    },
    alarming=GENERATOR.alarming,
)
_IDENTITY = Table(
    kept=RESNET,
    left_out={
        **NO_CLASSIFIER,
        r"classifier[12]\..+": "DG-Net's heads, which the program builds, saves and never uses",
    },
)


def _settings(weights: Weights) -> Settings:
    named = {"config.dim": "heads.structure.primary.linear.weight"}
    return {**drawing_settings(weights), **widths(weights, named)}


PROPOSED_2020 = System(
    method="proposed-2020",
    about="the study's code (Jambigi, 2020)",
    pieces=(
        Piece(
            name="gen_NNNNNNNN.pt",
            holds="structure encoder, identity network, heads, MLPs and decoder",
            tables={"": _GENERATOR},
            parts=("structure.", "adain.", "decoder.", "body.", "heads."),
        ),
        Piece(
            name="id_NNNNNNNN.pt",
            holds="the appearance encoder",
            tables={"": _IDENTITY},
            parts=("appearance.",),
            needed_for=("swapping",),
        ),
        CRITIC_PIECE,
    ),
    recipes={395: "proposed-2020-sysu-mm01"},
    settings=_settings,
    people="heads.structure.primary.classifier.weight",
    options=options,
    constants=(r"normalize\.(?:mean|std)",),
)
