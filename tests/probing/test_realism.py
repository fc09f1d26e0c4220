import numpy as np
import pytest

from crosslight.probing.realism import diversity, frechet_distance, kernel_distance


def test_the_frechet_distance_of_normal_crowds_by_hand():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4000, 3))
    base = (base - base.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(base.T))).T
    assert frechet_distance(base, base) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(base, base + np.array([3, 4, 0])) == pytest.approx(25, rel=1e-6)
    # tr(I + 9 I - 2 * 3 I) = 3 * 4
    assert frechet_distance(base, 3 * base) == pytest.approx(12, rel=1e-6)


def test_the_kernel_distance_beside_its_sums():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(5, 4)), rng.normal(size=(6, 4)) + 0.5

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / 4 + 1) ** 3

    within = sum(kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    within += sum(kernel(b[i], b[j]) for i in range(6) for j in range(6) if i != j) / 30
    across = sum(kernel(x, y) for x in a for y in b) / 30
    assert kernel_distance(a, b) == pytest.approx(within - 2 * across, rel=1e-12)


def test_equal_pictures_are_not_diverse():
    rng = np.random.default_rng(2)
    one = rng.random((1, 24, 16, 3))
    assert diversity(np.repeat(one, 4, axis=0), pairs=5, seed=0) == pytest.approx(1)
    assert diversity(rng.random((8, 24, 16, 3)), pairs=5, seed=0) < 0.5
