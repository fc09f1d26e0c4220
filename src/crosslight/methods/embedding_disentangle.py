"""Approach 1: disentangling at the level of embeddings (Jambigi, IISc, project report, 2020).

A BDTR network is trained and frozen. Its embedding, brought to one length, is x. Encoders of each
modality take x apart into s, the identity, and m, the rest; decoders of each modality put them
together again: alike with the s of the same person in the other light, as somebody else with
somebody else's s. People are matched by s. Three stages: `bdtr`, `classifier`, `disentangle`; the
last two learn from the stored embeddings and never see an image.

Letters: N batch over all ranks, D embedding, d parts. x1 is an anchor, x2 its person and x3
somebody else, both in the other modality; here every image is the anchor of a triplet, so the
slides' visible and infrared anchors are one batch. D_k(m_a, s_b) is the decoder of modality k.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.bdtr import BDTR, BDTRConfig
from crosslight.methods.contract import Method, Progress, Scheduled, Stage, Update
from crosslight.methods.cross_modal_triplets import draw_negatives, draw_positives, hardest
from crosslight.methods.embedding_disentangle_networks import (
    CLASSIFIER_WIDTH,
    DECODER_WIDTHS,
    ENCODER_WIDTHS,
    Classifier,
    Decoder,
    Encoder,
)
from crosslight.methods.scaling import MethodConfig
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.freezing import frozen
from crosslight.nn.per_modality import PerModality
from crosslight.nn.precision import full_precision
from crosslight.nn.weights import initial_weights_wanted, load_weights, read_weights
from crosslight.ranges import Width

BACKBONE, CLASSIFIER, DISENTANGLE = "bdtr", "classifier", "disentangle"
Norm = Literal["l1", "l2", "mean"]
TRAIN_BDTR = "train"
_TINY = 1e-12


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
    classifier_epochs: int = 20  # ours
    disentangle_epochs: int = 100  # ours
    norm: Norm = "l2"  # ours: s is compared by the Euclidean distance
    simple_weight: float = 1.0  # slides: the plain sum
    cross_weight: float = 1.0  # slides
    dis_weight: float = 1.0  # slides
    triplet_weight: float = 1.0  # slides
    triplet: Literal["hard", "random"] = "hard"  # slides, the best row
    margin: float = 0.3  # ours
    lr: float = 1e-3  # ours
    lr_fall: float = 0.6  # ours


class EmbeddingDisentangle(Method):
    """Approach 1; see `EmbeddingDisentangleConfig`."""

    Config = EmbeddingDisentangleConfig
    small: ClassVar = {
        "bdtr": {"backbone": "resnet10-quarter", "weights": "none", "dim": 32, "epochs": 1},
        "code": 16,
        "encoder_widths": (32, 32),
        "decoder_widths": (32, 32),
        "classifier_width": 32,
        "classifier_epochs": 1,
        "disentangle_epochs": 2,
    }
    distance = "euclidean"

    def __init__(
        self, config: EmbeddingDisentangleConfig, *, num_ids: int, height: int, width: int
    ) -> None:
        super().__init__()
        self.config = config
        is_given = config.bdtr_weights != TRAIN_BDTR
        start = dataclasses.replace(config.bdtr, weights="none") if is_given else config.bdtr
        self.bdtr = BDTR(start, num_ids=num_ids, height=height, width=width)
        if is_given:
            if initial_weights_wanted():
                _load_bdtr(self.bdtr, config.bdtr_weights, config.bdtr_sha256)
            self.bdtr.requires_grad_(False)
        dim, code = config.bdtr.dim, config.code
        self.s_encoder = PerModality(lambda: Encoder(dim, code, config.encoder_widths))
        self.m_encoder = PerModality(lambda: Encoder(dim, code, config.encoder_widths))
        self.decoder = PerModality(
            lambda: Decoder(code, dim, config.decoder_widths, config.decoder_output)
        )
        self.classifier = Classifier(dim, num_ids, config.classifier_width)

    def stages(self) -> tuple[Stage, ...]:
        """BDTR's, unless its weights are given, the classifier's, and the disentangling one."""
        config = self.config
        last = (
            Stage(name=CLASSIFIER, epochs=config.classifier_epochs, learns_from="bdtr"),
            Stage(name=DISENTANGLE, epochs=config.disentangle_epochs, learns_from="bdtr"),
        )
        if config.bdtr_weights != TRAIN_BDTR:
            return last
        return (Stage(name=BACKBONE, epochs=config.bdtr.epochs), *last)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`model` (BDTR's own), `classifier` and `codes` (Adam)."""
        parts = nn.ModuleList([self.s_encoder, self.m_encoder, self.decoder])
        rate = self.config.lr
        # Fused: a step on so many weights otherwise costs as much as computing their gradients.
        classifier, codes = (
            torch.optim.Adam(network.parameters(), lr=rate, fused=True)
            for network in (self.classifier, parts)
        )
        found = {
            "classifier": Scheduled(optimizer=classifier),
            "codes": Scheduled(optimizer=codes, factor=self._fall),
        }
        if self.config.bdtr_weights == TRAIN_BDTR:
            found |= self.bdtr.optimizers()
        return found

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """BDTR's step, the classifier's, or the disentangling one."""
        if update.progress.stage == BACKBONE:
            return self.bdtr.training_step(batch, update)
        # Every process takes the whole batch: it is cheap, and every image finds its partners.
        embeddings = gather_with_gradient(self._frozen_embeddings(batch))  # (N, D)
        labels = gather_with_gradient(batch.labels)
        if update.progress.stage == CLASSIFIER:
            return self._classifier_step(embeddings, labels, update)
        losses = self.losses(embeddings, labels, gather_with_gradient(batch.modality))
        update("codes", losses)
        return losses

    def losses(self, embeddings: Tensor, labels: Tensor, modality: Tensor) -> dict[str, Tensor]:
        """The weighted losses of the last stage whose weight is not 0.

        Args:
            embeddings: (N, D) x, of the frozen network.
            labels: (N,).
            modality: (N,).

        Raises:
            ConfigError: An image has no partner in the other modality.
        """
        config = self.config
        positive = draw_positives(labels, modality)
        negative = draw_negatives(labels, modality)
        s = self.s_encoder(embeddings, modality=modality)
        m = self.m_encoder(embeddings, modality=modality)
        found: dict[str, Tensor] = {}
        if config.simple_weight:
            rebuilt = self.decoder(modality=modality, s=s, m=m)
            # x1, x2 and x3: each image plays the three of them.
            found["loss_simple"] = config.simple_weight * 3 * self._apart(rebuilt, embeddings)
        if config.cross_weight:
            rebuilt = self.decoder(modality=modality, s=s[positive], m=m)
            # |x1 - D_1(m1, s2)| + |x2 - D_2(m2, s1)|
            found["loss_cross"] = config.cross_weight * 2 * self._apart(rebuilt, embeddings)
        if config.dis_weight:
            mixed = self.decoder(modality=modality, s=s[negative], m=m)
            with frozen(self.classifier):
                logits = self.classifier(mixed)
            with full_precision(logits):
                # -log p(y3 | D_1(m1, s3)) - log p(y1 | D_3(m3, s1))
                loss = 2 * F.cross_entropy(_wide(logits), labels[negative])
            found["loss_dis"] = config.dis_weight * loss
        if config.triplet_weight:
            with full_precision(s):
                if config.triplet == "hard":
                    order = 2 if config.norm == "l2" else 1
                    distances = torch.cdist(_wide(s.detach()), _wide(s.detach()), p=order)
                    positive, negative = hardest(distances, labels, modality)
                loss = triplet_loss(
                    _wide(s), positive, negative, margin=config.margin, norm=config.norm
                )
            found["loss_triplet"] = config.triplet_weight * loss
        return found

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """s, to be compared by the Euclidean distance."""
        return _wide(self.s_encoder(self._x(images, modality), modality=modality))

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """s, m and `bdtr`, the embedding x that they are parts of."""
        embeddings = self._x(images, modality)
        return {
            "s": _wide(self.s_encoder(embeddings, modality=modality)),
            "m": _wide(self.m_encoder(embeddings, modality=modality)),
            "bdtr": embeddings,
        }

    def _frozen_embeddings(self, batch: Batch) -> Tensor:
        if batch.feats is not None:
            return batch.feats
        with torch.no_grad(), frozen(self.bdtr, statistics="running"):
            return self._x(batch.images, batch.modality)

    def _x(self, images: Tensor, modality: Tensor) -> Tensor:
        """(B, D), each of length sqrt(D), so that its values are about 1.

        BDTR's people are compared by the cosine: lengths say little about who it is.
        """
        embeddings = self.bdtr.embed(images, modality)
        with full_precision(embeddings):
            x: Tensor = F.normalize(_wide(embeddings)) * math.sqrt(self.config.bdtr.dim)
        return x

    def _classifier_step(
        self, embeddings: Tensor, labels: Tensor, update: Update
    ) -> Mapping[str, Tensor]:
        logits = self.classifier(embeddings)
        with full_precision(logits):
            loss = F.cross_entropy(_wide(logits), labels)
        update("classifier", {"loss_classifier": loss})
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss_classifier": loss, "accuracy": accuracy}

    def _apart(self, rebuilt: Tensor, embeddings: Tensor) -> Tensor:
        with full_precision(rebuilt):
            return lengths(_wide(rebuilt) - _wide(embeddings), self.config.norm).mean()

    def _fall(self, progress: Progress) -> float:
        return 1.0 if progress.fraction < self.config.lr_fall else 0.1


