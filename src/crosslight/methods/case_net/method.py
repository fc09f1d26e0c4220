"""CASE-Net: an image is a shape that knows no colour, and a colour.

One encoder finds the shape of an image in gray and in colour, and a critic tries to tell these two
apart; another one finds the colour. DG-Net's generator draws from both. Gray stands for infrared:
visible images are matched in gray, infrared ones as they are.

Batches are DG-Net's (`crosslight.methods.dgnet.method`), partners in one light; letters as in
`equations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.case_net import equations
from crosslight.methods.case_net.config import (
    SWITCHES,
    CaseNetAsppConfig,
    CaseNetConfig,
    CaseNetReleasedConfig,
    refuse_contradictions,
)
from crosslight.methods.case_net.networks import (
    DomainCritic,
    VectorClassifier,
    shape_encoder,
    structure_body,
)
from crosslight.methods.contract import Progress, Scheduled, Stage, Update, refuse_same_light
from crosslight.methods.dgnet.config import adam, sgd, stepped
from crosslight.methods.dgnet.equations import (
    adversarial_loss,
    critic_losses,
    falls,
    loss_cycle,
    loss_recon_same_id,
    loss_recon_same_image,
    loss_recon_structure,
    ramp_at,
)
from crosslight.methods.dgnet.generator import DrawsCodes
from crosslight.methods.dgnet.networks import AppearanceEncoder
from crosslight.methods.dgnet.pairs import light_pair_rows, pair_rows, swapped
from crosslight.methods.dgnet_vi import refuse_partners_across_light
from crosslight.methods.identity_first import IDENTITY, identity_first
from crosslight.nn.conv_block import init_kaiming
from crosslight.nn.critic import MultiScaleCritic
from crosslight.nn.freezing import frozen, unremembered
from crosslight.nn.normalize import Normalize, to_gray
from crosslight.nn.precision import full_precision
from crosslight.types import Modality

MEMORY = 100
"""Iterations over which the mean colour of a light is taken."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """A batch as the losses speak of it.

    Attributes:
        images: (2P, 3, H, W) x, normalised: those of i, then those of j.
        partners: (2P, 3, H, W) t.
        gray: (4P, 3, H, W) both in gray; infrared images are as they are.
        labels: (2P,).
        modality: (2P,).
    """

    images: Tensor
    partners: Tensor
    gray: Tensor
    labels: Tensor
    modality: Tensor

    @property
    def all_images(self) -> Tensor:
        """(4P, 3, H, W) images, then partners."""
        return torch.cat([self.images, self.partners])

    @property
    def visible(self) -> Tensor:
        """(2P,)."""
        return self.modality == Modality.VISIBLE


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the encoders make of a batch.

    Attributes:
        shape: (2P, S, h, w) s.
        colours: (4P, A, K) colour codes of images and partners.
        losses: What shape and colour have to say about people, and about gray.
        accuracy: How many gray images the shape's classifier names right.
    """

    shape: Tensor
    colours: Tensor
    losses: dict[str, Tensor]
    accuracy: Tensor


