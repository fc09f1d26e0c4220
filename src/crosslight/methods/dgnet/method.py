"""DG-Net: joint discriminative and generative learning (Zheng et al., CVPR 2019).

An image is an appearance code and a structure code. Codes of two people are exchanged and decoded
to images of clothes on other bodies, and the re-identification backbone, which is the appearance
encoder, learns from them while they improve. A teacher is trained first.

A batch holds pairs of one person's images, one pair after the other; the first half of the pairs
are the paper's i, the second half its j (`data.sampling: pairs`). Letters: P pairs of a half, so
the images x and their partners t are 2P each: P of i, then P of j. x_ij has the
appearance of i on the structure of j; generated batches hold x_ij, then x_ji.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.contract import Scheduled, Stage, Update
from crosslight.methods.dgnet import equations
from crosslight.methods.dgnet.config import (
    TRAIN_TEACHER,
    DGNetConfig,
    adam,
    refuse_contradictions,
    sgd,
    stepped,
)
from crosslight.methods.dgnet.equations import RampedWeights, ramped_weights
from crosslight.methods.dgnet.generator import DrawsCodes
from crosslight.methods.dgnet.networks import (
    AppearanceEncoder,
)
from crosslight.methods.dgnet.pairs import Pairs, as_pairs, swapped
from crosslight.methods.dgnet.teacher import Teacher, knows, verdict
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.critic import MultiScaleCritic
from crosslight.nn.erasing import draw_rectangles, erase
from crosslight.nn.freezing import frozen
from crosslight.nn.normalize import Normalize
from crosslight.nn.precision import full_precision, graphless

TEACHER, JOINT = "teacher", "joint"
TEACHER_CHECK = 50
"""Iterations of the joint stage over which the teacher's accuracy is measured."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Everything that is decoded from the codes of real images.

    Attributes:
        codes: (2P, A, K) appearance codes of `Pairs.images`, without gradient.
        structure: (2P, S, h, w) structure codes of the same.
        same_image: (2P, 3, H, W) each image's own two codes decoded.
        same_id: (2P, 3, H, W) the partner's appearance on the image's structure.
        crossed: (2P, 3, H, W) x_ij, then x_ji.
    """

    codes: Tensor
    structure: Tensor
    same_image: Tensor
    same_id: Tensor
    crossed: Tensor


class DGNet(DrawsCodes):
    """DG-Net; see `DGNetConfig`."""

    Config = DGNetConfig
    terms: ClassVar = equations.TERMS
    fewest_ids: ClassVar = 4  # each half of a batch is normalised by itself
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "weights": "none",
        "dim": 32,
        "structure_width": 4,
        "adain_width": 16,
        "critic_width": 4,
        "dilations": (1, 2, 3),
        "teacher_warmup": 0,
        "teacher_iterations": 2,
        "iterations": 4,
        "ramp_start": 1,
        "ramp_step": 0.5,
    }
    distance = "dot"
    teacher_counts: Tensor

    def __init__(self, config: DGNetConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.appearance = AppearanceEncoder(backbone)
        self.primary, self.fine = (
            BottleneckHead(backbone.channels, config.dim, num_ids, dropout=dropout)
            for dropout in (config.primary_dropout, config.fine_dropout)
        )
        self.build_generator(config, backbone.channels)
        self.critic = MultiScaleCritic(width=config.critic_width, scales=config.critic_scales)
        self.init_generator()
        self.teacher = Teacher(
            build_backbone(config, (height, width), name=config.teacher_backbone),
            config.teacher_dim,
            num_ids,
            dropout=0.5,
        )
        # Images that the teacher has been asked about, and how many of them it knew.
        self.register_buffer("teacher_counts", torch.zeros(2, dtype=torch.int64))

    def stages(self) -> tuple[Stage, ...]:
        """The teacher's, which may be given, and the joint one."""
        config = self.config
        teacher = Stage(
            name=TEACHER,
            iterations=config.teacher_iterations,
            given=None if config.teacher_weights == TRAIN_TEACHER else config.teacher_weights,
            sha256=config.teacher_sha256,
            part="teacher",
        )
        return (teacher, Stage(name=JOINT, iterations=config.iterations))

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`teacher` and `identity` (SGD), `generator` and `critic` (Adam)."""
        config = self.config
        joint = stepped(config.lr_steps)
        found = {
            "critic": Scheduled(optimizer=adam(config, self.critic), factor=joint),
            "generator": Scheduled(optimizer=adam(config, self.generator), factor=joint),
            "identity": Scheduled(
                optimizer=sgd(
                    config,
                    (self.appearance, config.identity_lr),
                    (nn.ModuleList([self.primary, self.fine]), config.identity_head_lr),
                ),
                factor=joint,
            ),
        }
        if config.teacher_weights == TRAIN_TEACHER:
            rate = config.teacher_lr
            teacher = sgd(config, (self.teacher.backbone, rate / 10), (self.teacher.head, rate))
            found[TEACHER] = Scheduled(optimizer=teacher, factor=stepped(config.teacher_lr_steps))
        return found

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """The teacher's step or the joint one: critic, then generator, then identity."""
        pairs = as_pairs(
            self.normalize(batch.images),
            batch.labels,
            batch.modality,
            different_ids=self.config.different_ids,
        )
        if update.progress.stage == TEACHER:
            return self._teacher_step(pairs, update)
        if self.config.start_from_teacher and update.progress.iteration == 0:
            self.appearance.backbone.load_state_dict(self.teacher.backbone.state_dict())
        figures = self._examine_teacher(pairs, update)
        weights = ramped_weights(self.config, update.progress.iteration)
        counted = equations.loss_weights(self.config, weights)
        drawn = self._draw(pairs)

        critic = equations.critic_losses(self.critic, pairs.images, drawn.crossed)
        update("critic", critic, counted)
        generator, figures_only = self._generator_losses(pairs, drawn, weights)
        update(self._generator_moves(), generator, counted)
        # Nothing of the generator's graph is needed for what follows: memory of one or the other.
        crossed = drawn.crossed.detach()
        del drawn
        identity = self._identity_losses(pairs, crossed, weights)
        update("identity", identity, counted)
        return {**figures, **critic, **generator, **figures_only, **identity}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002
        """Primary and fine feature, each of length 1 before the fine one's weight.

        As published: each half is normalised, summed over the image and its mirror image, and
        normalised again; the inner product of two embeddings is the cosine of the primary halves
        plus `fine_score` times that of the fine halves.
        """
        codes = self._features(images)
        return torch.cat([codes["primary"], self.config.fine_score**0.5 * codes["fine"]], dim=1)

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Appearance, structure (pooled to 8 x 4), primary, fine and the teacher's embedding."""
        normalised = self.normalize(images)
        code, _ = self.appearance(normalised)
        structure = F.adaptive_avg_pool2d(self.structure(normalised), (8, 4))
        teacher = _mirrored_sum(self.teacher.embed, normalised)
        return {
            "appearance": code.flatten(1),
            "structure": structure.flatten(1).float(),
            **self._features(images),
            "teacher": teacher,
        }

    def _teacher_step(self, pairs: Pairs, update: Update) -> Mapping[str, Tensor]:
        images = self._erased(pairs.all_images)
        labels = pairs.labels.repeat(2)
        logits = self.teacher(images)
        loss = F.cross_entropy(logits, labels)
        warm = min(1.0, 0.1 + 0.9 * update.progress.iteration / max(1, self.config.teacher_warmup))
        update(TEACHER, {"loss_teacher": loss}, {"loss_teacher": warm})
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        return {"loss_teacher": loss, "teacher_accuracy": accuracy}

    def _generator_moves(self) -> str | tuple[str, ...]:
        """The optimizers that losses on what is decoded move."""
        return "generator"

    def _code_graph(self) -> AbstractContextManager[None]:
        """Whether losses on what is decoded reach the appearance encoder: not in the release."""
        return graphless()

    def _draw(self, pairs: Pairs) -> Drawn:
        """Self-identity and cross-identity generation (paper 3.1)."""
        # The codes are cut off from the backbone (release), so these passes keep no graph; they
        # still move the running statistics, those of the bottlenecks included.
        with self._code_graph():
            codes, vectors = self._encode(pairs.all_images, parts=4)
            for part in vectors.chunk(self._passes(4)):
                self._through_necks(part)
        structure = self.structure(pairs.images)
        colours = self.adain(codes)
        same_image, same_id, crossed = self.decoder(
            torch.cat([structure, structure, swapped(structure)]),
            torch.cat([colours, colours[: len(structure)]]),
        ).chunk(3)
        return Drawn(
            codes=codes[: len(structure)],
            structure=structure,
            same_image=same_image,
            same_id=same_id,
            crossed=crossed,
        )

    def _generator_losses(
        self, pairs: Pairs, drawn: Drawn, weights: RampedWeights
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What trains structure encoder, MLPs and decoder; and what is only logged."""
        losses = {
            "loss_recon_same_image": equations.loss_recon_same_image(
                drawn.same_image, pairs.images
            ),
            "loss_recon_same_id": equations.loss_recon_same_id(drawn.same_id, pairs.images),
            "loss_adversarial": equations.adversarial_loss(self.critic, drawn.crossed),
        }
        with frozen(self.appearance, self.primary):
            codes, vectors = self._encode(drawn.crossed, parts=2)
            with full_precision(vectors):
                parts = [self.primary(part) for part in vectors.chunk(self._passes(2))]
        losses["loss_id_generated"] = equations.loss_id_generated(torch.cat(parts), pairs.labels)
        if not weights.any:
            return losses, {}

        # Of x_ji, x_ij: the structures of i, j.
        structure = swapped(
            equations.encoded_again(self.structure, drawn.crossed, self.config.again_probability)
        )
        losses["loss_recon_structure"] = equations.loss_recon_structure(structure, drawn.structure)
        colours = self.adain(codes.detach())
        cycled = self.decoder(structure, colours)
        losses["loss_cycle"] = equations.loss_cycle(cycled, pairs.images)
        loss_appearance = equations.loss_recon_appearance(codes, drawn.codes)
        if self.config.appearance_code_gradient:
            return {**losses, "loss_recon_appearance": loss_appearance}, {}
        return losses, {"loss_recon_appearance": loss_appearance}

    def _identity_losses(
        self, pairs: Pairs, crossed: Tensor, weights: RampedWeights
    ) -> dict[str, Tensor]:
        """What trains the appearance encoder and its heads."""
        _, vectors = self._encode(self._erased(pairs.all_images), parts=4)
        primary, fine = self._classify(vectors, parts=4)
        own, partner = primary.chunk(2)
        losses = {
            "loss_id": equations.loss_id(own, pairs.labels),
            "loss_id_partner": equations.loss_id(partner, pairs.labels),
            "loss_id_fine": equations.loss_id(fine.chunk(2)[0], pairs.labels),
        }
        if not weights.any:
            return losses
        taught = equations.soft_labels(
            self.teacher,
            crossed,
            statistics=self.config.teacher_statistics,
            dropout=self.config.teacher_dropout,
        )
        _, vectors = self._encode(crossed, parts=2)
        primary, fine = self._classify(vectors, parts=2)
        losses["loss_primary"] = self._loss_primary(primary, taught)
        losses["loss_fine"] = equations.loss_fine(fine, pairs.other_labels)
        return losses

    def _loss_primary(self, logits: Tensor, taught: Tensor) -> Tensor:
        return equations.loss_primary(logits, taught)

    def _examine_teacher(self, pairs: Pairs, update: Update) -> dict[str, Tensor]:
        progress = update.progress
        last = min(TEACHER_CHECK, progress.iterations) - 1
        if progress.iteration > last:
            return {}
        right = knows(self.teacher, pairs.images, pairs.labels)
        self.teacher_counts += torch.stack([torch.full_like(right, len(pairs.images)), right])
        if progress.iteration == last:
            asked, known = self.teacher_counts.tolist()
            update.note(verdict(known / asked, asked, self.config.teacher_floor))
        return {"teacher_accuracy": right.float() / len(pairs.images)}

    def _erased(self, images: Tensor) -> Tensor:
        area = self.config.erasing_area
        return erase(images, draw_rectangles(images, probability=self.config.erasing, area=area))

    def _passes(self, parts: int) -> int:
        return 1 if self.config.joint_statistics else parts

    def _encode(self, images: Tensor, *, parts: int) -> tuple[Tensor, Tensor]:
        """Codes and vectors, each part normalised by its own batch statistics."""
        encoded = [self.appearance(part) for part in images.chunk(self._passes(parts))]
        return torch.cat([code for code, _ in encoded]), torch.cat([v for _, v in encoded])

    def _classify(self, vectors: Tensor, *, parts: int) -> tuple[Tensor, Tensor]:
        """Logits of both heads, each part normalised by its own batch statistics."""
        pieces = vectors.chunk(self._passes(parts))
        with full_precision(vectors):
            primary = torch.cat([self.primary(piece) for piece in pieces])
            return primary, torch.cat([self.fine(piece) for piece in pieces])

    def _through_necks(self, vectors: Tensor) -> None:
        with full_precision(vectors):
            self.primary.embed(vectors)
            self.fine.embed(vectors)

    def _features(self, images: Tensor) -> dict[str, Tensor]:
        normalised = self.normalize(images)
        own, mirrored = (self.appearance(view)[1] for view in (normalised, normalised.flip(-1)))
        with full_precision(own):
            return {
                name: F.normalize(F.normalize(head.embed(own)) + F.normalize(head.embed(mirrored)))
                for name, head in (("primary", self.primary), ("fine", self.fine))
            }


def _mirrored_sum(embed: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    return F.normalize(F.normalize(embed(images)) + F.normalize(embed(images.flip(-1))))
