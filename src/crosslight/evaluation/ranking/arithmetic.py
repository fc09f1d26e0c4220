"""Arithmetic that decides ranks: one order of operations in float64, and bounded shortcuts.

The exact inner product of two rows is defined once, for every processor: 32 running sums, product
l of the rows going to sum l mod 32, then the sums added in halves. Equal rows have therefore equal
distances to the last bit, wherever they stand and however the work is cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosslight.evaluation.ranking.bounds import QUICK_LANES
from crosslight.evaluation.ranking.compiled import compiled, compiled_fused

LANES = 32


@compiled
def exact_dot(a: Any, b: Any, sums: Any) -> Any:
    """The inner product in float64, in the order stated above; `sums` is scratch for 32 numbers."""
    for lane in range(LANES):
        sums[lane] = 0.0
    n = len(a)
    # Four rounds at a time: each sum is read and written once, its order stays.
    rounds = n - n % (4 * LANES)
    for i in range(0, rounds, 4 * LANES):
        for lane in range(LANES):
            j = i + lane
            total = sums[lane] + np.float64(a[j]) * np.float64(b[j])
            total += np.float64(a[j + LANES]) * np.float64(b[j + LANES])
            total += np.float64(a[j + 2 * LANES]) * np.float64(b[j + 2 * LANES])
            total += np.float64(a[j + 3 * LANES]) * np.float64(b[j + 3 * LANES])
            sums[lane] = total
    whole = n - n % LANES
    for i in range(rounds, whole, LANES):
        for lane in range(LANES):
            sums[lane] += np.float64(a[i + lane]) * np.float64(b[i + lane])
    for lane in range(n - whole):
        sums[lane] += np.float64(a[whole + lane]) * np.float64(b[whole + lane])
    half = LANES // 2
    while half > 0:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    return sums[0]


@compiled_fused
def quick_dot(a: Any, b: Any, sums: Any) -> Any:
    """The inner product of float32 rows in float32, in 64 sums; `sums` is scratch for as many.

    In this order its error is far smaller than that of an order that is not known.
    """
    for lane in range(QUICK_LANES):
        sums[lane] = np.float32(0.0)
    n = len(a)
    rounds = n - n % (4 * QUICK_LANES)
    for i in range(0, rounds, 4 * QUICK_LANES):
        for lane in range(QUICK_LANES):
            j = i + lane
            total = sums[lane] + a[j] * b[j]
            total += a[j + QUICK_LANES] * b[j + QUICK_LANES]
            total += a[j + 2 * QUICK_LANES] * b[j + 2 * QUICK_LANES]
            total += a[j + 3 * QUICK_LANES] * b[j + 3 * QUICK_LANES]
            sums[lane] = total
    for i in range(rounds, n, QUICK_LANES):
        for lane in range(min(QUICK_LANES, n - i)):
            sums[lane] += a[i + lane] * b[i + lane]
    half = QUICK_LANES // 2
    while half > 0:
        for lane in range(half):
            sums[lane] += sums[lane + half]
        half //= 2
    return sums[0]


@compiled
def exact_squares(rows: Any, squares: Any) -> None:
    """The inner product of each row with itself, in float64."""
    sums = np.empty(LANES, np.float64)
    for i in range(len(rows)):
        squares[i] = exact_dot(rows[i], rows[i], sums)


@compiled
def exact_pairs(
    queries: Any,
    gallery: Any,
    starts: Any,
    pairs: Any,
    order: Any,
    first: int,
    low: int,
    high: int,
    out: Any,
) -> None:
    """Inner products of query i with the gallery rows that `pairs` lists for it, in one block.

    `pairs[starts[i]:starts[i + 1]]` ascends; gallery row 0 is number `first`; queries `low` to
    `high` of `order` are worked on. Queries of one person after another find the rows in the cache.
    """
    sums = np.empty(LANES, np.float64)
    last = first + len(gallery)
    for i in order[low:high]:
        at = starts[i] + np.searchsorted(pairs[starts[i] : starts[i + 1]], first)
        while at < starts[i + 1] and pairs[at] < last:
            out[at] = exact_dot(queries[i], gallery[pairs[at] - first], sums)
            at += 1


@compiled
def scale_rows(rows: Any, factors: Any, out: Any) -> None:
    """`out[i] = factors[i] * rows[i]`, rounded once to float32."""
    for i in range(len(rows)):
        factor = factors[i]
        for j in range(rows.shape[1]):
            out[i, j] = np.float32(np.float64(rows[i, j]) * factor)
