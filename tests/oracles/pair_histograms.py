"""Pairs of images counted one by one, and the area under the curve by comparing all of them."""

from itertools import combinations

import numpy as np


def pair_distances(
    feats: np.ndarray,
    pids: np.ndarray,
    cams: np.ndarray,
    modality: np.ndarray,
    kind: str,
) -> tuple[list[float], list[float]]:
    """Cosine distances of the same-person and of the different-person pairs of one kind."""
    lights = {"within visible": {0}, "within infrared": {1}, "across modality": {0, 1}}[kind]
    own_cams = {
        int(c) for c, m, p in zip(cams, modality, pids, strict=True) if {m} == lights and p >= 0
    }
    same, different = [], []
    for i, j in combinations(range(len(feats)), 2):
        if pids[i] < 0 or pids[j] < 0 or {int(modality[i]), int(modality[j])} != lights:
            continue
        if len(lights) == 1 and len(own_cams) > 1 and cams[i] == cams[j]:
            continue
        cosine = float(
            np.dot(feats[i], feats[j]) / (np.linalg.norm(feats[i]) * np.linalg.norm(feats[j]))
        )
        (same if pids[i] == pids[j] else different).append(1.0 - cosine)
    return same, different


def area_under_curve(same: list[float], different: list[float]) -> float:
    """Share of (same, different) comparisons that the same-person pair wins; ties count half."""
    wins = sum((s < d) + (s == d) / 2 for s in same for d in different)
    return wins / (len(same) * len(different))
