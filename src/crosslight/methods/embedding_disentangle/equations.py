"""What Approach 1 minimises, in the slides' order.

Letters: N batch, D embedding, d parts. x1 is an anchor, x2 its person and x3 somebody else, both
in the other modality; every image is the anchor of a triplet. D_k(m_a, s_b) is the decoder of
modality k.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from crosslight.methods.bdtr import TERMS as BDTR_TERMS
from crosslight.methods.embedding_disentangle.config import EmbeddingDisentangleConfig, Norm
from crosslight.methods.terms import Term
from crosslight.nn.precision import wide

_TINY = 1e-12


def loss_simple(rebuilt: Tensor, embeddings: Tensor, norm: Norm) -> Tensor:
    """L_simple: |x - D(m, s)| of x1, x2 and x3: each image plays the three of them."""
    return 3 * _apart(rebuilt, embeddings, norm)


def loss_cross(rebuilt: Tensor, embeddings: Tensor, norm: Norm) -> Tensor:
    """L_cross: |x1 - D_1(m1, s2)| + |x2 - D_2(m2, s1)|."""
    return 2 * _apart(rebuilt, embeddings, norm)


def loss_dis(logits: Tensor, other_labels: Tensor) -> Tensor:
    """L_dis: -log p(y3 | D_1(m1, s3)) - log p(y1 | D_3(m3, s1)).

    Args:
        logits: (N, people) of the classifier.
        other_labels: (N,) of whose s is in each.
    """
    return 2 * F.cross_entropy(wide(logits), other_labels)


def triplet_loss(
    s: Tensor, positive: Tensor, negative: Tensor, *, margin: float, norm: Norm
) -> Tensor:
    """L_triplet: mean of max(0, m + |s1 - s2| - |s1 - s3|).

    Args:
        s: (N, d) of the anchors.
        positive: (N,) row of each one's s2.
        negative: (N,) row of each one's s3.
        margin: m.
        norm: What | | is.
    """
    to_positive = lengths(s - s[positive], norm)
    to_negative = lengths(s - s[negative], norm)
    return F.relu(margin + to_positive - to_negative).mean()


def loss_weights(config: EmbeddingDisentangleConfig) -> dict[str, float]:
    """A loss's name → its weight in the sum; one whose weight is 0 is not computed."""
    return {
        "loss_simple": config.simple_weight,
        "loss_cross": config.cross_weight,
        "loss_dis": config.dis_weight,
        "loss_triplet": config.triplet_weight,
    }


def lengths(vectors: Tensor, norm: Norm) -> Tensor:
    """| | of each row.

    Args:
        vectors: (N, D).
        norm: See `EmbeddingDisentangleConfig`.

    Returns:
        (N,); where a row is 0 the gradient is 0.
    """
    if norm == "l2":
        return vectors.square().sum(dim=1).clamp_min(_TINY).sqrt()
    sizes = vectors.abs()
    return sizes.sum(dim=1) if norm == "l1" else sizes.mean(dim=1)


def _apart(rebuilt: Tensor, embeddings: Tensor, norm: Norm) -> Tensor:
    return lengths(wide(rebuilt) - wide(embeddings), norm).mean()


TERMS: Mapping[str, Term] = {
    **BDTR_TERMS,
    "loss_classifier": Term(meaning="who is seen in a frozen embedding"),
    "loss_simple": Term(symbol="L_{simple}", meaning="embeddings from their own m and s"),
    "loss_cross": Term(
        symbol="L_{cross}", meaning="embeddings from the s of their person in the other light"
    ),
    "loss_dis": Term(
        symbol="L_{dis}", meaning="with somebody else's s an embedding is taken for somebody else"
    ),
    "loss_triplet": Term(
        symbol="L_{triplet}", meaning="s near that of the person, far from somebody else's"
    ),
}
"""The slides number no equations. In the stage `bdtr` the losses are BDTR's."""
