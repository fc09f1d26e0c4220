"""Losses that two or more methods share: pure functions of (embeddings, labels).

Letters: N batch, D length of an embedding, d(i, j) the Euclidean distance of embeddings i and j,
P_i the batch's images of i's person, i included, N_i the images of everybody else. Anchors with
an empty N_i carry no information and are left out of the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RELEASED_GUARD = 1e-6
RELEASED_CLAMP = 88.0


def euclidean_distances(embeddings: Tensor) -> Tensor:
    """(N, D) → (N, N) from differences, so that equal rows are exactly 0 apart.

    The gradient at distance 0 is 0, not infinite.
    """
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def batch_hard_triplet(
    embeddings: Tensor, labels: Tensor, *, margin: float | None = None
) -> Tensor:
    """Furthest positive against nearest negative ("batch hard", Hermans et al. 2017, equation 5).

    Args:
        embeddings: (N, D), float32 or wider.
        labels: (N,) integers.
        margin: m of max(0, m + d_p - d_n); None takes the soft margin log(1 + exp(d_p - d_n)).

    Returns:
        Scalar, the mean over anchors.
    """
    distances = euclidean_distances(embeddings)
    same = labels[:, None] == labels[None, :]
    furthest = distances.masked_fill(~same, -torch.inf).amax(dim=1)
    nearest = distances.masked_fill(same, torch.inf).amin(dim=1)
    excess = furthest - nearest
    terms = F.softplus(excess) if margin is None else F.relu(excess + margin)
    return _mean_over_anchors(terms, same)


def weighted_regularised_triplet(
    embeddings: Tensor, labels: Tensor, *, as_released: bool = False
) -> Tensor:
    """AGW's weighted regularisation triplet loss, without a margin (Ye et al., TPAMI 2021).

    log(1 + exp(sum_j w_ij d(i, j) - sum_k v_ik d(i, k))), with w the softmax of the distances
    over P_i and v the softmax of the negated distances over N_i.

    Args:
        embeddings: (N, D), float32 or wider.
        labels: (N,) integers.
        as_released: The authors' code adds 1e-6 to the sum of the negatives' exponentials
            without shifting them first. Where negatives are further away than about 14 that
            guard outweighs them and their mean distance reads as almost 0. True keeps this.

    Returns:
        Scalar, the mean over anchors.
    """
    excess, same = _weighted_excess(embeddings, labels, as_released=as_released)
    return _mean_over_anchors(F.softplus(excess), same)


def squared_weighted_triplet(
    embeddings: Tensor, labels: Tensor, *, as_released: bool = False
) -> Tensor:
    """CAJ's loss: AGW's with the signed square of the difference (Ye et al., ICCV 2021).

    log(1 + exp(sign(e) e^2)), where e is the difference inside AGW's exponential.

    Args:
        embeddings: (N, D), float32 or wider.
        labels: (N,) integers.
        as_released: The authors' code also clamps e^2 at 88 against overflow, and a clamped
            anchor has no gradient: where embeddings start far apart the loss stands at exactly
            88. Here log(1 + exp) cannot overflow, so nothing is clamped. True keeps the clamp
            and the guard described at `weighted_regularised_triplet`.

    Returns:
        Scalar, the mean over anchors.
    """
    excess, same = _weighted_excess(embeddings, labels, as_released=as_released)
    squared = excess.square()
    if as_released:
        squared = squared.clamp(max=RELEASED_CLAMP)
    signed = torch.where(excess > 0, squared, -squared)
    return _mean_over_anchors(F.softplus(signed), same)


def _weighted_excess(
    embeddings: Tensor, labels: Tensor, *, as_released: bool
) -> tuple[Tensor, Tensor]:
    distances = euclidean_distances(embeddings)
    same = labels[:, None] == labels[None, :]
    positive = _softmax_mean(distances, distances, same)
    if as_released:
        exponentials = torch.exp(-distances).masked_fill(same, 0.0)
        weights = exponentials / (exponentials.sum(dim=1, keepdim=True) + RELEASED_GUARD)
        negative = (weights * distances).sum(dim=1)
    else:
        negative = _softmax_mean(distances, -distances, ~same)
    return positive - negative, same


def _softmax_mean(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    # A row without any entry would be a softmax over nothing, whose gradient is not a number.
    scores = scores.masked_fill(~mask & mask.any(dim=1, keepdim=True), -torch.inf)
    return (scores.softmax(dim=1) * values).sum(dim=1)


def _mean_over_anchors(terms: Tensor, same: Tensor) -> Tensor:
    counted = ~same.all(dim=1)
    return torch.where(counted, terms, 0.0).sum() / counted.sum().clamp(min=1)
