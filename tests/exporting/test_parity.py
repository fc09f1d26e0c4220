from __future__ import annotations

import numpy as np
import pytest

from crosslight.exporting.parity import compare
from crosslight.types import Distance


def distances(feats: np.ndarray, distance: Distance) -> np.ndarray:
    """Between all images, one by one."""
    found = np.empty((len(feats), len(feats)))
    for i, a in enumerate(feats):
        for j, b in enumerate(feats):
            if distance == "cosine":
                found[i, j] = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            else:
                found[i, j] = -a @ b if distance == "dot" else np.linalg.norm(a - b)
    return found


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_the_ten_nearest_are_counted(distance: Distance) -> None:
    generator = np.random.default_rng(0)
    before = generator.standard_normal((24, 6))
    after = before + 0.3 * generator.standard_normal(before.shape)
    shares = []
    for row in range(len(before)):
        near = []
        for feats in (before, after):
            others = distances(feats, distance)[row]
            others[row] = np.inf
            near.append(set(np.argsort(others)[:10].tolist()))
        shares.append(len(near[0] & near[1]) / 10)
    found = compare(before, after, distance)
    assert found.agreement == pytest.approx(np.mean(shares))
    assert 0.2 < found.agreement < 1
    scale = np.linalg.norm(before, axis=1).mean()
    assert found.largest == pytest.approx(np.abs(before - after).max() / scale)


def test_values_that_are_no_numbers_are_as_far_as_can_be() -> None:
    before = np.eye(3)
    assert compare(before, np.where(before == 1, np.nan, before), "cosine").largest == np.inf
    assert compare(np.zeros((3, 3)), before, "cosine").largest == np.inf
    assert compare(before, before, "cosine").largest == 0
