"""Identity from the structure code of DG-Net: a study's last approach, and that approach repaired.

Colour is no cue across spectra, so the study (Jambigi, 2020) takes the embedding from the
structure encoder instead of the appearance encoder. Its run fell from 45 to 11 percent rank-1.
`proposed-2020` is that run; each of the defects that explain the fall is a field of its
configuration and a switch (`REPAIRS`). `structure-id` has all of them repaired, takes identity
from both codes unless told otherwise, and offers what the study left for later (`FUTURE`).

Letters as in `crosslight.methods.dgnet.equations`: P pairs of a half, so the images x and their
partners t are 2P each; x_ij has the appearance of i on the structure of j. C length of an identity
vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.contract import Progress, Scheduled, Stage, Update
from crosslight.methods.dgnet.config import adam, stepped
from crosslight.methods.dgnet.equations import (
    Ramp,
    adversarial_loss,
    critic_losses,
    encoded_again,
    falls,
    loss_cycle,
    loss_id_generated,
    loss_recon_same_id,
    loss_recon_same_image,
    loss_recon_structure,
)
from crosslight.methods.dgnet.generator import DrawsCodes
from crosslight.methods.dgnet.networks import AppearanceEncoder
from crosslight.methods.dgnet.pairs import Pairs, as_light_pairs, as_pairs, swapped
from crosslight.methods.dgnet_vi import refuse_partners_across_light
from crosslight.methods.identity_first import IDENTITY, identity_first
from crosslight.methods.structure_id.attribute_head import AttributeHead
from crosslight.methods.structure_id.body import StructureBody, TwoHeads, in_parts
from crosslight.methods.structure_id.config import (
    FUTURE,
    REPAIRS,
    Proposed2020Config,
    StructureIdConfig,
    identity_optimizer,
    refuse_contradictions,
)
from crosslight.methods.structure_id.equations import (
    APPEARANCE,
    STRUCTURE,
    TERMS,
    identity_losses,
    loss_weights,
    ramp_of,
)
from crosslight.methods.structure_id.two_stream_appearance import (
    NeckHead,
    TwoStreamAppearance,
    agw_losses,
)
from crosslight.nn.conv_block import init_kaiming
from crosslight.nn.critic import MultiScaleCritic
from crosslight.nn.erasing import draw_rectangles, erase
from crosslight.nn.freezing import frozen
from crosslight.nn.normalize import Normalize, to_gray
from crosslight.nn.precision import full_precision, graphless


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the encoders make of a batch.

    Attributes:
        codes: (4P, A, K) appearance codes of `Pairs.all_images`.
        structure: (2P, S, h, w) structure codes of `Pairs.images`.
        vectors: Name of a code → (4P, C) identity vectors of `Pairs.all_images`, erased.
    """

    codes: Tensor
    structure: Tensor
    vectors: Mapping[str, Tensor]


