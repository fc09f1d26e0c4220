"""The documented arithmetic of nearness, in Python numbers, and ranks by a full sort."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

LANES = 32


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Product l goes to sum l mod 32; the sums are added in halves."""
    sums = [0.0] * LANES
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        sums[i % LANES] += x * y
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[i] + sums[half + i] for i in range(half)]
    return sums[0]


def nearness(query: Sequence[float], row: Sequence[float], kind: str) -> float:
    value, square = dot(query, row), dot(row, row)
    if kind == "cosine":
        return value / (math.sqrt(square) if square > 0 else 1.0)
    return value - 0.5 * square if kind == "euclidean" else value


def ranking(
    query: Sequence[float],
    rows: Sequence[Sequence[float]],
    order: Sequence[int],
    hidden: Callable[[int], bool],
    kind: str,
) -> list[int]:
    """The allowed rows of a gallery, nearest first; equal ones stay in the order of the gallery."""
    seen = [j for j in order if not hidden(j)]
    return sorted(seen, key=lambda j: -nearness(query, rows[j], kind))
