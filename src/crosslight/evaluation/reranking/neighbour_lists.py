"""The nearest neighbours of every row among all rows, from the upper triangle of the distances.

Each tile of squared distances is offered to the lists of its rows and of its columns. The values
are float32; candidates within their error bound of each other are ordered in float64 afterwards.
Equal distances are ordered by row number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crosslight.evaluation.ranking.arithmetic import LANES, exact_dot
from crosslight.evaluation.ranking.compiled import compiled, compiled_without_nan

_CHUNK = 32


class Tables(NamedTuple):
    """The rows as given: queries first, then gallery.

    Attributes:
        queries, gallery: Tables of features.
        query_rows, gallery_rows: Which rows of them.
        inverse: `(N,)` float64 factor that scales each row.
        squares: `(N,)` float64 squared length of each scaled row.
    """

    queries: Any
    gallery: Any
    query_rows: Any
    gallery_rows: Any
    inverse: Any
    squares: Any


@compiled
def exact_square(tables: Tables, i: int, j: int, sums: Any) -> Any:
    """Squared distance of rows i and j in float64."""
    if i == j:
        return 0.0
    count = len(tables.query_rows)
    if i > j:
        i, j = j, i
    if i >= count:
        dot = exact_dot(
            tables.gallery[tables.gallery_rows[i - count]],
            tables.gallery[tables.gallery_rows[j - count]],
            sums,
        )
    elif j >= count:
        dot = exact_dot(
            tables.queries[tables.query_rows[i]],
            tables.gallery[tables.gallery_rows[j - count]],
            sums,
        )
    else:
        dot = exact_dot(
            tables.queries[tables.query_rows[i]], tables.queries[tables.query_rows[j]], sums
        )
    both = tables.squares[i] + tables.squares[j]
    square = both - 2.0 * (dot * (tables.inverse[i] * tables.inverse[j]))
    # Below the resolution of the formula: the rows are equal.
    return square if square > 1e-14 * both else 0.0


@compiled
def _offer(values: Any, numbers: Any, value: Any, number: int) -> None:
    at = len(values) - 1
    while at > 0 and values[at - 1] > value:
        values[at] = values[at - 1]
        numbers[at] = numbers[at - 1]
        at -= 1
    values[at] = value
    numbers[at] = number


# Counting in float32 and comparing bit patterns of numbers above zero is done for many at a time.


@compiled_without_nan
def _below(values: Any, low: int, high: int, limit: Any) -> Any:
    count, one, zero = np.float32(0.0), np.float32(1.0), np.float32(0.0)
    for j in range(low, high):
        count += one if values[j] < limit else zero
    return count


@compiled
def _largest_bits(bits: Any) -> Any:
    largest = np.int32(0)
    for j in range(len(bits)):
        largest = max(largest, bits[j])
    return largest


@compiled_without_nan
def _below_each(values: Any, limits: Any, low: int, high: int) -> Any:
    count, one, zero = np.float32(0.0), np.float32(1.0), np.float32(0.0)
    for j in range(low, high):
        count += one if values[j] < limits[j] else zero
    return count


@compiled
def _raise_each(bits: Any, largest: Any) -> None:
    for j in range(len(bits)):
        largest[j] = max(largest[j], bits[j])


@compiled
def squares_to_rows(
    tile: Any,
    row_squares: Any,
    column_squares: Any,
    first_column: int,
    values: Any,
    numbers: Any,
    largest: Any,
) -> None:
    """Turns inner products into squared distances and offers each row its columns.

    `largest` holds bit patterns of float32.
    """
    two = np.float32(2.0)
    columns = tile.shape[1]
    for r in range(tile.shape[0]):
        row = tile[r]
        for c in range(columns):
            row[c] = (row_squares[r] + column_squares[c]) - two * row[c]
        largest[r] = max(largest[r], _largest_bits(row.view(np.int32)))
        kept = values[r]
        for left in range(0, columns, _CHUNK):
            right = min(left + _CHUNK, columns)
            if _below(row, left, right, kept[-1]) > 0:
                for c in range(left, right):
                    if row[c] < kept[-1]:
                        _offer(kept, numbers[r], row[c], first_column + c)


@compiled
def offer_columns(
    tile: Any, first_row: int, values: Any, numbers: Any, limits: Any, largest: Any
) -> None:
    """Offers each column its rows; `limits` is the worst value that each column keeps.

    `largest` holds bit patterns of float32.
    """
    columns = tile.shape[1]
    for r in range(tile.shape[0]):
        row = tile[r]
        _raise_each(row.view(np.int32), largest)
        for left in range(0, columns, _CHUNK):
            right = min(left + _CHUNK, columns)
            if _below_each(row, limits, left, right) > 0:
                for c in range(left, right):
                    if row[c] < limits[c]:
                        _offer(values[c], numbers[c], row[c], first_row + r)
                        limits[c] = values[c, -1]


@compiled
def _insert_exact(values: Any, numbers: Any, count: int, value: float, number: int) -> None:
    # Into `count` entries ordered by (value, number); the last one drops out of a full list.
    at = count if count < len(values) else len(values) - 1
    while at > 0 and (
        values[at - 1] > value or (values[at - 1] == value and numbers[at - 1] > number)
    ):
        values[at] = values[at - 1]
        numbers[at] = numbers[at - 1]
        at -= 1
    values[at] = value
    numbers[at] = number


@compiled
def order_neighbours(
    tables: Tables, values: Any, numbers: Any, doubt: Any, low: int, high: int, nearest: Any
) -> None:
    """The nearest rows of rows `low` to `high`, in exact order.

    `doubt` bounds the error of a value. Candidates whose values lie so close that their order is
    open are compared in float64. If such a run reaches the end of a list, others may belong to it:
    the row is compared with all rows.
    """
    wanted, room, rows = nearest.shape[1], values.shape[1], values.shape[0]
    sums = np.empty(LANES, np.float64)
    exact = np.empty(room, np.float64)
    who = np.empty(room, np.int64)
    for i in range(low, high):
        gap = 2.0 * doubt[i]
        done = 0
        while done < wanted:
            end = done + 1
            while end < room and np.float64(values[i, end]) - values[i, end - 1] <= gap:
                end += 1
            if end == room and room < rows:
                break
            if end == done + 1:
                nearest[i, done] = numbers[i, done]
            else:
                for n in range(done, end):
                    j = numbers[i, n]
                    _insert_exact(exact, who, n - done, exact_square(tables, i, j, sums), j)
                for n in range(done, min(end, wanted)):
                    nearest[i, n] = who[n - done]
            done = end
        if done < wanted:
            for j in range(rows):
                square = exact_square(tables, i, j, sums)
                if j < wanted or square < exact[wanted - 1]:
                    _insert_exact(exact[:wanted], who[:wanted], j, square, j)
            for n in range(wanted):
                nearest[i, n] = who[n]