def lengths(vectors: Tensor, norm: Norm) -> Tensor:
    """| | of each row.

    Args:
        vectors: (N, D).
        norm: See `EmbeddingDisentangleConfig`.

    Returns:
        (N,); where a row is 0 the gradient is 0.
    """
    if norm == "l2":
        return vectors.square().sum(dim=1).clamp_min(_TINY).sqrt()
    sizes = vectors.abs()
    return sizes.sum(dim=1) if norm == "l1" else sizes.mean(dim=1)


def triplet_loss(
    s: Tensor, positive: Tensor, negative: Tensor, *, margin: float, norm: Norm
) -> Tensor:
    """L_triplet: mean of max(0, m + |s1 - s2| - |s1 - s3|).

    Args:
        s: (N, d) of the anchors.
        positive: (N,) row of each one's s2.
        negative: (N,) row of each one's s3.
        margin: m.
        norm: What | | is.
    """
    to_positive = lengths(s - s[positive], norm)
    to_negative = lengths(s - s[negative], norm)
    return F.relu(margin + to_positive - to_negative).mean()


def _load_bdtr(bdtr: BDTR, file: str, sha256: str | None) -> None:
    path = Path(file).expanduser()
    weights = read_weights(path, sha256=sha256)
    own = {k.removeprefix("bdtr."): v for k, v in weights.items() if k.startswith("bdtr.")}
    load_weights(bdtr, own or weights, source=f"The BDTR weight file {path}")


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
