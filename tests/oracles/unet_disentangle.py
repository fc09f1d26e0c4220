"""Approach 0's losses as its slides write them, one triplet at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Decode = Callable[[int, Tensor, Tensor], Tensor]
"""Modality, S, M, one sample each → image."""
Encode = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""Modality, image → S, M."""


def recon(x: Tensor, s: Tensor, m: Tensor, modality: Sequence[int], decode: Decode) -> Tensor:
    """Sum over k of ||X_k - D_k(S_k, M_k)||^2, where each image is X1, X2 and X3 once."""
    terms = [((x[k] - decode(modality[k], s[k], m[k])) ** 2).mean() for k in range(len(x))]
    roles = [torch.stack(terms).mean() for _ in range(3)]
    return roles[0] + roles[1] + roles[2]


def cross(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    decode: Decode,
) -> Tensor:
    """||X1 - D_1(S2, M1)||^2 + ||X2 - D_2(S1, M2)||^2."""
    terms = []
    for a, p in enumerate(positive):
        terms.append(((x[a] - decode(modality[a], s[p], m[a])) ** 2).mean())
    first = second = sum(terms) / len(terms)
    return first + second


def cycle(
    x: Tensor,
    s: Tensor,
    m: Tensor,
    modality: Sequence[int],
    positive: Sequence[int],
    encode: Encode,
    decode: Decode,
) -> Tensor:
    """The crossed images taken apart again and their S exchanged back; struck out on the slide."""
    crossed = [decode(modality[a], s[p], m[a]) for a, p in enumerate(positive)]
    again = [encode(modality[a], image) for a, image in enumerate(crossed)]
    terms = []
    for a, p in enumerate(positive):
        terms.append(((x[a] - decode(modality[a], again[p][0], again[a][1])) ** 2).mean())
    first = second = sum(terms) / len(terms)
    return first + second


def triplet(s: Tensor, positive: Sequence[int], negative: Sequence[int], margin: float) -> Tensor:
    """max(0, m + ||f(X1) - f(X2)||^2 - ||f(X1) - f(X3)||^2), f being S of length 1."""
    f = [row / (row**2).sum().sqrt() for row in s]
    terms = []
    for a, (p, n) in enumerate(zip(positive, negative, strict=True)):
        value = margin + ((f[a] - f[p]) ** 2).sum() - ((f[a] - f[n]) ** 2).sum()
        terms.append(value if value.item() > 0 else value * 0)
    return torch.stack(terms).mean()
