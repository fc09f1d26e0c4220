"""How much drawn pictures, as a crowd, look like real ones to a network: named for the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from crosslight.data.luma import LUMA
from crosslight.evaluation.generation.translation import ssim

Floats = NDArray[np.float64]


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Between two normal distributions fitted to features (Heusel et al., NeurIPS 2017, eq. 6).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2), with unbiased covariances; 0 for equal sets. Called
    FID only where the features are Inception's.

    Args:
        first: `(N, D)`.
        second: `(M, D)`.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    spread_a, spread_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = eigh(spread_a)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    # C1 C2 has the eigenvalues of the symmetric C1^1/2 C2 C1^1/2, whose roots are safe to take
    # where few images leave both without full rank.
    shared = np.sqrt(np.maximum(eigh(root @ spread_b @ root, eigvals_only=True), 0)).sum()
    gap = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(max(0.0, gap + np.trace(spread_a) + np.trace(spread_b) - 2 * shared))


def kernel_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The unbiased squared MMD with the kernel (x·y / D + 1)^3 (Binkowski et al., ICLR 2018).

    Called KID only where the features are Inception's.

    Args:
        first: `(N, D)`.
        second: `(M, D)`.
    """
    a, b = first.astype(np.float64), second.astype(np.float64)

    def kernel(x: Floats, y: Floats) -> Floats:
        product: Floats = (x @ y.T / x.shape[1] + 1) ** 3
        return product

    own_a, own_b = kernel(a, a), kernel(b, b)
    n, m = len(a), len(b)
    within = (own_a.sum() - np.trace(own_a)) / (n * (n - 1))
    within += (own_b.sum() - np.trace(own_b)) / (m * (m - 1))
    return float(within - 2 * kernel(a, b).mean())


def diversity(pictures: Floats, *, pairs: int, seed: int) -> float:
    """Mean SSIM of pairs of pictures: smaller is more diverse (DG-Net, Table 2).

    Args:
        pictures: `(N, h, w, 3)` in [0, 1].
        pairs: How many pairs of different pictures.
        seed: Which.
    """
    rng = np.random.default_rng(seed)
    gray = pictures @ np.array(LUMA)
    drawn = [rng.choice(len(gray), 2, replace=False) for _ in range(pairs)]
    return float(np.mean([ssim(gray[int(a)], gray[int(b)]) for a, b in drawn]))
