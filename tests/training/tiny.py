"""A method small enough to train in a second, with everything that could break exact resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.config import AugmentationConfig, DataConfig, Recipe, TrainingConfig
from crosslight.data.batch import Batch
from crosslight.data.table import SampleTable
from crosslight.methods.contract import Method, Progress, Scheduled, Stage, Update
from crosslight.nn.distributed import gather_with_gradient
from crosslight.training.run import RunFolder


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    width: int = 6
    dropout: float = 0.3
    batch_norm: bool = True
    double: bool = False
    warm_up: int = 3
    epochs: int = 3
    lr: float = 0.05


class Tiny(Method):
    """Dropout, batch normalisation, noise, two optimizers of different kinds, two stages."""

    Config: ClassVar[type] = TinyConfig

    def __init__(self, config: TinyConfig, *, num_ids: int, **_: int) -> None:
        super().__init__()
        self.config = config
        norm = nn.BatchNorm2d if config.batch_norm else lambda n: nn.GroupNorm(2, n)
        self.backbone = nn.Sequential(
            nn.Conv2d(3, config.width, 3, stride=2, padding=1),
            norm(config.width),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Conv2d(config.width, config.width, 3, padding=1),
        )
        self.classifier = nn.Linear(config.width, num_ids)
        self.critics = nn.ModuleList([nn.Linear(config.width, 1)])
        self.seen: list[Progress] = []
        if config.double:
            self.double()

    def optimizers(self) -> Mapping[str, Scheduled]:
        main = [*self.backbone.parameters(), *self.classifier.parameters()]
        return {
            "main": Scheduled(
                optimizer=torch.optim.SGD(main, self.config.lr, momentum=0.9, nesterov=True),
                factor=lambda progress: 1 - 0.5 * progress.fraction,
            ),
            "critic": Scheduled(optimizer=torch.optim.Adam(self.critics.parameters(), 0.01)),
        }

    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage(name="warm-up", iterations=self.config.warm_up),
            Stage(name="joint", epochs=self.config.epochs),
        )

    def training_step(self, batch: Batch, update: Update) -> Mapping[str, Tensor]:
        self.seen.append(update.progress)
        feats = gather_with_gradient(self._features(batch.images))
        labels = gather_with_gradient(batch.labels)
        losses = {"id": F.cross_entropy(self.classifier(feats), labels)}
        losses["spread"] = (feats - feats.mean(dim=0)).square().mean()
        if update.progress.stage == "joint":
            losses["fool"] = self.critics[0](feats).mean()
        ramp = 0.01 * (1 + update.progress.fraction)
        update("main", losses, {"spread": ramp, "fool": -0.1})
        if update.progress.stage == "joint":
            feats = self._features(batch.images).detach()
            noise = torch.randn_like(feats) * self.config.dropout
            critic = F.softplus(self.critics[0](feats) + self.critics[0](noise)).mean()
            update("critic", {"critic": critic})
            losses["critic"] = critic
        return losses

    def embed(self, images: Tensor, _: Tensor) -> Tensor:
        return self._features(images)

    def _features(self, images: Tensor) -> Tensor:
        dtype = self.classifier.weight.dtype
        return self.backbone(images.to(dtype)).mean(dim=(2, 3)).to(dtype)


def recipe(
    *, workers: int = 0, config: TinyConfig | None = None, ids: int = 2, **training: object
) -> Recipe:
    data = DataConfig(
        height=16,
        width=8,
        ids_per_batch=ids,
        visible_per_id=2,
        infrared_per_id=2,
        iterations_per_epoch=4,
        workers=workers,
        augmentation=AugmentationConfig(pad_px=2, erasing=0.5, color_jitter=0.2),
    )
    settings = {"log_every": 2, "checkpoint_every": 5, "validate_every": 1, **training}
    return Recipe(
        method="tiny",
        config=config or TinyConfig(),
        data=data,
        training=TrainingConfig(**settings),
    )


def build(config: Recipe, table: SampleTable) -> Tiny:
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        ids = len(set(table.pids.tolist()))
        return Tiny(config.config, num_ids=ids, height=config.data.height, width=config.data.width)


def open_run(path: Path, config: Recipe, table: SampleTable) -> RunFolder:
    data = {"layout": table.layout, "root": str(table.root), "fingerprint": table.fingerprint()}
    return RunFolder.create(path, config, data=data)


def mean_feature(table: SampleTable, config: Recipe) -> Callable[[Method], dict[str, float]]:
    """A validation that depends on every weight."""
    from crosslight.training.embedding import embed_table

    def validate(method: Method) -> dict[str, float]:
        feats = embed_table(
            method,
            table,
            height=config.data.height,
            width=config.data.width,
            interpolation=config.data.interpolation,
        )
        return {"mAP": float(feats.std()), "rank1": 0.5}

    return validate
