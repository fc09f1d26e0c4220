"""Deep zero-padding (Wu et al., ICCV 2017): an iteration as the paper describes it."""

from __future__ import annotations

from typing import Any

import torch

from tests.oracles.draws import Draws
from tests.oracles.plain import (
    SGD,
    Plain,
    accuracy,
    cross_entropy,
    gray,
    linear,
    normalised,
    resnet10,
    stairs,
)


class PlainZeroPadding(Plain):
    """[gray; 0] of what is visible, [0; gray] of what is infrared, one ResNet, softmax loss.

    Args:
        state: Weights by name.
        config: SGD with momentum; the first epochs climb in stairs, later ones fall in steps.
    """

    def __init__(self, state: Any, config: Any) -> None:
        super().__init__(state)
        self.config = config
        self.optimizers["model"] = SGD(
            (self.w.under("backbone"), config.lr * config.backbone_lr_factor),
            (self.w.under("classifier"), config.lr),
            momentum=config.momentum,
            penalty=config.weight_decay,
        )

    def step(self, batch: Any, progress: Any, _: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, w = self.config, self.w
        padded = []
        for image, light in zip(batch.images, batch.modality.tolist(), strict=True):
            channel = normalised(w, gray(image[None]))[0, 0]
            nothing = torch.zeros_like(channel)
            padded.append(torch.stack([channel, nothing] if light == 0 else [nothing, channel]))
        maps = resnet10(w, "backbone.network", torch.stack(padded), last_stride=2)
        logits = linear(w, "classifier", maps.mean(dim=(2, 3)))
        loss_id = cross_entropy(logits, batch.labels, config.label_smoothing)

        epoch = progress.iteration // progress.iterations_per_epoch
        climbed = min(1.0, (epoch + 1) / config.warmup_epochs)
        factor = climbed * stairs(epoch, config.step_epochs, config.step_factor)
        self.move(["model"], loss_id, {"model": factor})
        return {"loss_id": loss_id.item(), "accuracy": accuracy(logits, batch.labels)}
