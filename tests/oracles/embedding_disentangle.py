"""Approach 1's losses as its slides write them, one triplet at a time.

Notation of the slides: X_a^b = D(m_a, s_b), by the decoder of a's modality.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Decode = Callable[[int, Tensor, Tensor], Tensor]
"""Modality, s, m, one sample each → embedding."""


def size(vector: Tensor, norm: str) -> Tensor:
    """| | of one vector, value by value."""
    values = list(vector)
    if norm == "l2":
        return sum(v * v for v in values) ** 0.5  # type: ignore[return-value]
    total = sum(abs(v) for v in values)
    return total / len(values) if norm == "mean" else total  # type: ignore[return-value]


def simple(
    x: Tensor, s: Tensor, m: Tensor, modality: Sequence[int], decode: Decode, norm: str
) -> Tensor:
    """|X1 - X^1| + |X2 - X^2| + |X3 - X^3|, where each image is each of the three once."""
    terms = [size(x[k] - decode(modality[k], s[k], m[k]), norm) for k in range(len(x))]
    roles = [torch.stack(terms).mean() for _ in range(3)]
    return roles[0] + roles[1] + roles[2]


def cross(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    decode: Decode,
    norm: str,
) -> Tensor:
    """|X1 - D_rgb(m1, s2)| + |X2 - D_ir(m2, s1)|, the mean over anchors being either term's."""
    terms = []
    for a, p in enumerate(positive):
        terms.append(size(x[a] - decode(modality[a], s[p], m[a]), norm))
    first = second = sum(terms) / len(terms)
    return first + second


def dis(
    s: Tensor,
    m: Tensor,
    labels: Sequence[int],
    modality: Sequence[int],
    negative: Sequence[int],
    decode: Decode,
    posterior: Callable[[Tensor], Tensor],
) -> Tensor:
    """-log p(y3 | X_1^3) - log p(y1 | X_3^1), the mean over anchors being either term's."""
    terms = []
    for a, n in enumerate(negative):
        mixed = decode(modality[a], s[n], m[a])
        terms.append(-torch.log(posterior(mixed)[labels[n]]))
    first = second = sum(terms) / len(terms)
    return first + second


def triplet(
    s: Tensor, positive: Sequence[int], negative: Sequence[int], margin: float, norm: str
) -> Tensor:
    """max(0, m + |s1 - s2| - |s1 - s3|)."""
    terms = []
    for a, (p, n) in enumerate(zip(positive, negative, strict=True)):
        value = margin + size(s[a] - s[p], norm) - size(s[a] - s[n], norm)
        terms.append(value if value.item() > 0 else value * 0)
    return torch.stack(terms).mean()


def hardest(
    s: Tensor, labels: Sequence[int], modality: Sequence[int], norm: str
) -> tuple[list[int], list[int]]:
    """Each anchor's furthest image of its person, and nearest of others, in the other light."""
    positives, negatives = [], []
    for a in range(len(s)):
        across = [j for j in range(len(s)) if modality[j] != modality[a]]

        def distance(j: int, a: int = a) -> float:
            return size(s[a] - s[j], norm).item()

        positives.append(max((j for j in across if labels[j] == labels[a]), key=distance))
        negatives.append(min((j for j in across if labels[j] != labels[a]), key=distance))
    return positives, negatives
