"""D2RL: dual-level discrepancy reduction (Wang et al., CVPR 2019).

The image level translates between visible and infrared, so that every image becomes one of four
channels, three colours and infrared, the missing ones generated. The feature level identifies
people in these. Both are trained one after the other, then together: the feature losses flow
through the generated channels back into the generators. Letters: B batch, U channels of a unified
image (4 as published).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.data.batch import Batch
from crosslight.errors import ConfigError, TrainingError
from crosslight.methods.contract import Method, Scheduled, Stage, Update, refuse_same_light
from crosslight.methods.d2rl import equations
from crosslight.methods.d2rl.config import (
    FEATURE,
    IMAGE,
    JOINT,
    D2RLConfig,
    feature_optimizer,
    image_optimizer,
    refuse_contradictions,
)
from crosslight.methods.d2rl.feature_level import FeatureLevel
from crosslight.methods.d2rl.image_level import Drawn, ImageLevel
from crosslight.nn.normalize import to_gray
from crosslight.nn.per_modality import SeesLights, as_they_came
from crosslight.nn.precision import graphless
from crosslight.types import Modality

_CODE_SIZE = (16, 8)


class D2RL(SeesLights, Method):
    """D2RL; see `D2RLConfig`."""

    Config = D2RLConfig
    terms: ClassVar = equations.TERMS
    small: ClassVar = {
        "width": 8,
        "blocks": 1,
        "critic_width": 8,
        "critic_layers": 2,
        "critic_scales": 2,
        "image_lr": 1e-3,
        "backbone": "resnet10-quarter",
        "weights": "none",
        "dim": 32,
        "metric_dim": 16,
        "image_iterations": 2,
        "feature_iterations": 2,
        "joint_iterations": 2,
        "lr_steps": (),
    }

    def __init__(self, config: D2RLConfig, *, num_ids: int, height: int, width: int) -> None:
        super().__init__()
        refuse_contradictions(config, height, width)
        self.config = config
        self.image_level = ImageLevel(config) if config.has_image_level else None
        self.feature_level = FeatureLevel(config, num_ids=num_ids, height=height, width=width)

    def stages(self) -> tuple[Stage, ...]:
        """The image level, which may be given, the feature level, both: those that there are."""
        config = self.config
        found = []
        if config.has_image_level:
            image = Stage(
                name=IMAGE,
                iterations=config.image_iterations,
                given=None if config.trains_image_level else config.image_weights,
                sha256=config.image_sha256,
                part="image_level",
                frozen=not config.is_joint,
            )
            found.append(image)
        alone = config.feature_iterations + (0 if config.is_joint else config.joint_iterations)
        found.append(Stage(name=FEATURE, iterations=alone))
        if config.is_joint:
            found.append(Stage(name=JOINT, iterations=config.joint_iterations))
        return tuple(found)

    def optimizers(self) -> Mapping[str, Scheduled]:
        """`critic` and `generator` (Adam) where the image level is trained, and `feature`."""
        config, level = self.config, self.image_level
        found = {
            "feature": feature_optimizer(
                config, self.feature_level.backbone, self.feature_level.heads
            )
        }
        if level is not None and (config.trains_image_level or config.is_joint):
            found["critic"] = image_optimizer(config, level.critics)
            found["generator"] = image_optimizer(config, level.generator)
        return found

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        """Critics, then generators; or the feature level; or critics, then all the rest."""
        stage = update.progress.stage
        if stage == FEATURE:
            with graphless():
                unified, labels = self._unified_samples(batch)
            losses, accuracy = equations.feature_losses(self.feature_level, unified, labels)
            weights = equations.feature_weights(self.config, joint=False)
            update("feature", losses, weights)
            return {**losses, "accuracy": accuracy}

        level = self._image_level()
        drawn = self._drawn(level, batch)
        critic = equations.critic_losses(level, drawn)
        if critic:
            update("critic", critic)
        image = equations.image_losses(level, drawn)
        figures = {**critic, **image, **_figures(drawn)}
        weights = equations.image_weights(self.config)
        if stage == IMAGE:
            if image:
                update("generator", image, weights)
            return figures

        unified, labels = self._unified_samples(batch)
        feature, accuracy = equations.feature_losses(self.feature_level, unified, labels)
        weights |= equations.feature_weights(self.config, joint=True)
        update(("generator", "feature"), {**image, **feature}, weights)
        return {**figures, **feature, "accuracy": accuracy}

    def embed(self, images: Tensor, modality: Tensor) -> Tensor:
        """FC-1024 (or FC-128, see `D2RLConfig.feature`) of the unified image, of length 1."""
        features = self.feature_level(self.unified(images, modality))
        chosen = features.shared if self.config.feature == "shared" else features.metric
        return F.normalize(chosen.float())

    def codes(self, images: Tensor, modality: Tensor) -> Mapping[str, Tensor]:
        """Both layers of the feature level, and what stands before and behind the image level.

        `pixels` and `unified` are the image and the unified image, shrunk to 16 x 8, around 0.
        """
        unified = self.unified(images, modality)
        features = self.feature_level(unified)
        return {
            "shared": features.shared,
            "metric": features.metric,
            "pixels": _thumbnails(images),
            "unified": _thumbnails(unified),
        }

    def unified(self, images: Tensor, modality: Tensor) -> Tensor:
        """u: real channels as they are, the missing ones generated.

        Args:
            images: (B, 3, H, W) in [0, 1].
            modality: (B,) `Modality`.

        Returns:
            (B, U, H, W) in [0, 1]: red, green, blue and infrared, or what `unify` keeps of them.
        """
        if self.image_level is None:
            return images
        rows = self.rows_of(modality)
        level = self.image_level
        parts = [self._unify(level, part.of(images), part.light) for part in rows]
        return as_they_came(parts, rows)

    def translate(self, images: Tensor, source: int, target: int) -> Tensor:
        """The same scene in the other light; infrared has three equal channels.

        Raises:
            ConfigError: Nothing was trained to translate, or both lights are the same.
        """
        level = self._image_level()
        refuse_same_light(source, target)
        if target == Modality.VISIBLE:
            return level.fake_visible(to_gray(images))
        return level.fake_infrared(images).expand(-1, 3, -1, -1)

    def _unify(self, level: ImageLevel, images: Tensor, light: Modality) -> Tensor:
        wanted = self.config.unify
        if light == Modality.VISIBLE:
            if wanted == "visible":
                return images
            fake = level.fake_infrared(images)
            return fake if wanted == "infrared" else torch.cat([images, fake], dim=1)
        gray = to_gray(images)
        if wanted == "infrared":
            return gray
        fake = level.fake_visible(gray)
        return fake if wanted == "visible" else torch.cat([fake, gray], dim=1)

    def _unified_samples(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Unified images with labels, as many times as noise samples are wanted."""
        times = self.config.samples if self.config.has_image_level else 1
        labels, modality = batch.labels.repeat(times), batch.modality.repeat(times)
        return self.unified(batch.images.repeat(times, 1, 1, 1), modality), labels

    def _drawn(self, level: ImageLevel, batch: Batch) -> Drawn:
        chosen = []
        for light in Modality:
            rows = (batch.modality == light).nonzero()[:, 0]
            if not len(rows):
                raise TrainingError(
                    f"A batch of {len(batch)} images holds no {light.name.lower()} one, but D2RL "
                    "translates both ways; set data.sampling to cross-modal."
                )
            count = min(len(rows), self.config.image_batch or len(rows))
            spread = torch.arange(count, device=rows.device) * len(rows) // count
            chosen.append(batch.images[rows[spread]])
        return level.draw(*level.prepare(*chosen))

    def _image_level(self) -> ImageLevel:
        if self.image_level is None:
            raise ConfigError(
                "This D2RL was trained with unify: none, which generates nothing; give a run with "
                "unify: multispectral, visible or infrared."
            )
        return self.image_level


def _figures(drawn: Drawn) -> dict[str, Tensor]:
    """How far reconstructions are off, alone, for the log."""
    return {
        "l1_recon_v": F.l1_loss(drawn.recon_v, drawn.x),
        "l1_recon_i": F.l1_loss(drawn.recon_i, drawn.y),
        "l1_cycle_v": F.l1_loss(drawn.cycle_v, drawn.x),
        "l1_cycle_i": F.l1_loss(drawn.cycle_i, drawn.y),
    }


def _thumbnails(images: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(images - 0.5, _CODE_SIZE).flatten(1)
