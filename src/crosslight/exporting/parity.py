"""How near an exported model's embeddings come to those of the run that it was made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.types import Distance

NEIGHBOURS = 10


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Two embeddings of the same images.

    Attributes:
        images: How many.
        largest: The largest difference of a value, where embeddings have length 1 on average.
        agreement: Which part of the ten nearest of an image are so by both, on average.
    """

    images: int
    largest: float
    agreement: float

    def __str__(self) -> str:
        return (
            f"{self.images} images: largest difference {self.largest:.1e}, of the {NEIGHBOURS} "
            f"nearest {100 * self.agreement:.1f} % the same"
        )

    def to_plain(self) -> dict[str, Any]:
        """Its attributes."""
        return asdict(self)


def compare(
    before: NDArray[np.floating[Any]], after: NDArray[np.floating[Any]], distance: Distance
) -> Parity:
    """Sets the embeddings of a run beside those of its export.

    Args:
        before: (N, D) of the run.
        after: (N, D) of the same images.
        distance: How they are compared.
    """
    first, second = (np.asarray(x, dtype=np.float64) for x in (before, after))
    length = np.linalg.norm(first, axis=1).mean()
    largest = float(np.abs(first - second).max() / length) if length > 0 else np.inf
    return Parity(
        images=len(first),
        # A value that is no number is as far as can be.
        largest=np.inf if np.isnan(largest) else largest,
        agreement=_agreement(first, second, distance),
    )


def _agreement(
    before: NDArray[np.float64], after: NDArray[np.float64], distance: Distance
) -> float:
    count = min(NEIGHBOURS, len(before) - 1)
    if count < 1:
        return 1.0
    nearest = [_nearest(x, distance, count) for x in (before, after)]
    same = [len(set(a) & set(b)) for a, b in zip(*(x.tolist() for x in nearest), strict=True)]
    return float(np.mean(same)) / count


def _nearest(feats: NDArray[np.float64], distance: Distance, count: int) -> NDArray[np.intp]:
    if distance == "cosine":
        feats = feats / np.linalg.norm(feats, axis=1, keepdims=True).clip(min=1e-12)
    products = feats @ feats.T
    squares = np.diag(products)
    dist = squares[:, None] + squares - 2 * products if distance == "euclidean" else -products
    np.fill_diagonal(dist, np.inf)
    found: NDArray[np.intp] = np.argsort(dist, axis=1, kind="stable")[:, :count]
    return found
