"""Losses that two or more methods share: pure functions of (embeddings, labels).

Letters: N batch, D length of an embedding, d(i, j) the Euclidean distance of embeddings i and j,
P_i the batch's images of i's person, i included, N_i the images of everybody else. Anchors with
an empty N_i carry no information and are left out of the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.types import Modality

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
    embeddings: Tensor, labels: Tensor, *, as_released: bool
) -> Tensor:
    """AGW's weighted regularisation triplet loss, without a margin (Ye et al., TPAMI 2021).

    log(1 + exp(sum_j w_ij d(i, j) - sum_k v_ik d(i, k))), with w the softmax of the distances
    over P_i and v the softmax of the negated distances over N_i.

    Args:
        embeddings: (N, D), float32 or wider.
        labels: (N,) integers.
        as_released: The authors' code adds 1e-6 to both sums of exponentials, the positives'
            after shifting them by the largest, the negatives' as they are. Where negatives are
            further away than about 14 that guard outweighs them and their mean distance reads
            as almost 0. No distance is below 1e-6. True keeps all of this.

    Returns:
        Scalar, the mean over anchors.
    """
    excess, same = _weighted_excess(embeddings, labels, as_released=as_released)
    return _mean_over_anchors(F.softplus(excess), same)


def squared_weighted_triplet(embeddings: Tensor, labels: Tensor, *, as_released: bool) -> Tensor:
    """CAJ's loss: AGW's with the signed square of the difference (Ye et al., ICCV 2021).

    log(1 + exp(sign(e) e^2)), where e is the difference inside AGW's exponential.

    Args:
        embeddings: (N, D), float32 or wider.
        labels: (N,) integers.
        as_released: The authors' code also clamps e^2 at 88 against overflow, and a clamped
            anchor has no gradient: where embeddings start far apart the loss stands at exactly
            88. Here log(1 + exp) cannot overflow, so nothing is clamped. True keeps the clamp
            and the guards described at `weighted_regularised_triplet`.

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
    if as_released:
        distances = distances.clamp(min=RELEASED_GUARD)
        largest = (distances * same).max(dim=1, keepdim=True).values
        positive = _guarded_mean(distances, distances - largest, same)
        negative = _guarded_mean(distances, -distances, ~same)
    else:
        positive = _softmax_mean(distances, distances, same)
        negative = _softmax_mean(distances, -distances, ~same)
    return positive - negative, same


def _guarded_mean(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    exponentials = torch.exp(scores.masked_fill(~mask, -torch.inf))
    weights = exponentials / (exponentials.sum(dim=1, keepdim=True) + RELEASED_GUARD)
    return (weights * values).sum(dim=1)


def _softmax_mean(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    # A row without any entry would be a softmax over nothing, whose gradient is not a number.
    # Either every row has one or, where all images are of one person, none.
    scores = scores.masked_fill(~mask & mask.any(), -torch.inf)
    return (scores.softmax(dim=1) * values).sum(dim=1)


def _mean_over_anchors(terms: Tensor, same: Tensor) -> Tensor:
    counted = ~same.all(dim=1)
    return torch.where(counted, terms, 0.0).sum() / counted.sum().clamp(min=1)


def bidirectional_top_ranking(
    embeddings: Tensor,
    labels: Tensor,
    modality: Tensor,
    *,
    cross_margin: float,
    intra_margin: float,
) -> tuple[Tensor, Tensor]:
    """BDTR's bi-directional dual-constrained top-ranking loss (Ye et al., IJCAI 2018).

    For an anchor of one modality, with p its person's image and n somebody else's, both of the
    other modality: L_cross = max(0, rho1 + d(a, p) - d(a, n)) and L_intra = max(0, rho2 - d(p, n)).
    n is the nearest such image, p the furthest: the paper has one image of each person in each
    modality, and this is its loss there.

    Args:
        embeddings: (N, D), float32 or wider; brought to length 1 here.
        labels: (N,) integers.
        modality: (N,) `Modality`.
        cross_margin: rho1.
        intra_margin: rho2.

    Returns:
        L_cross and L_intra, each the mean over one modality's anchors plus that over the
        other's. Anchors without p or without n are left out. The paper adds 0.1 of L_intra.
    """
    distances = euclidean_distances(F.normalize(embeddings))
    same, across = _relations(labels, modality)
    positive, negative = same & across, ~same & across
    counted = positive.any(dim=1) & negative.any(dim=1)
    to_positive, furthest = distances.masked_fill(~positive, -torch.inf).max(dim=1)
    to_negative, nearest = distances.masked_fill(~negative, torch.inf).min(dim=1)
    # A difference of infinities would have no value, and hide behind no mask in the gradient.
    excess = to_positive.masked_fill(~counted, 0) - to_negative.masked_fill(~counted, 0)
    cross = F.relu(cross_margin + excess)
    intra = F.relu(intra_margin - distances[furthest, nearest])
    return _sum_of_means(cross, counted, modality), _sum_of_means(intra, counted, modality)


def cross_modal_contrastive(
    embeddings: Tensor, labels: Tensor, modality: Tensor, *, margin: float
) -> Tensor:
    """TONE's contrastive loss (Ye et al., AAAI 2018) over all pairs of a visible and an infrared.

    0.5 * mean of y d^2 + (1 - y) max(0, margin - d)^2, where y is 1 for two images of one person.
    The pairs with y = 1 weigh as much together as those with y = 0, as if as many were drawn.

    Args:
        embeddings: (N, D), float32 or wider; brought to length 1 here.
        labels: (N,) integers.
        modality: (N,) `Modality`.
        margin: Distance that different people shall keep.

    Returns:
        Scalar.
    """
    distances = euclidean_distances(F.normalize(embeddings))
    same, across = _relations(labels, modality)
    means = (
        torch.where(chosen, terms, 0.0).sum() / chosen.sum().clamp(min=1)
        for chosen, terms in (
            (same & across, distances.square()),
            (~same & across, F.relu(margin - distances).square()),
        )
    )
    return 0.5 * torch.stack(list(means)).mean()


def _relations(labels: Tensor, modality: Tensor) -> tuple[Tensor, Tensor]:
    """(N, N) of one person; (N, N) of different modalities."""
    return labels[:, None] == labels[None, :], modality[:, None] != modality[None, :]


def _sum_of_means(terms: Tensor, counted: Tensor, modality: Tensor) -> Tensor:
    means = []
    for light in Modality:
        anchors = counted & (modality == light)
        means.append(torch.where(anchors, terms, 0.0).sum() / anchors.sum().clamp(min=1))
    return torch.stack(means).sum()
