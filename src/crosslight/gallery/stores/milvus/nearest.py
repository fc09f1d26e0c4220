"""The nearest rows of several queries while vectors pass by a few thousand at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.gallery.stores.rows import Vectors
from crosslight.types import Distance


class Nearest:
    """Keeps the best k of each query.

    Args:
        queries: Number of queries.
        k: Rows to keep for each.
        distance: How prepared vectors are compared.
    """

    def __init__(self, queries: int, k: int, distance: Distance) -> None:
        self._k = k
        self._distance = distance
        self._distances: NDArray[np.float64] = np.full((queries, 0), np.inf)
        self._ids: NDArray[Any] = np.full((queries, 0), None, object)

    def update(
        self,
        queries: Vectors,
        vectors: Vectors,
        ids: Sequence[str],
        allowed: NDArray[np.bool_] | None = None,
    ) -> None:
        """Looks at some rows.

        Args:
            queries: (Q, D), the same ones each time.
            vectors: (N, D).
            ids: Of the N rows.
            allowed: (Q, N); False leaves a row out for a query.
        """
        distances = self._compare(queries, vectors)
        if allowed is not None:
            distances[~allowed] = np.inf
        names = np.broadcast_to(np.array(ids, dtype=object), distances.shape)
        if distances.shape[1] > self._k:
            few = np.argpartition(distances, self._k - 1, axis=1)[:, : self._k]
            distances = np.take_along_axis(distances, few, axis=1)
            names = np.take_along_axis(names, few, axis=1)
        distances = np.concatenate([self._distances, distances], axis=1)
        names = np.concatenate([self._ids, names], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, : self._k]
        self._distances = np.take_along_axis(distances, order, axis=1)
        self._ids = np.take_along_axis(names, order, axis=1)

    def ranked(self) -> list[tuple[list[str], list[float]]]:
        """Ids and distances of each query, nearest first; equal distances by id."""
        answers = []
        for ids, distances in zip(self._ids, self._distances, strict=True):
            kept = sorted(
                (float(d), str(i)) for i, d in zip(ids, distances, strict=True) if np.isfinite(d)
            )
            answers.append(([i for _, i in kept], [d for d, _ in kept]))
        return answers

    def _compare(self, queries: Vectors, vectors: Vectors) -> NDArray[np.float64]:
        products: NDArray[np.float64] = (queries @ vectors.T).astype(np.float64)
        if self._distance == "dot":
            return -products
        if self._distance == "cosine":
            return np.asarray(np.clip(1 - products, 0, 2))
        squares = [np.square(side.astype(np.float64)).sum(axis=1) for side in (queries, vectors)]
        between = squares[0][:, None] + squares[1][None] - 2 * products
        return np.asarray(np.sqrt(np.maximum(between, 0)))
