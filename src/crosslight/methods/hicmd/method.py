"""Hi-CMD: the order of its updates, its embedding, and what it can draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.contract import Method, Scheduled, Stage, Update, refuse_same_light
from crosslight.methods.dgnet.networks import Decoder, StructureEncoder
from crosslight.methods.hicmd import equations
from crosslight.methods.hicmd.config import (
    HiCMDConfig,
    adam,
    halving,
    refuse_contradictions,
    sgd,
)
from crosslight.methods.hicmd.equations import Lights, Rows
from crosslight.methods.hicmd.networks import (
    BLOCKS,
    AttributeEncoder,
    PrototypeVector,
    illumination_of,
    joined,
    numbers_per_block,
    pose_of,
    style_of,
)
from crosslight.methods.hicmd.pairs import TakenApart, taken_apart
from crosslight.methods.identity_first import IDENTITY, identity_first
from crosslight.nn.adain import AdaINParameters
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.conv_block import init_kaiming
from crosslight.nn.critic import MultiScaleCritic
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.erasing import draw_rectangles, erase
from crosslight.nn.modality_of import modality_of
from crosslight.nn.normalize import Normalize, to_gray
from crosslight.nn.per_modality import PerModality
from crosslight.nn.precision import full_precision, graphless
from crosslight.nn.two_stream import build_streams
from crosslight.types import Modality

STRIDE = 32
"""From an image to the attribute encoder's last map."""
MOMENTUM = 0.01
"""Of the mean illumination of each light."""
PARTS = ("prototype", "style", "pose", "illumination")
_TOGETHER = ((0, 4), (1, 5), (2,), (3,))
_ONE_BY_ONE = ((0,), (1,), (2,), (3,), (4,), (5,))


@dataclass(frozen=True, kw_only=True)
class Codes:
    """What images of both lights are taken apart into.

    Attributes:
        prototype: (N, S, H / 4, W / 4) of the visible ones, of the infrared ones.
        attribute: (N, K, D) likewise.
    """

    prototype: Lights
    attribute: Lights


