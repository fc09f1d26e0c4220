"""BDTR and TONE as their papers write them, one anchor and one pair at a time; their iterations.

A network for each light, a linear layer with batch norm that both share and whose values are the
embedding, leaky ReLU, dropout, classifier.
"""

from __future__ import annotations

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
    resnet10,
    stairs,
)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    a, b = a / (a**2).sum().sqrt(), b / (b**2).sum().sqrt()
    squared = ((a - b) ** 2).sum()
    return squared.sqrt() if squared.item() > 0 else squared * 0


def _hinge(value: Tensor) -> Tensor:
    return value if value.item() > 0 else value * 0


def _others(labels: Tensor, modality: Tensor, i: int) -> tuple[list[int], list[int]]:
    """The images of the other modality: of the same person, and of other people."""
    across = [j for j in range(len(labels)) if modality[j] != modality[i]]
    return (
        [j for j in across if labels[j] == labels[i]],
        [j for j in across if labels[j] != labels[i]],
    )


def top_ranking(
    embeddings: Tensor, labels: Tensor, modality: Tensor, rho1: float, rho2: float
) -> tuple[Tensor, Tensor]:
    """L_cross and L_intra of Ye et al., IJCAI 2018, in both directions."""
    cross = intra = embeddings.sum() * 0
    for direction in (0, 1):
        crosses, intras = [], []
        for i in range(len(labels)):
            if modality[i] != direction:
                continue
            own, others = _others(labels, modality, i)
            if not own or not others:
                continue
            p = max(own, key=lambda j: _distance(embeddings[i], embeddings[j]).item())
            n = min(others, key=lambda j: _distance(embeddings[i], embeddings[j]).item())
            to_p = _distance(embeddings[i], embeddings[p])
            to_n = _distance(embeddings[i], embeddings[n])
            crosses.append(_hinge(rho1 + to_p - to_n))
            intras.append(_hinge(rho2 - _distance(embeddings[p], embeddings[n])))
        if crosses:
            cross = cross + sum(crosses) / len(crosses)
            intra = intra + sum(intras) / len(intras)
    return cross, intra


def top_ranking_of_pairs(visible: Tensor, thermal: Tensor, rho1: float, rho2: float) -> Tensor:
    """The paper's own case, v_i and t_i of person i, with its weight 0.1 of L_intra."""
    total = visible.sum() * 0
    for anchors, targets in ((visible, thermal), (thermal, visible)):
        for i in range(len(anchors)):
            distances = {j: _distance(anchors[i], targets[j]) for j in range(len(targets))}
            j = min((j for j in distances if j != i), key=lambda k: distances[k].item())
            cross = _hinge(rho1 + distances[i] - distances[j])
            intra = _hinge(rho2 - _distance(targets[i], targets[j]))
            total = total + (cross + 0.1 * intra) / len(anchors)
    return total


def contrastive(embeddings: Tensor, labels: Tensor, modality: Tensor, margin: float) -> Tensor:
    """Ye et al., AAAI 2018, with as much weight on the pairs of one person as on the others."""
    pulled, pushed = [], []
    for v in range(len(labels)):
        for t in range(len(labels)):
            if modality[v] == 0 and modality[t] == 1:
                d = _distance(embeddings[v], embeddings[t])
                if labels[v] == labels[t]:
                    pulled.append(d**2)
                else:
                    pushed.append(_hinge(margin - d) ** 2)
    zero = embeddings.sum() * 0
    means = [sum(terms, zero) / max(len(terms), 1) for terms in (pulled, pushed)]
    return 0.5 * torch.stack(means).mean()


class PlainBDTR(Plain):
    """Two ResNets and what they share; BDTR's loss across lights, or TONE's.

    Args:
        state: Weights by name.
        config: SGD with momentum, which falls in steps.
        within: Beginning of the names of what is this network's.
    """

    def __init__(self, state: Any, config: Any, within: str = "") -> None:
        super().__init__(state)
        self.bdtr, self.within = config, within
        self.optimizers["model"] = SGD(
            (self.w.under(f"{within}backbone"), config.lr * config.backbone_lr_factor),
            (self.w.under(f"{within}head"), config.lr),
            momentum=config.momentum,
            penalty=config.weight_decay,
        )

    def step(self, batch: Any, progress: Any, _: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        config, w = self.bdtr, self.w
        embeddings = self.embeddings(w, batch)
        kept = dropout(leaky(embeddings, 0.1), config.dropout)
        logits = linear(w, f"{self.within}head.classifier", kept)
        losses = {"loss_id": cross_entropy(logits, batch.labels)}
        total = losses["loss_id"]
        if config.metric == "ranking":
            cross, intra = top_ranking(
                embeddings, batch.labels, batch.modality, config.cross_margin, config.intra_margin
            )
            losses |= {"loss_cross": cross, "loss_intra": intra}
            total = total + config.metric_weight * (cross + config.intra_weight * intra)
        else:
            pulled = contrastive(embeddings, batch.labels, batch.modality, config.cross_margin)
            losses["loss_contrastive"] = pulled
            total = total + config.metric_weight * pulled

        epoch = progress.iteration // progress.iterations_per_epoch
        self.move(["model"], total, {"model": stairs(epoch, config.step_epochs, 0.1)})
        figures = {name: loss.item() for name, loss in losses.items()}
        return {**figures, "accuracy": accuracy(logits, batch.labels)}

    def embeddings(self, w: Weights, batch: Any, how: How = "batch") -> Tensor:
        """Each light through its ResNet, all through what both share."""
        images = normalised(w, batch.images, f"{self.within}normalize")
        vectors: Any = [None] * len(images)
        for light in (0, 1):
            rows = [i for i, m in enumerate(batch.modality.tolist()) if m == light]
            network = f"{self.within}backbone.networks.{light}.network"
            maps = resnet10(w, network, images[rows], last_stride=2, how=how)
            for row, own in zip(rows, maps.mean(dim=(2, 3)), strict=True):
                vectors[row] = own
        shared = linear(w, f"{self.within}head.linear", torch.stack(vectors))
        return batch_norm(w, f"{self.within}head.norm", shared, how)
