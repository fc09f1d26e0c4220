"""The losses written as their papers write them, one anchor and one pair at a time."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def _distance(a: Tensor, b: Tensor) -> Tensor:
    squared = ((a - b) ** 2).sum()
    return squared.sqrt() if squared.item() > 0 else squared * 0


def _pairs(
    embeddings: Tensor, labels: Tensor, i: int, floor: float = 0.0
) -> tuple[list[Tensor], list[Tensor]]:
    positives, negatives = [], []
    for j in range(len(labels)):
        d = _distance(embeddings[i], embeddings[j])
        if d.item() < floor:
            d = torch.full_like(d, floor)
        (positives if labels[j] == labels[i] else negatives).append(d)
    return positives, negatives


def _mean(terms: list[Tensor], embeddings: Tensor) -> Tensor:
    return sum(terms, embeddings.sum() * 0) / max(len(terms), 1)


def batch_hard_triplet(embeddings: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    """Hermans et al. 2017, equation 5, with hinge or soft margin."""
    terms = []
    for i in range(len(labels)):
        positives, negatives = _pairs(embeddings, labels, i)
        if not negatives:
            continue
        furthest = max(positives, key=Tensor.item)
        nearest = min(negatives, key=Tensor.item)
        if margin is None:
            terms.append(torch.log(1 + torch.exp(furthest - nearest)))
        else:
            hinge = furthest - nearest + margin
            terms.append(hinge if hinge.item() > 0 else hinge * 0)
    return _mean(terms, embeddings)


def weighted_excess(
    embeddings: Tensor, labels: Tensor, i: int, *, guard: float = 0.0
) -> Tensor | None:
    """What stands in AGW's exponential for anchor i; None without negatives.

    With a guard as the released code has it: on both sums, the positives' shifted by the largest,
    and as the smallest distance.
    """
    positives, negatives = _pairs(embeddings, labels, i, guard)
    if not negatives:
        return None
    largest = max(positives, key=Tensor.item)
    total_p = sum(torch.exp(d - largest) for d in positives) + guard
    total_n = sum(torch.exp(-d) for d in negatives) + guard
    weighted_p = sum(torch.exp(d - largest) / total_p * d for d in positives)
    weighted_n = sum(torch.exp(-d) / total_n * d for d in negatives)
    return weighted_p - weighted_n


def weighted_regularised_triplet(
    embeddings: Tensor, labels: Tensor, *, guard: float = 0.0
) -> Tensor:
    """Ye et al., TPAMI 2021."""
    terms = []
    for i in range(len(labels)):
        excess = weighted_excess(embeddings, labels, i, guard=guard)
        if excess is not None:
            terms.append(torch.log(1 + torch.exp(excess)))
    return _mean(terms, embeddings)


def squared_weighted_triplet(
    embeddings: Tensor, labels: Tensor, *, guard: float = 0.0, clamp: float = math.inf
) -> Tensor:
    """Ye et al., ICCV 2021: the squared difference with the sign of the difference."""
    terms = []
    for i in range(len(labels)):
        excess = weighted_excess(embeddings, labels, i, guard=guard)
        if excess is None:
            continue
        square = excess**2
        if square.item() > clamp:
            square = torch.full_like(square, clamp)
        terms.append(torch.log(1 + torch.exp(square if excess.item() > 0 else -square)))
    return _mean(terms, embeddings)
