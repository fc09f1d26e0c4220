"""What a recipe of Approach 1 may set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from crosslight.methods.bdtr import BDTRConfig
from crosslight.methods.embedding_disentangle.networks import (
    CLASSIFIER_WIDTH,
    DECODER_WIDTHS,
    ENCODER_WIDTHS,
)
from crosslight.methods.scaling import Epochs, MethodConfig
from crosslight.ranges import Width

TRAIN_BDTR = "train"
Norm = Literal["l1", "l2", "mean"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingDisentangleConfig(MethodConfig):
    """What a recipe may set under `config`.

    "slides" are the project slides of 25 May 2020, "report" the project report of the same month;
    "ours" marks what neither states.

    Attributes:
        bdtr: The network whose embeddings are taken apart, and its training; see `BDTRConfig`.
        bdtr_weights: `train` trains it first; or the file of trained weights to freeze, the
            `model.safetensors` of a `bdtr` run or of a run of this method.
        bdtr_sha256: Digest that the file must have.
        code: d.
        encoder_widths: Layers between embedding and part.
        decoder_widths: Layers between part and embedding, in each branch.
        decoder_output: `relu` keeps the slides' last ReLU, behind which no embedding with negative
            values can be rebuilt; `linear` leaves it out.
        classifier_width: Layer between embedding and people.
        classifier_epochs: Length of the classifier's stage.
        disentangle_epochs: Length of the last stage.
        norm: What | | is: the sum of the values' sizes, the Euclidean length, or the mean size.
            The larger it is, the less L_dis weighs beside it.
        simple_weight: Weight of L_simple; 0 turns it off, as for the others.
        cross_weight: Weight of L_cross.
        dis_weight: Weight of L_dis.
        triplet_weight: Weight of L_triplet.
        triplet: Which triplets L_triplet sees: `hard`, the furthest positive and the nearest
            negative of the batch, or `random`.
        margin: m of L_triplet.
        lr: Learning rate of both stages (Adam).
        lr_fall: Part of the last stage after which the rate is a tenth.
    """

    bdtr: BDTRConfig = field(default_factory=BDTRConfig)
    bdtr_weights: str = TRAIN_BDTR
    bdtr_sha256: str | None = None
    code: Width = 256  # slides; report 64
    encoder_widths: tuple[Width, ...] = ENCODER_WIDTHS  # slides, report
    decoder_widths: tuple[Width, ...] = DECODER_WIDTHS  # slides, report
    decoder_output: Literal["relu", "linear"] = "relu"  # slides, report
    classifier_width: Width = CLASSIFIER_WIDTH  # slides, report
    classifier_epochs: Epochs = 20  # ours
    disentangle_epochs: Epochs = 100  # ours
    norm: Norm = "l2"  # ours: s is compared by the Euclidean distance
    simple_weight: float = 1.0  # slides: the plain sum
    cross_weight: float = 1.0  # slides
    dis_weight: float = 1.0  # slides
    triplet_weight: float = 1.0  # slides
    triplet: Literal["hard", "random"] = "hard"  # slides, the best row
    margin: float = 0.3  # ours
    lr: float = 1e-3  # ours
    lr_fall: float = 0.6  # ours
