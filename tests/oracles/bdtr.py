"""The losses of BDTR and TONE as their papers write them, one anchor and one pair at a time."""

from __future__ import annotations

import torch
from torch import Tensor


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
