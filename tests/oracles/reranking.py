"""k-reciprocal re-ranking as the paper states it: full matrices, sets and loops, in float64."""

from __future__ import annotations

import numpy as np


def squared_distances(rows: np.ndarray) -> np.ndarray:
    difference = rows[:, None, :] - rows[None, :, :]
    return (difference**2).sum(axis=2)


def unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1.0)


def reranked(
    queries: np.ndarray, gallery: np.ndarray, *, k1: int, k2: int, share: float
) -> np.ndarray:
    """(1 - share) Jaccard + share * original, queries against gallery."""
    rows = np.concatenate([queries, gallery]).astype(np.float64)
    original = squared_distances(rows)
    original /= np.maximum(original.max(axis=1, keepdims=True), 1e-30)
    ranking = np.argsort(original, axis=1, kind="stable")

    def neighbours(i: int, k: int) -> list[int]:
        return ranking[i, : k + 1].tolist()

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in neighbours(i, k) if i in neighbours(j, k)}

    half = int(np.around(k1 / 2))
    codes = np.zeros((len(rows), len(rows)))
    for i in range(len(rows)):
        core = reciprocal(i, k1)
        expanded = set(core)
        for j in core:
            other = reciprocal(j, half)
            if len(other & core) > 2 / 3 * len(other):
                expanded |= other
        members = sorted(expanded)
        weights = np.exp(-original[i, members])
        codes[i, members] = weights / weights.sum()
    if k2 != 1:
        codes = np.stack([codes[ranking[i, :k2]].mean(axis=0) for i in range(len(rows))])
    count = len(queries)
    result = np.empty((count, len(gallery)))
    for i in range(count):
        for g in range(len(gallery)):
            common = np.minimum(codes[i], codes[count + g]).sum()
            whole = np.maximum(codes[i], codes[count + g]).sum()
            jaccard = 1.0 - common / whole if whole else 1.0
            result[i, g] = (1 - share) * jaccard + share * original[i, count + g]
    return result
