"""AGW in two streams (Ye et al., TPAMI 2021) and CAJ (ICCV 2021): an iteration, described plainly.

A stem for each light, shared layers with non-local blocks, generalised mean, batch norm without
shift, classifier without bias; identity loss behind the batch norm, weighted triplet before it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.oracles.draws import Draws
from tests.oracles.losses import (
    batch_hard_triplet,
    squared_weighted_triplet,
    weighted_regularised_triplet,
)
from tests.oracles.plain import (
    SGD,
    Plain,
    Weights,
    accuracy,
    basic_block,
    batch_norm,
    conv,
    cross_entropy,
    linear,
    normalised,
    stairs,
    stem,
)


def non_local(w: Weights, name: str, maps: Tensor) -> Tensor:
    """To each place, what every other place holds, by the product of the two (Wang et al.)."""
    theta, phi, g = (conv(w, f"{name}.{part}", maps).flatten(2) for part in ("theta", "phi", "g"))
    places = g.shape[2]
    found = []
    for here in range(places):
        held = [
            (theta[:, :, here] * phi[:, :, there]).sum(dim=1, keepdim=True) * g[:, :, there]
            for there in range(places)
        ]
        found.append(torch.stack(held).sum(dim=0) / places)
    mixed = torch.stack(found, dim=2).view(len(maps), -1, *maps.shape[2:])
    return maps + batch_norm(w, f"{name}.norm", conv(w, f"{name}.out", mixed))


def two_streams(w: Weights, name: str, images: Tensor, modality: Tensor, where: Any) -> Tensor:
    """Each light through its stem, all through the layers; `where` there are non-local blocks."""
    maps: Any = [None] * len(images)
    for light in (0, 1):
        rows = [i for i, m in enumerate(modality.tolist()) if m == light]
        for row, own in zip(rows, stem(w, f"{name}.stems.{light}", images[rows]), strict=True):
            maps[row] = own
    maps = torch.stack(maps)
    for number, (stride, blocks) in enumerate(zip((1, 2, 2, 1), where, strict=True), start=1):
        maps = basic_block(w, f"{name}.shared.layer{number}.0", maps, stride)
        if blocks:
            maps = non_local(w, f"{name}.shared.layer{number}.1", maps)
    return maps


def generalised_mean(maps: Tensor, p: Tensor) -> Tensor:
    return (maps.clamp(min=1e-6) ** p).mean(dim=(2, 3)) ** (1 / p)


TRIPLETS = {"weighted": weighted_regularised_triplet, "weighted-squared": squared_weighted_triplet}


class PlainAGW(Plain):
    """AGW, or CAJ where the triplet loss is the squared one.

    Args:
        state: Weights by name.
        config: SGD with momentum; the first epochs climb in stairs, later ones fall in steps.
    """

    def __init__(self, state: Any, config: Any) -> None:
        exponent = () if config.learn_gem_p else ("pool.p",)
        super().__init__(state, fixed=("head.neck.bias", *exponent))
        self.config = config
        self.optimizers["model"] = SGD(
            (self.w.under("backbone", "pool"), config.lr * config.backbone_lr_factor),
            (self.w.under("head"), config.lr),
            momentum=config.momentum,
            penalty=config.weight_decay,
        )

    def step(self, batch: Any, progress: Any, _: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, w = self.config, self.w
        images = normalised(w, batch.images)
        maps = two_streams(w, "backbone", images, batch.modality, config.non_local)
        stripes = maps.tensor_split(config.parts, dim=2)
        embeddings = torch.cat([generalised_mean(part, w["pool.p"]) for part in stripes], dim=1)
        logits = linear(w, "head.classifier", batch_norm(w, "head.neck", embeddings))
        loss_id = cross_entropy(logits, batch.labels, config.label_smoothing)
        if config.triplet == "hard":
            loss_triplet = batch_hard_triplet(embeddings, batch.labels, config.margin)
        else:
            loss_triplet = TRIPLETS[config.triplet](embeddings, batch.labels)
        total = config.id_weight * loss_id + config.triplet_weight * loss_triplet

        epoch = progress.iteration // progress.iterations_per_epoch
        climbed = min(1.0, (epoch + 1) / config.warmup_epochs)
        factor = climbed * stairs(epoch, config.step_epochs, config.step_factor)
        self.move(["model"], total, {"model": factor})
        return {
            "loss_id": loss_id.item(),
            "loss_triplet": loss_triplet.item(),
            "accuracy": accuracy(logits, batch.labels),
        }