class Proposed2020(DrawsCodes):
    """Identity from the structure code as the study's run had it; see `Proposed2020Config`."""

    Config = Proposed2020Config
    terms: ClassVar = TERMS
    config: Proposed2020Config
    switches: ClassVar = {**REPAIRS, **FUTURE}
    fewest_ids: ClassVar = 4  # each half of a batch is normalised by itself
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "body_network": "resnet10-quarter",
        "weights": "none",
        "body_weights": "none",
        "dim": 32,
        "structure_width": 4,
        "adain_width": 16,
        "critic_width": 4,
        "dilations": (1, 2, 3),
        # Behind statistics of a few images, more dropout hides what a few iterations learn.
        "primary_dropout": 0.1,
        "fine_dropout": 0.1,
        "lr": 4e-3,
        "identity_iterations": 2,
        "iterations": 4,
        "ramp_start": 1,
        "ramp_step": 0.01,
    }
    distance = "dot"

    def __init__(self, config: Proposed2020Config, *, num_ids: int, height: int, width: int):
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        agw = config.appearance_encoder == "agw"
        self.appearance = TwoStreamAppearance(backbone) if agw else AppearanceEncoder(backbone)
        self.build_generator(config, backbone.channels, source=config.structure_source)
        self.critic = MultiScaleCritic(width=config.critic_width, scales=config.critic_scales)
        self.body = nn.ModuleDict()
        if config.identity != APPEARANCE:
            self.body[STRUCTURE] = StructureBody(
                self.structure.channels,
                kind=config.structure_body,
                network=config.body_network,
                weights=config.body_weights,
                squeezed=config.squeezed,
            )
        sources = (STRUCTURE, APPEARANCE) if config.identity == "both" else (config.identity,)
        channels = {APPEARANCE: backbone.channels}
        channels |= {name: int(body.channels) for name, body in self.body.items()}  # type: ignore[arg-type]
        dropout = (config.primary_dropout, config.fine_dropout)
        self.heads = nn.ModuleDict()
        for name in sources:
            if name == APPEARANCE and isinstance(self.appearance, TwoStreamAppearance):
                self.heads[name] = NeckHead(self.appearance.vector_channels, num_ids)
            else:
                self.heads[name] = TwoHeads(channels[name], config.dim, num_ids, dropout=dropout)
        self.attributes = (
            AttributeHead(channels[STRUCTURE], config.attributes, str(config.attributes_file))
            if config.attributes
            else None
        )
        self.init_generator()
        if config.initialisation == "overwritten":
            init_kaiming(self.body)
            init_kaiming(self.heads)
        self._appearance_trains = config.appearance_learns or APPEARANCE in sources
        self.appearance.requires_grad_(self._appearance_trains)

    def stages(self) -> tuple[Stage, ...]:
        """The joint one, after one of identity alone where that is wanted; there is no teacher."""
        return identity_first(self.config.identity_iterations, self.config.iterations)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`critic` and `generator` (Adam), and `identity` where it has one of its own."""
        config = self.config
        factor = partial(_factor, config)
        trunks = nn.ModuleList([self.body])
        if self._appearance_trains:
            trunks.append(self.appearance)
        heads = nn.ModuleList([self.heads])
        if self.attributes is not None:
            heads.append(self.attributes)
        generator = self.generator
        identity: torch.optim.Optimizer | None = None
        if config.identity_optimizer == "generator":
            generator.extend([trunks, heads])
        else:
            identity = identity_optimizer(config, trunks, heads)
        found = {
            "critic": Scheduled(optimizer=adam(config, self.critic), factor=factor),
            "generator": Scheduled(optimizer=adam(config, generator), factor=factor),
        }
        if identity is not None:
            falling = partial(_falling, config) if config.identity_schedule == "cosine" else factor
            found["identity"] = Scheduled(optimizer=identity, factor=falling)
        return found

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Critic first; then, in one step, everything that is drawn and everybody's identity."""
        if update.progress.iteration == 0:
            refuse_partners_across_light(batch)
        if update.progress.stage == IDENTITY:
            pairs = self._pairs(batch, self._some_gray(batch.images))
            vectors = self._identity_vectors(self._erased(pairs.all_images), pairs.modality)
            losses = self._identity_losses(pairs, vectors)
            losses |= self._attribute_loss(batch, pairs, vectors)
            ends = Ramp(tested=torch.inf, grown=torch.inf)
            update(self._moved(), losses, loss_weights(self.config, ends))
            return losses
        pairs = self._pairs(batch, batch.images)
        ramp = ramp_of(self.config, update.progress.iteration)
        seen = self._see(pairs)
        codes = seen.codes if self.config.appearance_learns else seen.codes.detach()
        count = len(pairs.images)
        colours = self.adain(codes)
        same_image, same_id, crossed = self.decoder(
            torch.cat([seen.structure, seen.structure, swapped(seen.structure)]),
            torch.cat([colours, colours[:count]]),
        ).chunk(3)

        critic = critic_losses(self.critic, pairs.images, crossed)
        weights = loss_weights(self.config, ramp)
        update("critic", critic, weights)
        losses = {
            "loss_recon_same_image": loss_recon_same_image(same_image, pairs.images),
            "loss_recon_same_id": loss_recon_same_id(same_id, pairs.images),
            "loss_adversarial": adversarial_loss(self.critic, crossed),
        }
        if self.config.generated_identity == "coin":
            # After the real images, which move the running statistics first (run).
            identity = self._identity_losses(pairs, seen.vectors)
            generated = self._losses_by_coin(pairs, seen, crossed, ramped=ramp.grown > 0)
        else:
            generated = self._losses_on_generated(pairs, seen, crossed, ramped=ramp.grown > 0)
            identity = self._identity_losses(pairs, seen.vectors)
        losses |= {**generated, **identity, **self._attribute_loss(batch, pairs, seen.vectors)}
        update(self._moved(), losses, weights)
        return {**critic, **losses}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """The heads' embeddings, or logits, each of length 1, side by side."""
        features = self._features(images, modality)
        weight = self.config.appearance_score**0.5 if self.config.identity == "both" else 1.0
        return torch.cat(
            [
                weight * feature if name.startswith(APPEARANCE) else feature
                for name, feature in features.items()
            ],
            dim=1,
        )

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """Appearance, structure (pooled to 8 x 4), and each head's feature by itself."""
        normalised = self.normalize(images)
        structure = F.adaptive_avg_pool2d(self.structure(normalised), (8, 4))
        return {
            APPEARANCE: self.appearance(normalised, modality)[0].flatten(1),
            STRUCTURE: structure.flatten(1).float(),
            **self._features(images, modality),
        }

    def _pairs(self, batch: Batch, pixels: Tensor) -> Pairs:
        images = self.normalize(pixels)
        if self.config.exchange == "as-sampled":
            return as_pairs(images, batch.labels, batch.modality, different_ids=False)
        across = falls(0.5)
        return as_light_pairs(images, batch.labels, batch.modality, across=across)

    def _some_gray(self, pixels: Tensor) -> Tensor:
        if not self.config.identity_gray:
            return pixels
        drawn = torch.rand(len(pixels), 1, 1, 1, device=pixels.device)
        return torch.where(drawn < self.config.identity_gray, to_gray(pixels), pixels)

    def _see(self, pairs: Pairs) -> Seen:
        images, count = pairs.all_images, len(pairs.images)
        with nullcontext() if self._appearance_trains else graphless():
            codes, vectors = self._encode(images, pairs.modality, parts=4)
        if self.config.erasing:
            structure = self.structure(pairs.images)
            if not self.config.joint_statistics:
                self._pass_whole(pairs, structure.detach(), vectors)
            found = self._identity_vectors(self._erased(images), pairs.modality)
        else:
            # What the identity losses see is what is drawn: one pass serves both.
            structure = self.structure(images if self.body else pairs.images)
            found = {name: self._vectors(structure, parts=4) for name in self.body}
            found |= {APPEARANCE: vectors} if APPEARANCE in self.heads else {}
        return Seen(codes=codes, structure=structure[:count], vectors=found)

    def _pass_whole(self, pairs: Pairs, structure: Tensor, vectors: Tensor) -> None:
        """Moves the running statistics of what erased images alone train."""
        with graphless():
            partners = self.structure(pairs.partners)
            for name, heads in self._heads():
                if name == STRUCTURE:
                    seen = self._vectors(torch.cat([structure, partners]), parts=4)
                else:
                    seen = vectors
                with full_precision(seen):
                    heads.embeddings(seen, parts=self._passes(4))

    def _identity_vectors(self, images: Tensor, modality: Tensor) -> dict[str, Tensor]:
        found = {name: self._vectors(self.structure(images), parts=4) for name in self.body}
        if APPEARANCE in self.heads:
            found[APPEARANCE] = self._encode(images, modality, parts=4)[1]
        return found

    def _passes(self, parts: int) -> int:
        return 1 if self.config.joint_statistics else parts

    def _encode(self, images: Tensor, modality: Tensor, *, parts: int) -> tuple[Tensor, Tensor]:
        """Appearance codes and vectors, each part normalised by its own batch statistics."""
        passes = self._passes(parts)
        parted = zip(images.chunk(passes), modality.chunk(passes), strict=True)
        pieces = [self.appearance(part, lights) for part, lights in parted]
        if len(pieces) == 1:
            codes, vectors = pieces[0]
            return codes, vectors
        return torch.cat([code for code, _ in pieces]), torch.cat([v for _, v in pieces])

    def _vectors(self, structure: Tensor, *, parts: int) -> Tensor:
        """Vectors of structure codes, each part normalised by its own batch statistics."""
        return in_parts(self.body[STRUCTURE], structure, self._passes(parts))

    def _erased(self, images: Tensor) -> Tensor:
        if not self.config.erasing:
            return images
        area = self.config.erasing_area
        return erase(images, draw_rectangles(images, probability=self.config.erasing, area=area))

    def _moved(self) -> tuple[str, ...]:
        alone = self.config.identity_optimizer == "generator"
        return ("generator",) if alone else ("generator", "identity")

    def _losses_on_generated(
        self, pairs: Pairs, seen: Seen, crossed: Tensor, *, ramped: bool
    ) -> dict[str, Tensor]:
        """The person of the code that tells people apart must be seen in the image."""
        losses = {}
        lights = pairs.modality[: len(crossed)]  # of the appearances
        with frozen(self.structure, self.appearance, self.body, self.heads):
            codes, vectors = None, {}
            if APPEARANCE in self.heads or ramped:
                codes, vectors[APPEARANCE] = self._encode(crossed, lights, parts=2)
            if STRUCTURE in self.heads:
                vectors[STRUCTURE] = self._vectors(self.structure(crossed), parts=2)
            whose = {STRUCTURE: pairs.other_labels, APPEARANCE: pairs.labels}
            for name, heads in self._heads():
                with full_precision(vectors[name]):
                    logits = in_parts(heads.primary, vectors[name], self._passes(2))
                losses[f"loss_id_generated_{name}"] = loss_id_generated(logits, whose[name])
        if not ramped or codes is None:
            return losses
        # Of x_ji, x_ij: the structures of i, j.
        structure = swapped(encoded_again(self.structure, crossed, self.config.again_probability))
        return losses | self._taken_apart_again(pairs, seen, structure, codes)

    def _losses_by_coin(
        self, pairs: Pairs, seen: Seen, crossed: Tensor, *, ramped: bool
    ) -> dict[str, Tensor]:
        """The same, and one coin says who learns: everybody from fixed images, or the images."""
        again = falls(self.config.again_probability)
        images = swapped(crossed)  # x_ji, x_ij: the structures of i, j
        lights = pairs.modality[: len(crossed)]  # of the appearances of x_ij, x_ji
        learns: AbstractContextManager[None] = nullcontext()
        if again:
            images = images.detach()
        else:
            judges = (self.structure, self.appearance, self.body, self.heads)
            learns = frozen(*judges, statistics="running")
        losses = {}
        with learns:
            structure = self.structure(images)
            whose = {STRUCTURE: pairs.labels, APPEARANCE: pairs.other_labels}
            for name, heads in self._heads():
                if name == STRUCTURE:
                    vectors = self._vectors(structure, parts=2)
                else:
                    vectors = self._encode(images, swapped(lights), parts=2)[1]
                with full_precision(vectors):
                    logits = heads.logits(heads.embeddings(vectors, parts=self._passes(2)))
                losses[f"loss_id_generated_{name}"] = loss_id_generated(logits[0], whose[name])
        if not ramped:
            return losses
        with frozen(self.appearance):
            codes, _ = self._encode(crossed, lights, parts=2)
        return losses | self._taken_apart_again(pairs, seen, structure, codes)

    def _taken_apart_again(
        self, pairs: Pairs, seen: Seen, structure: Tensor, codes: Tensor
    ) -> dict[str, Tensor]:
        """Generated images must hold both codes: structures of i, j; appearances of i, j."""
        loss_structure = loss_recon_structure(structure, seen.structure)
        cycled = self.decoder(structure, self.adain(codes.detach()))
        cycle = loss_cycle(cycled, pairs.images)
        return {"loss_recon_structure": loss_structure, "loss_cycle": cycle}

    def _identity_losses(self, pairs: Pairs, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """On real images, for each code that tells people apart."""
        losses: dict[str, Tensor] = {}
        for name, heads in self._heads():
            with full_precision(found[name]):
                embeddings = heads.embeddings(found[name], parts=self._passes(4))
                logits = heads.logits(embeddings)
                losses |= (
                    agw_losses(self.config, name, found[name], logits[0], pairs.labels)
                    if isinstance(heads, NeckHead)
                    else identity_losses(self.config, name, embeddings, logits, pairs.labels)
                )
        return losses

    def _attribute_loss(
        self, batch: Batch, pairs: Pairs, found: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        if self.attributes is None:
            return {}
        labels = pairs.labels.repeat(2)
        return {"loss_attributes": self.attributes.loss(found[STRUCTURE], labels, batch)}

    def _heads(self) -> Iterator[tuple[str, TwoHeads | NeckHead]]:
        for name, heads in self.heads.items():
            assert isinstance(heads, TwoHeads | NeckHead)
            yield name, heads

    def _features(self, images: Tensor, modality: Tensor) -> dict[str, Tensor]:
        """`structure_primary`, `structure_fine`, `appearance_...`, each row of length 1."""
        normalised = self.normalize(images)
        views = [normalised.flip(-1)]
        if self.config.scored_views == "both":
            views.append(normalised)
        totals: dict[str, Tensor] = {}
        for view in views:
            for name, heads in self._heads():
                vectors = (
                    self.body[name](self.structure(view))
                    if name == STRUCTURE
                    else self.appearance(view, modality)[1]
                )
                with full_precision(vectors):
                    found = heads.embeddings(vectors)
                    if self.config.match_on == "logits":
                        found = heads.logits(found)
                    for head, rows in zip(("primary", "fine"), found, strict=False):
                        key = f"{name}_{head}"
                        totals[key] = totals.get(key, 0) + F.normalize(rows)
        return {key: F.normalize(total) for key, total in totals.items()}


def _factor(config: Proposed2020Config, progress: Progress) -> float:
    return 1.0 if progress.stage == IDENTITY else stepped(config.lr_steps)(progress)


def _falling(config: Proposed2020Config, progress: Progress) -> float:
    before = 0 if progress.stage == IDENTITY else config.identity_iterations
    done = (before + progress.iteration) / (config.identity_iterations + config.iterations)
    return 0.5 * (1 + math.cos(math.pi * done))


class StructureIdentity(Proposed2020):
    """The defects repaired; see `StructureIdConfig`."""

    Config = StructureIdConfig
    config: StructureIdConfig
    fewest_ids: ClassVar = 1  # its batches are of people in both lights
