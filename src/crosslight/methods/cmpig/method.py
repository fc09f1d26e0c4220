"""cmPIG (Wang et al., AAAI 2020), released as JSIA-ReID: generated pairs align two levels.

A generator takes images of both lights apart into content, which both share, and style, which each
has its own of, and draws every person in the other light. Its content encoder is the first part of
the re-identification network: that aligns the lights as sets. What the whole network says of a
drawn image shall be what it says of the real one with that content: that aligns them image by
image. Letters: B batch, R pairs, so 2R images: visible, then infrared ones of the same people.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.methods.backbone_config import build_backbone
from crosslight.methods.cmpig import equations
from crosslight.methods.cmpig.config import (
    JOINT,
    TRAIN_GENERATOR,
    WARM_UP,
    CmPIGConfig,
    generator_optimizer,
    identity_optimizer,
    refuse_contradictions,
)
from crosslight.methods.cmpig.equations import exchanged
from crosslight.methods.cmpig.networks import cut_resnet
from crosslight.methods.cmpig.pairs import paired_rows
from crosslight.methods.cmpig.translator import Translator
from crosslight.methods.contract import Method, Scheduled, Stage, Update, refuse_same_light
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.freezing import frozen, unremembered
from crosslight.nn.heads import IdentityHead
from crosslight.nn.modality_of import modality_of
from crosslight.nn.normalize import Normalize, to_gray
from crosslight.nn.patch_critic import PatchCritic
from crosslight.nn.per_modality import one_by_one
from crosslight.nn.pooling import make_pool
from crosslight.nn.precision import full_precision, wide
from crosslight.types import Modality

CONTENT_GRID = (8, 4)
"""Places that `codes` pools a content code to."""

SWITCHES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "aligned-by-nothing": {"config.share_content": False, "config.align": "none"},
        "set-level-only": {"config.align": "none"},
        "instance-level-only": {"config.share_content": False},
        "feature-gan": {
            "config.share_content": False,
            "config.align": "none",
            "config.feature_gan_weight": 1.0,
        },
        "align-weight-0.001": {"config.align_weight": 0.001},
        "align-weight-0.1": {"config.align_weight": 0.1},
        "align-weight-1": {"config.align_weight": 1.0},
        "forward-divergence": {"config.align": "forward"},
        "gan-keeps-content": {"config.joint_gan_reaches_content": False},
        "stem-relu": {"config.stem_relu": True},
        "content-in-colour": {"config.gray_content": False},
        "cycle-style-fake": {"config.cycle_style": "fake"},
        "statistics-of-real-images": {"config.generator_statistics": "left"},
        "codes-not-reconstructed": {"config.feature_weight": 0.0},
    }
)
"""The paper's ablation, then what the release decides otherwise than the paper, and ours."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What one pass draws of 2R images, with its graph; all (2R, ...).

    Attributes:
        images: x, then y, in [-1, 1].
        modality: 0, then 1.
        fake: fake_x, then fake_y.
        losses: Of the generator, by name.
    """

    images: Tensor
    modality: Tensor
    fake: Tensor
    losses: dict[str, Tensor]


class CmPIG(Method):
    """CmPIG; see `CmPIGConfig`.

    Attributes:
        content: E_i.
        set_level: E_sl, where it is not E_i itself.
        instance: I.
        head: On its pooled map.
        translator: Whatever draws and judges.
        feature_critic: Of the set level's maps, for comparison.
    """

    Config = CmPIGConfig
    terms: ClassVar = equations.TERMS
    switches = SWITCHES
    small: ClassVar = {
        "backbone": "resnet10-quarter",
        "weights": "none",
        "style_width": 8,
        "style_dim": 16,
        "adain_width": 16,
        "critic_width": 8,
        "critic_layers": 2,
        "gan_ids": 2,
        "gan_per_light": 1,
        "gan_lr": 2e-3,
        "warmup_epochs": 1,
        "joint_epochs": 1,
    }

    def __init__(self, config: CmPIGConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        self.size = (height, width)
        backbone = build_backbone(config, (height, width))
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.content, self.instance, channels = cut_resnet(backbone, stem_relu=config.stem_relu)
        self.set_level = None if config.share_content else deepcopy(self.content)
        self.pool = make_pool(config.pooling, p=config.gem_p, stripes=config.parts)
        self.head = IdentityHead(backbone.channels * config.parts, num_ids)
        self.translator = Translator(config, channels)
        self.feature_critic = (
            PatchCritic(channels, width=config.critic_width, layers=config.critic_layers, scales=1)
            if config.feature_gan_weight
            else None
        )
        self.content.requires_grad_(config.content_learns)

    def stages(self) -> tuple[Stage, ...]:
        """The generator alone, which may be given, then everything."""
        config = self.config
        found = [Stage(name=JOINT, epochs=config.joint_epochs)]
        if config.generator_weights != TRAIN_GENERATOR:
            given = Stage(
                name=WARM_UP,
                epochs=max(1, config.warmup_epochs),
                given=config.generator_weights,
                sha256=config.generator_sha256,
                part="translator",
                frozen=False,
            )
            found.insert(0, given)
        elif config.warmup_epochs:
            found.insert(0, Stage(name=WARM_UP, epochs=config.warmup_epochs))
        return tuple(found)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`generator` and `critic`; `content` (E_i) and `instance` (all else that identifies)."""
        config = self.config
        levels: list[nn.Module] = [self.instance, self.head] + (
            [] if self.set_level is None else [self.set_level]
        )
        judges: list[nn.Module] = [self.translator.critics]
        if self.feature_critic is not None:
            judges.append(self.feature_critic)
        found = {
            "generator": generator_optimizer(config, self.translator.generator),
            "critic": generator_optimizer(config, judges),
            "instance": identity_optimizer(config, levels),
        }
        if config.content_learns:
            found["content"] = identity_optimizer(config, [self.content])
        return found

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """All but the critics at once, then these; in the warm-up no part of the ResNet moves."""
        joint = update.progress.stage == JOINT
        drawn = self._drawn(batch, content_learns=joint and self.config.joint_gan_reaches_content)
        weights = equations.loss_weights(self.config)
        losses, critic = dict(drawn.losses), self._critic_losses(drawn)
        if not joint:
            update("generator", losses, weights)
            update("critic", critic)
            return {**losses, **critic}

        losses |= self._alignment(drawn)
        identity, feature_critic, accuracy = self._identity(batch)
        losses |= identity
        critic |= feature_critic
        content = ("content",) if self.config.content_learns else ()
        update(("generator", "instance", *content), losses, weights)
        update("critic", critic)
        return {**losses, **critic, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:  # noqa: ARG002 -- one path for both
        """The vector behind the neck, to be compared by the cosine."""
        vectors = self._vectors(self._level(self._seen(images)))
        embeddings: Tensor = self.head.neck(vectors)
        return embeddings

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """`content`, pooled to 8 x 4 places, `style` and `identity`."""
        content = wide(self.content(self._seen(images)))
        return {
            "content": F.adaptive_avg_pool2d(content, CONTENT_GRID).flatten(1),
            "style": self.translator.style(self._drawable(images), modality),
            "identity": self.embed(images, modality),
        }

    def translate(self, images: Tensor, source: int, target: int) -> Tensor:
        """The same content in the mean style of the other light's training images.

        `swap` with an image of the other light draws it in that one's style.

        Raises:
            ConfigError: Both lights are the same.
        """
        refuse_same_light(source, target)
        light = torch.full((len(images),), int(target), device=images.device)
        style = self.translator.usual_style.mean[light]
        return self._picture(self._content_of_pictures(images), style, light)

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """The content of one image in the style, and the light, of another.

        Training exchanges the codes of one person's images only. An image whose three channels
        are equal counts as infrared.
        """
        return self.interpolate(appearance, appearance, structure, 0.0)

    def interpolate(
        self, first: Tensor, second: Tensor, structure: Tensor, fraction: float
    ) -> Tensor:
        """Content in a style on the straight line between those of two images of one light.

        Raises:
            ConfigError: They are of different light, whose styles have nothing in common.
        """
        light = modality_of(first)
        style = self.translator.style(self._drawable(first), light)
        if fraction:
            other = modality_of(second)
            if not torch.equal(light, other):
                raise ConfigError(
                    "There is nothing between the styles of a visible and an infrared image, which "
                    "cmPIG encodes by different networks; give images of one light, or no steps."
                )
            style = style.lerp(self.translator.style(self._drawable(second), other), fraction)
        return self._picture(self._content_of_pictures(structure), style, light)

    def _drawn(self, batch: Batch, *, content_learns: bool) -> Drawn:
        """The generator's pass and what it minimises.

        Args:
            batch: Cross-modal.
            content_learns: Whether reconstruction, cycle and critics reach E_i. The
                reconstruction of codes never does: where E_i learns, the release erases that
                gradient, so it has a pass of its own through a frozen E_i.
        """
        config, translator = self.config, self.translator
        rows = paired_rows(
            batch.labels, batch.modality, people=config.gan_ids, per_light=config.gan_per_light
        )
        images, modality = self._drawable(batch.images[rows]), batch.modality[rows]

        def learning() -> AbstractContextManager[None]:
            return self._passing(self.content, learns=content_learns)

        with learning():
            content = self._content_of(images, modality)
        style = translator.style(images, modality)
        fake = translator.draw(exchanged(content), style, modality)
        with learning():
            again = self._content_of(fake, modality)
        back = style if config.cycle_style == "real" else translator.style(fake, modality)
        recon = translator.draw(content, style, modality)
        cycled = translator.draw(exchanged(again), back, modality)
        with frozen(translator.critics):
            judged = translator.judged(fake)
        losses = {
            "loss_recon": equations.loss_recon(recon, images),
            "loss_cycle": equations.loss_cycle(cycled, images),
            "loss_gan": equations.loss_gan(judged),
        }
        if config.feature_weight:
            shown, seen = fake, again
            if content_learns:
                content = content.detach()
                shown = translator.draw(exchanged(content), style, modality)
                with frozen(self.content):
                    seen = self._content_of(shown, modality)
            style_again = translator.style(shown, modality)
            losses["loss_content"] = equations.loss_content(seen, content)
            losses["loss_style"] = equations.loss_style(style_again, style)
        if self.training:
            translator.usual_style.follow(style.detach().unflatten(0, (len(Modality), -1)))
        return Drawn(images=images, modality=modality, fake=fake, losses=losses)

    def _passing(self, *networks: nn.Module, learns: bool) -> AbstractContextManager[None]:
        """How the generator's images pass through parts of the ResNet.

        As released, statistics follow them even where no weight learns.
        """
        if self.config.generator_statistics == "left":
            return unremembered(*networks) if learns else frozen(*networks)
        return nullcontext() if learns else frozen(*networks, statistics="followed")

    def _critic_losses(self, drawn: Drawn) -> dict[str, Tensor]:
        real = self.translator.judged(drawn.images)
        fake = self.translator.judged(drawn.fake.detach())
        return equations.loss_critic(real, fake)

    def _alignment(self, drawn: Drawn) -> dict[str, Tensor]:
        """Instance level; learns from the fakes, which stay as they are."""
        kind = self.config.align
        if kind == "none" or not self.config.align_weight:
            return {}

        def logits(images: Tensor) -> Tensor:
            vectors = self._vectors(self._level(self._enlarged(images)))
            with full_precision(vectors):
                seen: Tensor = self.head(vectors)
            return seen

        level = self.content if self.set_level is None else self.set_level
        networks = (level, self.instance, self.head)
        with self._passing(*networks, learns=False):
            real = one_by_one(logits, drawn.images, drawn.modality)
        with self._passing(*networks, learns=True):
            fake = one_by_one(logits, drawn.fake.detach(), drawn.modality)
        return {"loss_align": equations.loss_align(fake, real, kind)}

    def _identity(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """What identifies minimises, what the critic of its maps does, and the accuracy."""
        config, modality = self.config, batch.modality
        maps = one_by_one(self._level, self._seen(batch.images), modality)
        vectors = one_by_one(self._vectors, maps, modality)
        with full_precision(vectors):
            logits = one_by_one(self.head, vectors, modality)
            everybody = [gather_with_gradient(part) for part in (vectors, batch.labels, modality)]
            losses = {
                "loss_id": equations.loss_id(
                    logits, batch.labels, modality, smoothing=config.label_smoothing
                ),
                "loss_triplet": equations.loss_triplet(*everybody, margin=config.margin),
            }
        critic: dict[str, Tensor] = {}
        if self.feature_critic is not None:
            lights = [maps[modality == light] for light in Modality]
            with frozen(self.feature_critic):
                fooled = [self.feature_critic(part) for part in lights]
            losses["loss_feature_gan"] = equations.loss_feature_gan(*fooled)
            judged = [self.feature_critic(part.detach()) for part in lights]
            critic = equations.loss_feature_critic(*judged)
        accuracy = (logits.argmax(dim=1) == batch.labels).float().mean()
        return losses, critic, accuracy

    def _seen(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → what the ResNet sees."""
        normalised: Tensor = self.normalize(images)
        if not self.config.gray_content:
            return normalised
        # The luma of normalised channels, as the release has it: not that of the image.
        return to_gray(normalised).expand(-1, 3, -1, -1)

    def _drawable(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] → what is drawn, (B, 3, h', w') in [-1, 1]."""
        shrink = self.config.gan_shrink
        return 2 * (images if shrink == 1 else F.avg_pool2d(images, shrink)) - 1

    def _enlarged(self, drawn: Tensor) -> Tensor:
        """(B, 3, h', w') in [-1, 1] → what the ResNet sees of it, at the images' size."""
        return self._seen(self._at_full_size((drawn + 1) / 2))

    def _at_full_size(self, pixels: Tensor) -> Tensor:
        if self.config.gan_shrink == 1:
            return pixels
        return F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)

    def _content_of(self, drawn: Tensor, modality: Tensor) -> Tensor:
        """C of images in [-1, 1], each light normalised by itself."""
        return one_by_one(self.content, self._enlarged(drawn), modality)

    def _content_of_pictures(self, images: Tensor) -> Tensor:
        """Content of images in [0, 1] as the generator learnt to see them."""
        content: Tensor = self.content(self._enlarged(self._drawable(images)))
        return content

    def _picture(self, content: Tensor, style: Tensor, light: Tensor) -> Tensor:
        pixels = (self.translator.draw(content, style, light) + 1) / 2
        return self._at_full_size(pixels).clamp(0, 1)

    def _level(self, seen: Tensor) -> Tensor:
        network: nn.Module = self.content if self.set_level is None else self.set_level
        maps: Tensor = network(seen)
        return maps

    def _vectors(self, maps: Tensor) -> Tensor:
        vectors: Tensor = self.pool(self.instance(maps))
        return vectors