class CaseNet(DrawsCodes):
    """CASE-Net; see `CaseNetConfig`.

    Attributes:
        light_colours: (2, A, K) mean colour code of each light, over about `MEMORY` iterations.
        light_counts: (2,) iterations that have shown it.
    """

    Config = CaseNetConfig
    terms: ClassVar = equations.TERMS
    config: CaseNetConfig
    switches = SWITCHES
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "weights": "none",
        "shape_backbone": "resnet10-quarter",
        "shape_weights": "none",
        "body_network": "resnet10-quarter",
        "body_weights": "none",
        "structure_width": 4,
        "dilations": (1, 2, 3),
        "adain_width": 16,
        "critic_width": 4,
        "domain_width": 16,
        "lr": 4e-3,
        "identity_iterations": 2,
        "iterations": 4,
        "ramp_start": 1,
        "ramp_step": 0.01,
    }
    light_colours: Tensor
    light_counts: Tensor

    def __init__(self, config: CaseNetConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        backbone = build_backbone(config, (height, width))
        half = (0.5, 0.5, 0.5)
        own = config.normalisation == "backbone"
        self.normalize = Normalize(*((backbone.mean, backbone.std) if own else (half, half)))
        self.appearance = AppearanceEncoder(backbone, pooling="avg")
        structure = shape_encoder(config)
        doublings = 4 if config.shape_encoder == "resnet" else 2
        self.build_drawing(config, backbone.channels, structure, doublings=doublings)
        self.body = structure_body(config, structure.channels)
        channels = structure.channels if self.body is None else self.body.channels
        self.shape_head = VectorClassifier(channels, num_ids)
        self.colour_head = (
            VectorClassifier(backbone.channels, num_ids) if config.colour_identity else None
        )
        self.domain = DomainCritic(structure.channels, config.domain_width)
        self.critic = MultiScaleCritic(width=config.critic_width, scales=config.critic_scales)
        if config.shape_encoder == "resnet":
            # A ResNet has a start of its own, and perhaps weights.
            init_kaiming(self.adain)
            init_kaiming(self.decoder)
        else:
            self.init_generator()
        self._colour_trains = config.colour_identity or not config.detach_colour
        self.appearance.requires_grad_(self._colour_trains)
        codes = torch.zeros(len(Modality), backbone.channels, self.adain.blocks)
        self.register_buffer("light_colours", codes)
        self.register_buffer("light_counts", torch.zeros(len(Modality), dtype=torch.int64))

    def stages(self) -> tuple[Stage, ...]:
        """The joint one, after one in which nothing is drawn where that is wanted."""
        return identity_first(self.config.identity_iterations, self.config.iterations)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`generator` with the shape encoder, `critic` (Adam); `identity`, `domain` (SGD)."""
        config = self.config
        trunks = nn.ModuleList(part for part in (self.colour_head, self.body) if part is not None)
        if self._colour_trains:
            trunks.append(self.appearance)
        parts = [(self.shape_head, config.identity_head_lr), (trunks, config.identity_lr)]
        found = {
            "generator": adam(config, self.generator),
            "identity": sgd(config, *parts),
            "domain": sgd(config, (self.domain, config.domain_lr)),
            "critic": adam(config, self.critic),
        }
        factor = partial(_factor, config)
        return {n: Scheduled(optimizer=optimizer, factor=factor) for n, optimizer in found.items()}

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Encoders, generator and domain critic in one step; then the critic on the same images."""
        if update.progress.iteration == 0:
            refuse_partners_across_light(batch)
        scenes = self._scenes(batch)
        ramp = ramp_at(self.config, update.progress.iteration)
        weights = equations.loss_weights(self.config, ramp)
        seen = self._see(scenes)
        losses = seen.losses
        if update.progress.stage == IDENTITY:
            update(("generator", "identity", "domain"), losses, weights)
            return {**losses, "accuracy": seen.accuracy}
        self._remember(seen.colours, scenes.modality)
        codes = seen.colours.detach() if self.config.detach_colour else seen.colours
        same_image, same_id, crossed = self._draw(seen.shape, codes)
        losses |= {
            "loss_recon_same_image": loss_recon_same_image(same_image, scenes.images),
            "loss_recon_same_id": loss_recon_same_id(same_id, scenes.images),
            "loss_adversarial": adversarial_loss(self.critic, crossed),
            **self._losses_on_generated(scenes, seen, crossed, ramped=ramp.grown > 0),
        }
        update(("generator", "identity", "domain"), losses, weights)
        crossed = crossed.detach()
        del same_image, same_id
        critic = critic_losses(self.critic, scenes.images, crossed)
        update("critic", critic, weights)
        return {**losses, **critic, "accuracy": seen.accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002
        """The shape's vector behind its batch norm, of the image in gray unless told otherwise."""
        vectors = self._vectors(self.structure_code(images, gray=self.config.embed_gray))
        embedding: Tensor = self.shape_head.neck(vectors)
        return embedding

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:  # noqa: ARG002
        """`shape`, of the image in gray, and `colour`.

        The shape is its vector; of an `aspp` code without a body, whose mean is 0, the code pooled
        to 8 x 4.
        """
        code = self.structure_code(images)
        if self.config.shape_encoder == "aspp":
            shape = F.adaptive_avg_pool2d(code, (8, 4)).flatten(1).float()
        else:
            shape = self._vectors(code)
        return {"shape": shape, "colour": self.appearance(self.normalize(images))[0].flatten(1)}

    def structure_code(self, images: Tensor, *, gray: bool = True) -> Tensor:
        """(B, 3, H, W) in [0, 1] → (B, S, h, w), of the image in gray or as it is."""
        code: Tensor = self.structure(self.normalize(_in_gray(images) if gray else images))
        return code

    def translate(self, images: Tensor, source: int, target: int) -> Tensor:
        """Each image's shape in the mean colour of the other light; `swap` borrows one image's.

        Raises:
            ConfigError: Both lights are the same, or no training image was in the other one.
        """
        refuse_same_light(source, target)
        if not self.light_counts[target]:
            light = Modality(target).name.lower()
            raise ConfigError(
                f"Nothing was drawn from {light} images in training, so their colour is not known; "
                "borrow that of an image, with `crosslight swap`."
            )
        code = self.light_colours[target].expand(len(images), -1, -1)
        pixels = self.pixels(self.decoder(self.structure_code(images), self.adain(code)))
        return _in_gray(pixels) if target == Modality.INFRARED else pixels

    def _scenes(self, batch: Batch) -> Scenes:
        if self.config.exchange == "as-sampled":
            rows = pair_rows(batch.labels, different_ids=True)
        else:
            across = falls(0.5)
            rows = light_pair_rows(batch.labels, batch.modality, across=across)
        images = self.normalize(batch.images)
        gray = self.normalize(_in_gray(batch.images))
        return Scenes(
            images=images[rows],
            partners=images[rows + 1],
            gray=torch.cat([gray[rows], gray[rows + 1]]),
            labels=batch.labels[rows],
            modality=batch.modality[rows],
        )

    def _see(self, scenes: Scenes) -> Seen:
        """Both codes, and all losses on real images but the reconstructions."""
        count, visible = len(scenes.labels), scenes.visible.nonzero()[:, 0]
        # Gray and colour are normalised by the same statistics: those of what is trained on.
        shape = self.structure(torch.cat([scenes.gray, scenes.images[visible]]))
        vectors = self._vectors(shape)
        gray, partners, in_colour = vectors.split([count, count, len(visible)])
        labels = scenes.labels
        with full_precision(vectors):
            heard = vectors if self.config.shape_identity == "gray+colour" else vectors[: 2 * count]
            logits = self.shape_head(heard)
            losses = equations.identity_losses("shape", logits[: 2 * count], labels)
            if self.config.shape_identity == "gray+colour":
                losses["loss_id_shape_in_colour"] = equations.loss_id_shape_in_colour(
                    logits[2 * count :], labels[visible]
                )
            losses |= equations.triplet_losses(
                gray, gray.index_copy(0, visible, in_colour), partners, labels, scenes.visible
            )
        losses |= equations.domain_losses(self.domain, shape[2 * count :], shape[:count])
        colours, seen = self.appearance(scenes.all_images)
        if self.colour_head is not None:
            with full_precision(seen):
                losses |= equations.identity_losses("colour", self.colour_head(seen), labels)
        right = logits[:count].argmax(dim=1) == labels
        return Seen(
            shape=shape[:count], colours=colours, losses=losses, accuracy=right.float().mean()
        )

    def _draw(self, shape: Tensor, colours: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(2P, 3, H, W) each: x from its own codes, in its partner's colour, and x_ij, x_ji."""
        adain = self.adain(colours)
        drawn = self.decoder(
            torch.cat([shape, shape, swapped(shape)]), torch.cat([adain, adain[: len(shape)]])
        )
        same_image, same_id, crossed = drawn.chunk(3)
        return same_image, same_id, crossed

    def _losses_on_generated(
        self, scenes: Scenes, seen: Seen, crossed: Tensor, *, ramped: bool
    ) -> dict[str, Tensor]:
        """Whom a generated image shows by its shape and by its colour, and both codes again."""
        again = falls(self.config.again_probability)
        judges = [self.structure] if self.body is None else [self.structure, self.body]
        # What is drawn must not move the statistics that real images are matched by.
        learns: AbstractContextManager[None] = unremembered(*judges) if again else frozen(*judges)
        with learns:
            # Of x_ji, x_ij: the shapes of i, j.
            shape = self.structure(swapped(crossed.detach() if again else crossed))
            vectors = self._vectors(shape)
        with full_precision(vectors), unremembered(self.shape_head):
            logits = self.shape_head(vectors)
        losses = {"loss_id_generated_shape": equations.loss_id_generated(logits, scenes.labels)}
        if self.colour_head is None and not ramped:
            return losses
        with frozen(self.appearance):
            colours, vectors = self.appearance(crossed)
        if self.colour_head is not None:
            with full_precision(vectors), frozen(self.colour_head):
                logits = self.colour_head(vectors)
            losses["loss_id_generated_colour"] = equations.loss_id_generated(logits, scenes.labels)
        if ramped:
            own = seen.colours[: len(crossed)]
            cycled = self.decoder(shape, self.adain(colours.detach()))
            losses |= {
                "loss_recon_shape": loss_recon_structure(shape, seen.shape),
                "loss_recon_colour": equations.loss_recon_colour(colours, own),
                "loss_cycle": loss_cycle(cycled, scenes.images),
            }
        return losses

    def _vectors(self, shape: Tensor) -> Tensor:
        """(B, S, h, w) → (B, C), float32 or wider."""
        if self.body is not None:
            vectors: Tensor = self.body(shape)
            return vectors
        return shape.mean(dim=(2, 3), dtype=torch.promote_types(shape.dtype, torch.float32))

    def _remember(self, colours: Tensor, modality: Tensor) -> None:
        """Moves the mean colour of each light that the batch shows."""
        lights = modality.repeat(2)
        for light in Modality:
            shown = (lights == light).to(colours.dtype)
            mean = (shown[:, None, None] * colours.detach()).sum(dim=0) / shown.sum().clamp(min=1)
            self.light_counts[light] += shown.any()
            rate = shown.amax() / self.light_counts[light].clamp(min=1, max=MEMORY)
            self.light_colours[light].lerp_(mean, rate)


class CaseNetReleased(CaseNet):
    """CASE-Net as its authors' code runs; see `CaseNetReleasedConfig`."""

    Config = CaseNetReleasedConfig
    config: CaseNetReleasedConfig
    small: ClassVar = {**CaseNet.small, "ramp_start": None}


class CaseNetAspp(CaseNet):
    """CASE-Net with the code's shape encoder and a body behind it; see `CaseNetAsppConfig`."""

    Config = CaseNetAsppConfig
    config: CaseNetAsppConfig


def _in_gray(images: Tensor) -> Tensor:
    return to_gray(images).expand(-1, 3, -1, -1)


def _factor(config: CaseNetConfig, progress: Progress) -> float:
    return 1.0 if progress.stage == IDENTITY else stepped(config.lr_steps)(progress)