class HiCMD(Method):
    """Hi-CMD; see `HiCMDConfig`."""

    Config = HiCMDConfig
    terms: ClassVar = equations.TERMS
    fewest_ids: ClassVar = 2
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "weights": "none",
        "structure_width": 4,
        "dilations": (1, 2, 3),
        "adain_width": 16,
        "critic_width": 4,
        "critic_scales": 2,
        "dim": 32,
        "triplet_dim": 16,
        "identity_iterations": 2,
        "iterations": 4,
        "identity_lr": 0.02,
    }
    switches: ClassVar = {
        "own-style": {"config.self_style": "own"},
        "without-cross": {"config.cross_weight": 0.0},
        "without-cycle": {"config.cycle_weight": 0.0},
        "without-code": {"config.code_weight": 0.0},
        "without-excluded": {"config.excluded_weight": 0.0},
        "without-illumination": {"config.illumination_weight": 0.0},
        "without-drawn-visible": {"config.without_rows": ["drawn-visible"]},
        "without-drawn-infrared": {"config.without_rows": ["drawn-infrared"]},
        "without-negative-visible": {"config.without_rows": ["negative-visible"]},
        "without-negative-infrared": {"config.without_rows": ["negative-infrared"]},
        "without-mixed-visible": {"config.without_rows": ["mixed-visible"]},
        "without-mixed-infrared": {"config.without_rows": ["mixed-infrared"]},
        "style-alone": {"config.share": 0.0, "config.learn_share": False},
        "halves": {"config.share": 0.5, "config.learn_share": False},
        "prototype-alone": {"config.share": 1.0, "config.learn_share": False},
        "gray": {"config.gray": True},
        "without-erasing": {"config.erasing": 0.0},
        "joint-statistics": {"config.joint_statistics": True},
        "released-statistics": {"config.joint_statistics": False},
        "with-val-people": {"data.train_splits": ["train", "val"], "data.validation": "none"},
    }
    parts: ClassVar = PARTS
    illumination_running_mean: Tensor

    def __init__(self, config: HiCMDConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        backbone, used = (
            build_backbone(config, (height, width), name=name)
            for name in (config.backbone, config.prototype_backbone)
        )
        self.normalize = Normalize(backbone.mean, backbone.std)
        numbers = numbers_per_block(backbone)
        prototype = StructureEncoder(
            config.structure_width, config.dilations, source="colour", slope=config.slope
        )
        critic = MultiScaleCritic(
            width=config.critic_width, scales=config.critic_scales, slope=config.slope
        )
        self.adain = AdaINParameters(
            numbers,
            blocks=BLOCKS,
            channels=prototype.channels,
            hidden=config.adain_width,
            slices="stripes",
            slope=config.slope,
        )
        self.decoder = Decoder(prototype.channels, slope=config.slope)
        for network in (prototype, self.adain, self.decoder):
            init_kaiming(network)
        # Each light has networks of its own, which start alike.
        self.prototype = PerModality(lambda: deepcopy(prototype))
        streams = build_streams(backbone, "whole")
        assert isinstance(streams, PerModality)
        networks = iter(streams.networks)
        self.attribute = PerModality(lambda: AttributeEncoder(next(networks)))
        self.critics = nn.ModuleList(deepcopy(critic) for _ in Modality)
        self.vector = PrototypeVector(used, prototype.channels)
        length = self.vector.channels + BLOCKS * numbers // 2
        self.head = BottleneckHead(
            length, config.dim, num_ids, dropout=config.dropout, gain_std=0.02
        )
        self.metric = nn.Linear(config.dim, config.triplet_dim)
        nn.init.kaiming_normal_(self.metric.weight, mode="fan_out")
        nn.init.zeros_(self.metric.bias)
        self.share = nn.Parameter(torch.tensor(config.share), requires_grad=config.learn_share)
        means = torch.zeros(len(Modality), BLOCKS, numbers // 4)
        self.register_buffer("illumination_running_mean", means)

    def stages(self) -> tuple[Stage, ...]:
        """The joint one, after one of identity alone where that is wanted."""
        return identity_first(self.config.identity_iterations, self.config.iterations)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`critic` and `generator` (Adam), `identity` (SGD)."""
        config = self.config
        generator = nn.ModuleList([self.prototype, self.attribute, self.adain, self.decoder])
        judges = nn.ModuleList([self.vector, self.head, self.metric])
        share = self.share if config.learn_share else None
        factor = halving(config)
        return {
            "critic": Scheduled(optimizer=adam(config, self.critics), factor=factor),
            "generator": Scheduled(optimizer=adam(config, generator), factor=factor),
            "identity": Scheduled(optimizer=sgd(config, judges, share), factor=factor),
        }

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Critics first; then, in one step, everything that is drawn and everybody's identity."""
        images, weights = self._seen(batch.images), equations.loss_weights(self.config)
        rows = taken_apart(batch.labels, batch.modality, pair_share=self.config.pair_share)
        if update.progress.stage == IDENTITY:
            losses, accuracy = self._identity_of_all(images, batch)
            losses = _counted(losses, weights)
            update(("generator", "identity"), losses, weights)
            return self._figures(losses, accuracy)

        _refuse_single_values(rows, images)
        real = images[rows.pairs[0]], images[rows.pairs[1]]
        if not self.config.joint_statistics:
            self._pass_for_critics(real)
        codes = self._encode(real)
        self._remember_illumination(codes.attribute)
        drawn = self._draw(codes)
        judged = {"loss_critic": "cross", "loss_critic_illumination": "relit"}
        pictures = {loss: drawn[kind] for loss, kind in judged.items() if weights[loss]}
        critic: dict[str, Tensor] = {}
        if pictures:
            critic = _counted(equations.critic_losses(self.critics, real, pictures), weights)
            update("critic", critic, weights)
        losses = self._drawing_losses(real, codes, drawn)
        identity, accuracy = self._identity_losses(images, batch.labels, rows, drawn["cross"])
        losses = _counted({**losses, **identity}, weights)
        update(("generator", "identity"), losses, weights)
        return self._figures({**critic, **losses}, accuracy)

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """f1, the head's values after its batch norm."""
        found = self._embedding(images, modality)
        if not self.config.flip_test:
            return found
        return F.normalize(found) + F.normalize(self._embedding(images.flip(-1), modality))

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """What people are matched by, part by part.

        `prototype` (C), `style`, `pose` and `illumination` of the attribute, `combined`, the vector
        that the first and the second of them make, and `identity`, which is the embedding.
        """
        seen = self._seen(images)
        prototype = self.vector(self.prototype(seen, modality=modality))
        attribute = self.attribute(seen, modality=modality)
        return {
            "prototype": prototype,
            "style": style_of(attribute).flatten(1),
            "pose": pose_of(attribute).flatten(1),
            "illumination": illumination_of(attribute).flatten(1),
            "combined": equations.matching_vector(prototype, style_of(attribute), self.share),
            "identity": self.embed(images, modality),
        }

    def exchange(self, taken: Tensor, kept: Tensor, parts: Sequence[str]) -> Tensor:
        """Images with some parts of others; three equal channels count as infrared.

        Args:
            taken: (B, 3, H, W) in [0, 1], whose parts are put in.
            kept: (B, 3, H, W) in [0, 1], of which everything else stays.
            parts: Any of `PARTS`.

        Returns:
            (B, 3, H, W) in [0, 1].

        Raises:
            ConfigError: There is no such part.
        """
        unknown = sorted(set(parts) - set(PARTS))
        if unknown:
            raise ConfigError(
                f"Hi-CMD has no part {unknown[0]!r} to exchange; name {', '.join(PARTS)}."
            )
        own, other = self._parts(kept), self._parts(taken)
        return self._drawn({name: (other if name in parts else own)[name] for name in PARTS})

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """The style of one image on prototype, pose and illumination of another."""
        return self.exchange(appearance, structure, ("style",))

    def interpolate(
        self, first: Tensor, second: Tensor, structure: Tensor, fraction: float
    ) -> Tensor:
        """Styles on the straight line between those of two images."""
        parts = self._parts(structure)
        style = self._parts(first)["style"]
        if fraction:
            style = style.lerp(self._parts(second)["style"], fraction)
        return self._drawn({**parts, "style": style})

    def translate(self, images: Tensor, source: int, target: int) -> Tensor:
        """The same in the mean illumination of the other light's training images.

        Raises:
            ConfigError: Both lights are the same.
        """
        refuse_same_light(source, target)
        light = torch.full((len(images),), source, device=images.device)
        parts = self._parts(images, light)
        mean = self.illumination_running_mean[target].expand_as(parts["illumination"])
        return self._drawn({**parts, "illumination": mean})

    def structure_maps(self, images: Tensor) -> Tensor:
        """The prototype of each image, (B, S, H / 4, W / 4), float32."""
        return self._parts(images)["prototype"].float()

    def _seen(self, images: Tensor) -> Tensor:
        if self.config.gray:
            images = to_gray(images).expand_as(images)
        seen: Tensor = self.normalize(images)
        return seen

    def _encode(self, images: Lights) -> Codes:
        """Each light by its own encoders."""
        prototypes, attributes = (
            tuple(network(x) for network, x in zip(encoder.networks, images, strict=True))
            for encoder in (self.prototype, self.attribute)
        )
        return Codes(prototype=prototypes, attribute=attributes)

    def _pass_for_critics(self, images: Lights) -> None:
        """Moves running statistics as the release does, which draws twice in an iteration."""
        with graphless():
            for network, x in zip(self.attribute.networks, images, strict=True):
                network(x)

    def _remember_illumination(self, attribute: Lights) -> None:
        with torch.no_grad():
            found = torch.stack([illumination_of(s).mean(dim=0) for s in attribute])
            self.illumination_running_mean.lerp_(found, MOMENTUM)

    def _decode(self, *wanted: tuple[Lights, Lights]) -> list[Lights]:
        """Draws pairs of prototypes and attributes of both lights, all at once."""
        prototypes = torch.cat([c for prototype, _ in wanted for c in prototype])
        attributes = torch.cat([s for _, attribute in wanted for s in attribute])
        drawn = self.decoder(prototypes, self._colours(attributes)).chunk(2 * len(wanted))
        return list(zip(drawn[::2], drawn[1::2], strict=True))

    def _colours(self, attribute: Tensor) -> Tensor:
        colours: Tensor = self.adain(attribute.mT)
        return colours

    def _draw(self, codes: Codes) -> dict[str, Lights]:
        """`self`, `cross` and `relit` images, each of a, then of b, where they are needed."""
        config = self.config
        a, b = codes.prototype
        attribute = equations.exchanged(codes.attribute)
        wanted = {"cross": ((b, a), attribute)}
        if config.self_weight:
            own = attribute if config.self_style == "partner" else codes.attribute
            wanted["self"] = ((a, b), own)
        if config.illumination_weight:
            wanted["relit"] = ((b, a), equations.relit(codes.attribute))
        return dict(zip(wanted, self._decode(*wanted.values()), strict=True))

    def _drawing_losses(
        self, real: Lights, codes: Codes, drawn: Mapping[str, Lights]
    ) -> dict[str, Tensor]:
        """What trains encoders, MLPs and decoder."""
        config, crossed = self.config, drawn["cross"]
        losses = {
            "loss_recon_cross": equations.loss_recon_cross(crossed, real),
            "loss_excluded": equations.loss_excluded(codes.attribute),
        }
        if "self" in drawn:
            losses["loss_recon_self"] = equations.loss_recon_self(drawn["self"], real)
        if config.cycle_weight or config.code_weight:
            again = self._encode(crossed)
            attribute = equations.exchanged(codes.attribute)
            losses["loss_code"] = equations.loss_code(again.attribute, attribute)
            if config.cycle_weight:
                of_b, of_a = again.prototype
                (cycled,) = self._decode(((of_a, of_b), attribute))
                losses["loss_cycle"] = equations.loss_cycle(cycled, real)
        if config.adversarial_weight:
            losses["loss_adversarial"] = equations.loss_adversarial(self.critics, crossed)
        if "relit" in drawn:
            relit = equations.loss_adversarial(self.critics, drawn["relit"])
            losses["loss_adversarial_illumination"] = relit
        return losses

    def _identity_losses(
        self, images: Tensor, labels: Tensor, rows: TakenApart, crossed: Lights
    ) -> tuple[dict[str, Tensor], Tensor]:
        """What trains encoders, the prototype's layers, the head and w: never what draws."""
        (a, b), without = rows.pairs, self.config.without_rows
        not_a, not_b = (
            row[: 0 if f"negative-{light.name.lower()}" in without else len(row)]
            for light, row in zip(Modality, rows.negatives, strict=True)
        )
        drawn = [x.detach() for x in crossed]
        parts = [images[a], images[b], *drawn, images[not_a], images[not_b]]
        counts = [len(part) for part in parts]
        parts = list(self._erased(torch.cat(parts)).split(counts))
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for group in _TOGETHER if self.config.joint_statistics else _ONE_BY_ONE:
            seen, light = torch.cat([parts[place] for place in group]), group[0] % 2
            if not len(seen):
                continue
            codes = (e.networks[light](seen) for e in (self.prototype, self.attribute))
            pieces = (code.split([counts[place] for place in group]) for code in codes)
            found |= dict(zip(group, zip(*pieces, strict=True), strict=True))
        prototypes, attributes = (
            torch.cat(pieces) for pieces in zip(*(found[n] for n in sorted(found)), strict=True)
        )
        chosen = equations.identity_rows(
            len(a), (len(not_a), len(not_b)), without=without, device=images.device
        )
        people = torch.cat([labels[row] for row in (a, b, a, b, not_a, not_b)])
        return self._judged(prototypes, attributes, people, chosen)

    def _identity_of_all(self, images: Tensor, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The same where nothing is drawn: every image is a row by itself."""
        seen, light = self._erased(images), batch.modality
        every = torch.arange(len(images), device=images.device)
        infrared = light == int(Modality.INFRARED)
        rows = Rows(
            prototype=every, style=every, infrared=infrared, negative=torch.zeros_like(infrared)
        )
        prototypes, attributes = (e(seen, modality=light) for e in (self.prototype, self.attribute))
        return self._judged(prototypes, attributes, batch.labels, rows)

    def _judged(
        self, prototypes: Tensor, attributes: Tensor, people: Tensor, rows: Rows
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Identity losses over the rows of all processes, and the part that is named right."""
        vectors, styles = self.vector(prototypes), style_of(attributes)
        with full_precision(vectors):
            combined = equations.matching_vector(
                vectors[rows.prototype], styles[rows.style], self.share
            )
            combined, labels, infrared, negative = (
                gather_with_gradient(x)
                for x in (combined, people[rows.prototype], rows.infrared, rows.negative)
            )
            embeddings = self.head.dropout(self.head.embed(combined))
            logits, features = self.head.classifier(embeddings), self.metric(embeddings)
            loss_triplet = torch.stack(
                [
                    equations.loss_triplet(features, labels, anchors, margin=self.config.margin)
                    for anchors in (~infrared & ~negative, infrared & ~negative)
                ]
            ).sum()
            losses = {"loss_id": F.cross_entropy(logits, labels), "loss_triplet": loss_triplet}
        return losses, (logits.argmax(dim=1) == labels).float().mean()

    def _erased(self, images: Tensor) -> Tensor:
        if not self.config.erasing:
            return images
        area = self.config.erasing_area
        return erase(images, draw_rectangles(images, probability=self.config.erasing, area=area))

    def _figures(self, losses: Mapping[str, Tensor], accuracy: Tensor) -> dict[str, Tensor]:
        return {**losses, "accuracy": accuracy, "share": self.share.detach().clone()}

    def _embedding(self, images: Tensor, modality: Tensor) -> Tensor:
        seen = self._seen(images)
        prototype = self.vector(self.prototype(seen, modality=modality))
        style = style_of(self.attribute(seen, modality=modality))
        with full_precision(prototype):
            combined = equations.matching_vector(prototype, style, self.share)
            return self.head.embed(combined)

    def _parts(self, images: Tensor, light: Tensor | None = None) -> dict[str, Tensor]:
        """Prototype, style, pose and illumination of images in [0, 1]."""
        light = modality_of(images) if light is None else light
        seen = self._seen(images)
        attribute = self.attribute(seen, modality=light)
        return {
            "prototype": self.prototype(seen, modality=light),
            "style": style_of(attribute),
            "pose": pose_of(attribute),
            "illumination": illumination_of(attribute),
        }

    def _drawn(self, parts: Mapping[str, Tensor]) -> Tensor:
        attribute = joined(parts["style"], parts["pose"], parts["illumination"])
        drawn: Tensor = self.decoder(parts["prototype"], self._colours(attribute))
        return (drawn * self.normalize.std + self.normalize.mean).clamp(0, 1)


def _refuse_single_values(rows: TakenApart, images: Tensor) -> None:
    """Checks that batch normalisation, which sees each kind by itself, has two values to compare.

    Raises:
        ConfigError: It has one.
    """
    height, width = images.shape[2:]
    fewest = min(len(side) for side in (*rows.pairs, *rows.negatives) if len(side))
    if fewest == 1 and max(height, width) <= STRIDE:
        raise ConfigError(
            f"A batch of {len(images)} images leaves one pair or stranger in a light, and an "
            f"image of {height} x {width} pixels is too little for batch normalisation; set "
            "data.ids_per_batch to 6 or more, or use larger images."
        )


def _counted(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Those whose weight is not 0."""
    return {name: loss for name, loss in losses.items() if weights[name]}
