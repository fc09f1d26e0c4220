"""SDL image by image, as the paper's figure and the released code have it; its iterations.

x, u and v are values behind a batch normalisation; their losses see them at length 1. The code's
dispeller was written for a division that gives fractions and ran with one that gives whole numbers.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from tests.oracles.draws import Draws, dropout
from tests.oracles.plain import (
    SGD,
    How,
    Plain,
    Weights,
    accuracy,
    batch_norm,
    cross_entropy,
    leaky,
    linear,
    normalised,
    relu,
    resnet10,
    stairs,
)

LIGHTS = ("visible", "infrared")


def length_one(row: Tensor) -> Tensor:
    return row / (row**2).sum().sqrt()


def differences(x: Tensor, u: Tensor, v: Tensor) -> list[Tensor]:
    """x - (u + v) of each image, all three at length 1."""
    rows = zip(x, u, v, strict=True)
    return [length_one(a) - (length_one(b) + length_one(c)) for a, b, c in rows]


def squared_disentangle(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Mean over images of the squared length."""
    lengths = [(d**2).sum() for d in differences(x, u, v)]
    return torch.stack(lengths).sum() / len(lengths)


def released_disentangle(x: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """The Frobenius norm of the whole batch."""
    return sum(((d**2).sum() for d in differences(x, u, v)), x.sum() * 0).sqrt()


def uniform_dispeller(logits: Tensor) -> Tensor:
    """Cross-entropy between equal shares and what the classifier says."""
    terms = []
    for row in logits:
        log_p = row - torch.exp(row - row.max()).sum().log() - row.max()
        terms.append(-sum(log_p[k] / len(row) for k in range(len(row))))
    return torch.stack(terms).sum() / len(terms)


def logits_dispeller(logits: Tensor, *, share: float) -> Tensor:
    """`share` times the norm of the logits less `share`, which should be 1 / people."""
    squares = [(value - share) ** 2 for row in logits for value in row]
    return share * torch.stack(squares).sum().sqrt()


class PlainSDL(Plain):
    """Two ResNets and the branches.

    Args:
        state: Weights by name.
        config: SGD with momentum, which falls in steps.
        as_it_ran: With the released dispeller, in whole numbers.
    """

    def __init__(self, state: Any, config: Any, *, as_it_ran: bool = False) -> None:
        super().__init__(state)
        self.config, self.as_it_ran = config, as_it_ran
        slow = config.lr * config.branches_lr_factor
        self.optimizers["model"] = SGD(
            (self.w.under("backbone"), config.lr * config.backbone_lr_factor),
            (self.w.under("branches.x", "branches.first"), config.lr),
            (self.w.under("branches.u", "branches.v"), slow),
            momentum=config.momentum,
            penalty=config.weight_decay,
        )

    def step(self, batch: Any, progress: Any, _: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, w = self.config, self.w
        vectors = self.vectors(w, batch)
        for_uv, for_x = self.seen(w, vectors, batch)
        x = linear(w, "branches.x.linear", for_x)
        if config.branching == "pooled":
            x = batch_norm(w, "branches.x.norm", x)
        u = self.layer(w, "branches.u", for_uv)
        logits = {"x": self.classified(w, "x", x), "u": self.classified(w, "u", u)}
        losses = {
            f"loss_id_{name}": cross_entropy(rows, batch.labels) for name, rows in logits.items()
        }
        total = losses["loss_id_x"] + config.identity_weight * losses["loss_id_u"]
        for light, name in enumerate(LIGHTS):
            everybody = range(len(batch.labels))
            rows = [i for i in everybody if config.distil == "all" or batch.modality[i] == light]
            v = self.layer(w, f"branches.v.networks.{light}", for_uv[rows])
            apart = squared_disentangle if config.disentangle == "squared" else released_disentangle
            losses[f"loss_disentangle_{name}"] = apart(x[rows], u[rows], v)
            total = total + config.disentangle_weight * losses[f"loss_disentangle_{name}"]
            total = total + self.dispelled(v, name, losses)
        epoch = progress.iteration // progress.iterations_per_epoch
        self.move(["model"], total, {"model": stairs(epoch, config.step_epochs, 0.1)})
        right = {f"accuracy_{name}": accuracy(rows, batch.labels) for name, rows in logits.items()}
        return {**{loss: value.item() for loss, value in losses.items()}, **right}

    def dispelled(self, v: Tensor, name: str, losses: dict[str, Tensor]) -> Tensor:
        """What the dispeller adds to the sum."""
        config = self.config
        if self.as_it_ran:
            logits = self.classified(self.w, "u", v)
            return logits_dispeller(logits, share=1 // logits.shape[1])
        if config.dispeller == "none":
            return v.sum() * 0
        judge = self.w if config.dispeller_moves_classifier else self.w.frozen()
        logits = self.classified(judge, "u", v)
        if config.dispeller == "uniform":
            loss = uniform_dispeller(logits)
        else:
            loss = logits_dispeller(logits, share=1 / logits.shape[1])
        losses[f"loss_dispel_{name}"] = loss
        weight: float = config.dispeller_weight
        return weight * loss

    def vectors(self, w: Weights, batch: Any, how: How = "batch") -> Tensor:
        """Each light through its ResNet; the mean of the map, or its largest values."""
        images = normalised(w, batch.images)
        found: Any = [None] * len(images)
        for light in (0, 1):
            rows = [i for i, m in enumerate(batch.modality.tolist()) if m == light]
            network = f"backbone.networks.{light}.network"
            maps = resnet10(w, network, images[rows], last_stride=2, how=how)
            for row, own in zip(rows, maps, strict=True):
                pixels = own.flatten(1)
                is_mean = self.config.pooling == "avg"
                found[row] = pixels.mean(dim=1) if is_mean else pixels.amax(dim=1)
        return torch.stack(found)

    def seen(self, w: Weights, vectors: Tensor, batch: Any) -> tuple[Tensor, Tensor]:
        """What u and v see, and what x sees."""
        if self.config.branching == "pooled":
            return vectors, vectors
        found: Any = [None] * len(vectors)
        for light in (0, 1):
            rows = [i for i, m in enumerate(batch.modality.tolist()) if m == light]
            values = self.layer(w, f"branches.first.networks.{light}", vectors[rows])
            for row, own in zip(rows, values, strict=True):
                found[row] = own
        first = torch.stack(found)
        return first, dropout(relu(first), self.config.dropout)

    def layer(self, w: Weights, name: str, vectors: Tensor) -> Tensor:
        return batch_norm(w, f"{name}.norm", linear(w, f"{name}.linear", vectors))

    def classified(self, w: Weights, name: str, values: Tensor) -> Tensor:
        kept = dropout(leaky(values, 0.1), self.config.dropout)
        return linear(w, f"branches.{name}.classifier", kept)


def start_of_released_disentangle(images: int) -> float:
    """Three independent vectors of length 1: their squared difference is 3 in the mean."""
    return 1e-4 * math.sqrt(3 * images)
