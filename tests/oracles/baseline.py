"""Bag of tricks (Luo et al., CVPR Workshops 2019): an iteration as the paper describes it."""

from __future__ import annotations

from typing import Any

from tests.oracles.draws import Draws
from tests.oracles.losses import batch_hard_triplet
from tests.oracles.plain import (
    Adam,
    Plain,
    accuracy,
    batch_norm,
    cross_entropy,
    half_cosine,
    linear,
    normalised,
    resnet10,
)


class PlainBaseline(Plain):
    """ResNet, mean, f_t to the triplet loss, batch norm without shift, classifier without bias.

    Args:
        state: Weights by name.
        config: Adam; rising on a line from `warmup_start`, falling on a half cosine.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state, fixed=("head.neck.bias",))
        self.config = config
        self.optimizers["model"] = Adam(
            (self.w.under("backbone"), config.lr * config.backbone_lr_factor),
            (self.w.under("head"), config.lr),
            penalty=config.weight_decay,
        )

    def step(self, batch: Any, progress: Any, _: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, w = self.config, self.w
        maps = resnet10(w, "backbone.network", normalised(w, batch.images), last_stride=1)
        f_t = maps.mean(dim=(2, 3))
        f_i = batch_norm(w, "head.neck", f_t)
        logits = linear(w, "head.classifier", f_i)
        loss_id = cross_entropy(logits, batch.labels, config.label_smoothing)
        loss_triplet = batch_hard_triplet(f_t, batch.labels, config.margin)
        total = config.id_weight * loss_id + config.triplet_weight * loss_triplet

        done = progress.iteration / config.warmup_iterations
        rising = config.warmup_start + (1 - config.warmup_start) * done if done < 1 else 1.0
        falling = half_cosine(progress.iteration / progress.iterations, config.final_factor)
        self.move(["model"], total, {"model": rising * falling})
        return {
            "loss_id": loss_id.item(),
            "loss_triplet": loss_triplet.item(),
            "accuracy": accuracy(logits, batch.labels),
        }
