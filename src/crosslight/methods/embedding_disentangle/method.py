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
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.bdtr import BDTR
from crosslight.methods.contract import Method, Progress, Scheduled, Stage, Update
from crosslight.methods.cross_modal_triplets import draw_negatives, draw_positives, hardest
from crosslight.methods.embedding_disentangle import equations
from crosslight.methods.embedding_disentangle.config import TRAIN_BDTR, EmbeddingDisentangleConfig
from crosslight.methods.embedding_disentangle.networks import Classifier, Decoder, Encoder
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.freezing import frozen
from crosslight.nn.per_modality import PerModality
from crosslight.nn.precision import wide

BACKBONE, CLASSIFIER, DISENTANGLE = "bdtr", "classifier", "disentangle"


class EmbeddingDisentangle(Method):
    """Approach 1; see `EmbeddingDisentangleConfig`."""

    Config = EmbeddingDisentangleConfig
    terms: ClassVar = equations.TERMS
    fewest_ids: ClassVar = 2
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
        dim, code = config.bdtr.dim, config.code
        self.s_encoder = PerModality(lambda: Encoder(dim, code, config.encoder_widths))
        self.m_encoder = PerModality(lambda: Encoder(dim, code, config.encoder_widths))
        self.decoder = PerModality(
            lambda: Decoder(code, dim, config.decoder_widths, config.decoder_output)
        )
        self.classifier = Classifier(dim, num_ids, config.classifier_width)

    def stages(self) -> tuple[Stage, ...]:
        """BDTR's, which may be given, the classifier's, and the disentangling one."""
        config = self.config
        bdtr = Stage(
            name=BACKBONE,
            epochs=config.bdtr.epochs,
            given=None if config.bdtr_weights == TRAIN_BDTR else config.bdtr_weights,
            sha256=config.bdtr_sha256,
            part="bdtr",
        )
        return (
            bdtr,
            Stage(name=CLASSIFIER, epochs=config.classifier_epochs, learns_from="bdtr"),
            Stage(name=DISENTANGLE, epochs=config.disentangle_epochs, learns_from="bdtr"),
        )

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
        update("codes", losses, equations.loss_weights(self.config))
        return losses

    def losses(self, embeddings: Tensor, labels: Tensor, modality: Tensor) -> dict[str, Tensor]:
        """The plain losses of the last stage whose weight is not 0.

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
            found["loss_simple"] = equations.loss_simple(rebuilt, embeddings, config.norm)
        if config.cross_weight:
            rebuilt = self.decoder(modality=modality, s=s[positive], m=m)
            found["loss_cross"] = equations.loss_cross(rebuilt, embeddings, config.norm)
        if config.dis_weight:
            mixed = self.decoder(modality=modality, s=s[negative], m=m)
            with frozen(self.classifier):
                logits = self.classifier(mixed)
            found["loss_dis"] = equations.loss_dis(logits, labels[negative])
        if config.triplet_weight:
            if config.triplet == "hard":
                order = 2 if config.norm == "l2" else 1
                s_now = wide(s.detach())
                positive, negative = hardest(torch.cdist(s_now, s_now, p=order), labels, modality)
            found["loss_triplet"] = equations.triplet_loss(
                wide(s), positive, negative, margin=config.margin, norm=config.norm
            )
        return found

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """s, to be compared by the Euclidean distance."""
        return wide(self.s_encoder(self._x(images, modality), modality=modality))

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """s, m and `bdtr`, the embedding x that they are parts of."""
        embeddings = self._x(images, modality)
        return {
            "s": wide(self.s_encoder(embeddings, modality=modality)),
            "m": wide(self.m_encoder(embeddings, modality=modality)),
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
        x: Tensor = F.normalize(wide(embeddings)) * math.sqrt(self.config.bdtr.dim)
        return x

    def _classifier_step(
        self, embeddings: Tensor, labels: Tensor, update: Update
    ) -> Mapping[str, Tensor]:
        logits = self.classifier(embeddings)
        loss = F.cross_entropy(wide(logits), labels)
        update("classifier", {"loss_classifier": loss})
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss_classifier": loss, "accuracy": accuracy}

    def _fall(self, progress: Progress) -> float:
        return 1.0 if progress.fraction < self.config.lr_fall else 0.1
