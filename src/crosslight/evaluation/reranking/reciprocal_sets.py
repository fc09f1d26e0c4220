"""The sparse half of k-reciprocal re-ranking: short lists of row numbers and their weights.

Source: Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal Encoding"
(CVPR 2017); equation numbers are the paper's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosslight.evaluation.ranking.compiled import compiled, compiled_reordered


@compiled_reordered
def _dot(a: Any, b: Any) -> Any:
    # In float32, in any order.
    total = np.float32(0.0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@compiled
def reciprocal(nearest: Any, k: int, low: int, high: int, members: Any, counts: Any) -> None:
    """R(i, k): the rows among the first k of i that have i among their first k (eq. 3)."""
    for i in range(low, high):
        count = 0
        for a in range(k):
            neighbour = nearest[i, a]
            for b in range(k):
                if nearest[neighbour, b] == i:
                    members[i, count] = neighbour
                    count += 1
                    break
        counts[i] = count


@compiled
def expand(
    members: Any,
    counts: Any,
    half_members: Any,
    half_counts: Any,
    low: int,
    high: int,
    sets: Any,
    sizes: Any,
) -> None:
    """R*(i): the sets of R(i, k) that share more than two thirds of their own join it (eq. 5).

    `sets[i - low]` ascends.
    """
    rows = len(counts)
    first = np.full(rows, -1, np.int64)
    joined = np.full(rows, -1, np.int64)
    for i in range(low, high):
        size = 0
        found = sets[i - low]
        for a in range(counts[i]):
            first[members[i, a]] = i
            joined[members[i, a]] = i
            found[size] = members[i, a]
            size += 1
        for a in range(counts[i]):
            candidate = members[i, a]
            shared = 0
            for b in range(half_counts[candidate]):
                shared += first[half_members[candidate, b]] == i
            if 3 * shared > 2 * half_counts[candidate]:
                for b in range(half_counts[candidate]):
                    other = half_members[candidate, b]
                    if joined[other] != i:
                        joined[other] = i
                        found[size] = other
                        size += 1
        found[:size].sort()
        sizes[i - low] = size


@compiled
def weigh(
    rows: Any,
    squares: Any,
    largest: Any,
    sets: Any,
    sizes: Any,
    first: int,
    low: int,
    high: int,
    starts: Any,
    columns: Any,
    weights: Any,
) -> None:
    """Rows of V: exp(-d) on R*, divided by their sum (eq. 7); rows `low` to `high` of a block."""
    for n in range(low, high):
        i = first + n
        begin = starts[i]
        total = 0.0
        for a in range(sizes[n]):
            j = sets[n, a]
            square = np.float64(0.0)
            if i != j:
                square = squares[i] + squares[j] - 2.0 * np.float64(_dot(rows[i], rows[j]))
            value = np.exp(-max(square, 0.0) / largest[i])
            columns[begin + a] = j
            weights[begin + a] = value
            total += value
        for a in range(sizes[n]):
            weights[begin + a] = np.float32(weights[begin + a] / total)


@compiled
def mean_sizes(
    nearest: Any, k: int, starts: Any, columns: Any, low: int, high: int, sizes: Any
) -> None:
    """How many columns the mean of the rows of the k nearest has."""
    seen = np.full(len(starts) - 1, -1, np.int64)
    for i in range(low, high):
        size = 0
        for a in range(k):
            row = nearest[i, a]
            for n in range(starts[row], starts[row + 1]):
                if seen[columns[n]] != i:
                    seen[columns[n]] = i
                    size += 1
        sizes[i] = size


@compiled
def mean_rows(
    nearest: Any,
    k: int,
    starts: Any,
    columns: Any,
    weights: Any,
    low: int,
    high: int,
    mean_starts: Any,
    mean_columns: Any,
    mean_weights: Any,
) -> None:
    """The mean of the rows of V of the k nearest (eq. 11)."""
    rows = len(starts) - 1
    total = np.zeros(rows, np.float64)
    seen = np.full(rows, -1, np.int64)
    for i in range(low, high):
        at = mean_starts[i]
        for a in range(k):
            row = nearest[i, a]
            for n in range(starts[row], starts[row + 1]):
                column = columns[n]
                if seen[column] != i:
                    seen[column] = i
                    total[column] = 0.0
                    mean_columns[at] = column
                    at += 1
                total[column] += weights[n]
        mean_columns[mean_starts[i] : at].sort()
        for n in range(mean_starts[i], at):
            mean_weights[n] = np.float32(total[mean_columns[n]] / k)


@compiled
def transpose(
    starts: Any, columns: Any, weights: Any, first: int, starts_of: Any, rows: Any, values: Any
) -> None:
    """For each column the rows from `first` on that use it; `starts_of` is filled as well."""
    count = len(starts) - 1
    for n in range(starts[first], starts[count]):
        starts_of[columns[n] + 1] += 1
    for c in range(count):
        starts_of[c + 1] += starts_of[c]
    at = starts_of[:-1].copy()
    for i in range(first, count):
        for n in range(starts[i], starts[i + 1]):
            column = columns[n]
            rows[at[column]] = i - first
            values[at[column]] = weights[n]
            at[column] += 1


@compiled
def final_distances(
    starts: Any,
    columns: Any,
    weights: Any,
    starts_of: Any,
    rows_of: Any,
    values_of: Any,
    queries: Any,
    largest: Any,
    share: float,
    low: int,
    high: int,
    squares: Any,
) -> None:
    """(1 - share) Jaccard distance + share * original distance (eq. 12), over `squares` in place.

    Args:
        starts: Where the rows of V begin.
        columns: Their columns.
        weights: Their values.
        starts_of: Where the columns of the gallery rows of V begin.
        rows_of: Their rows, counted from the first gallery row.
        values_of: Their values.
        queries: Numbers of the queries of this block.
        largest: `(N,)` largest squared distance of each row.
        share: The weight of the original distance.
        low: First row of the block to work on.
        high: Row after the last.
        squares: `(n, G)` float32 squared distances.
    """
    common = np.zeros(squares.shape[1], np.float64)
    met = np.empty(squares.shape[1], np.int64)
    apart = np.float32(1.0 - share)
    for n in range(low, high):
        i = queries[n]
        count = 0
        for a in range(starts[i], starts[i + 1]):
            weight = weights[a]
            for b in range(starts_of[columns[a]], starts_of[columns[a] + 1]):
                row = rows_of[b]
                if common[row] == 0.0:
                    met[count] = row
                    count += 1
                common[row] += min(weight, values_of[b])
        scale = np.float32(share / np.float64(largest[i]))
        for g in range(squares.shape[1]):
            squares[n, g] = apart + max(squares[n, g], np.float32(0.0)) * scale
        # Only rows that share a column are nearer than 1 in Jaccard distance.
        for m in range(count):
            row = met[m]
            if common[row] > 0.0:
                whole = 2.0 - common[row]
                squares[n, row] -= np.float32((1.0 - share) * common[row] / whole)
                common[row] = 0.0
