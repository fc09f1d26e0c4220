"""Arithmetic that decides ranks: one order of operations in float64, and bounded shortcuts.

The exact inner product of two rows is defined once, for every processor: 32 running sums, product
l of the rows going to sum l mod 32, then the sums added in halves. Equal rows have therefore equal
distances to the last bit, wherever they stand and however the work is cut into blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosslight.evaluation.compiled import compiled, compiled_reordered

LANES = 32
LOW_DIGIT = 254.0


@compiled
def exact_dot(a: Any, b: Any, sums: Any) -> Any:
    """The inner product in float64, in the order stated above; `sums` is scratch for 32 numbers."""
    for lane in range(LANES):
        sums[lane] = 0.0
    n = len(a)
    whole = n - n % LANES
    for i in range(0, whole, LANES):
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


@compiled_reordered
def quick_dot(a: Any, b: Any) -> Any:
    """The inner product of float32 rows in float32, in any order."""
    total = np.float32(0.0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


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


@compiled_reordered
def round_to_bfloat16(rows: Any, out: Any, rest: Any, size: Any) -> None:
    """bfloat16 (as 16-bit patterns) of float32 rows, the length of what is lost and of what stays.

    Args:
        rows: `(n, D)` float32.
        out: `(n, D)` uint16.
        rest: `(n,)` length of row - rounded row.
        size: `(n,)` length of the rounded row.
    """
    columns = rows.shape[1]
    rounded = np.empty(columns, np.uint32)
    as_float = rounded.view(np.float32)
    for i in range(len(rows)):
        row = rows[i]
        bits = row.view(np.uint32)
        for j in range(columns):
            kept = (bits[j] + np.uint32(0x7FFF) + ((bits[j] >> np.uint32(16)) & np.uint32(1))) >> (
                np.uint32(16)
            )
            out[i, j] = np.uint16(kept)
            rounded[j] = kept << np.uint32(16)
        lost, kept_size = np.float32(0.0), np.float32(0.0)
        for j in range(columns):
            difference = row[j] - as_float[j]
            lost += difference * difference
            kept_size += as_float[j] * as_float[j]
        rest[i] = np.sqrt(np.float64(lost))
        size[i] = np.sqrt(np.float64(kept_size))


@compiled_reordered
def round_to_int8(rows: Any, out: Any, step: Any, rest: Any, size: Any) -> None:
    """int8 codes of float32 rows, their step, the length of what is lost and of what stays.

    Args:
        rows: `(n, D)` float32.
        out: `(n, D)` int8.
        step: `(n,)` float32; row ~ step * code.
        rest: `(n,)` length of row - step * code.
        size: `(n,)` length of step * code.
    """
    columns = rows.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        largest = np.float32(0.0)
        for j in range(columns):
            largest = max(largest, abs(row[j]))
        width = largest / np.float32(127.0) if largest > np.float32(1e-30) else np.float32(1.0)
        inverse = np.float32(1.0) / width
        lost, kept_size = np.float32(0.0), np.float32(0.0)
        for j in range(columns):
            code = np.rint(row[j] * inverse)
            code = min(max(code, np.float32(-127.0)), np.float32(127.0))
            out[i, j] = np.int8(code)
            decoded = code * width
            difference = row[j] - decoded
            lost += difference * difference
            kept_size += decoded * decoded
        step[i] = width
        rest[i] = np.sqrt(np.float64(lost))
        size[i] = np.sqrt(np.float64(kept_size))


@compiled_reordered
def round_to_two_int8(rows: Any, out: Any, step: Any, rest: Any, size: Any, low_size: Any) -> None:
    """Two int8 digits of float32 rows: row ~ step * (high + low / 254).

    Args:
        rows: `(n, D)` float32.
        out: `(n, 2 D)` int8, the high digits before the low ones.
        step: `(n,)` float32.
        rest: `(n,)` length of what is lost.
        size: `(n,)` length of what stays.
        low_size: `(n,)` length of the low digits.
    """
    columns = rows.shape[1]
    most, digit = np.float32(127.0), np.float32(LOW_DIGIT)
    for i in range(len(rows)):
        row = rows[i]
        largest = np.float32(0.0)
        for j in range(columns):
            largest = max(largest, abs(row[j]))
        width = largest / most if largest > np.float32(1e-30) else np.float32(1.0)
        inverse = np.float32(1.0) / width
        fine = width / digit
        inverse_fine = np.float32(1.0) / fine
        lost, kept, low_part = np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for j in range(columns):
            high = min(max(np.rint(row[j] * inverse), -most), most)
            left = row[j] - high * width
            low = min(max(np.rint(left * inverse_fine), -most), most)
            out[i, j] = np.int8(high)
            out[i, columns + j] = np.int8(low)
            small = low * fine
            difference = left - small
            decoded = row[j] - difference
            lost += difference * difference
            kept += decoded * decoded
            low_part += small * small
        step[i] = width
        rest[i] = np.sqrt(np.float64(lost))
        size[i] = np.sqrt(np.float64(kept))
        low_size[i] = np.sqrt(np.float64(low_part))


@compiled
def rescale(codes: Any, query_steps: Any, gallery_steps: Any, out: Any) -> None:
    """Inner products of rows from those of their int8 codes."""
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            out[i, j] = np.float32(codes[i, j]) * (query_steps[i] * gallery_steps[j])


@compiled
def rescale_two(high: Any, mixed: Any, query_steps: Any, gallery_steps: Any, out: Any) -> None:
    """The same from two digits: products of the high ones, and of high ones with low ones."""
    part = np.float32(1.0 / LOW_DIGIT)
    for i in range(high.shape[0]):
        for j in range(high.shape[1]):
            value = np.float32(high[i, j]) + np.float32(mixed[i, j]) * part
            out[i, j] = value * (query_steps[i] * gallery_steps[j])
