"""k-reciprocal re-ranking without any matrix of all rows against all.

The upper triangle of the squared distances is multiplied tile by tile, each tile feeds the lists of
nearest neighbours of its rows and columns and is dropped; what follows works on lists of a few
dozen numbers per row. Distances are squared Euclidean (of rows scaled to unit length for 'cosine'),
divided by the largest of their row. Equal distances are ordered by row number, queries before
gallery.

Source: Zhong, Zheng, Cao, Li, "Re-ranking Person Re-identification with k-reciprocal Encoding"
(CVPR 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.ranking.bounds import float32_width
from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.ranking.effort import Threads
from crosslight.evaluation.ranking.products import multiply
from crosslight.evaluation.ranking.rows import in_float, require_products
from crosslight.evaluation.reranking.refinements import KReciprocal, check_refinement
from crosslight.types import Distance

_ROWS, _COLUMNS = 512, 2048
_SPARE = 19
_KEPT_BYTES = 320 * 2**20
_EXPANDED_ROWS = 8192

Members = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""`(n, size)` rows that belong to each row, and how many of them count."""

Codes = tuple[IntArray, npt.NDArray[np.int32], npt.NDArray[np.float32]]
"""Sparse rows: where each begins, its columns and its weights."""


class ReciprocalGraph:
    """The neighbourhoods of queries and gallery; gives re-ranked distances block by block.

    Args:
        query_feats: The query table.
        query_rows: Its rows that ask, ascending.
        gallery_feats: The gallery table.
        gallery_rows: Its rows that answer, ascending.
        how: k1, k2 and the share of the original distance.
        distance: 'cosine' or 'euclidean'.
        threads: Where the work is done.

    Raises:
        ConfigError: The distance is 'dot'.
        ProtocolError: A row is not finite, or so long that its products overflow.
    """

    def __init__(
        self,
        query_feats: npt.NDArray[Any],
        query_rows: IntArray,
        gallery_feats: npt.NDArray[Any],
        gallery_rows: IntArray,
        how: KReciprocal,
        distance: Distance,
        threads: Threads,
    ) -> None:
        from crosslight.evaluation.reranking.neighbour_lists import Tables

        check_refinement(how, distance)
        self._how, self._threads = how, threads
        self._query_rows, self._gallery_rows = query_rows, gallery_rows
        query_feats, gallery_feats = in_float(query_feats), in_float(gallery_feats)
        self._queries = len(query_rows)
        self._count = self._queries + len(gallery_rows)
        dimensions = query_feats.shape[1]
        self._work = float(self._count) ** 2 * dimensions
        self._rows = np.empty((self._count, dimensions), dtype=np.float32)
        inverse, squares = np.empty(self._count), np.empty(self._count)
        self._fill(query_feats, query_rows, 0, distance, inverse, squares)
        self._fill(gallery_feats, gallery_rows, self._queries, distance, inverse, squares)
        if distance == "euclidean":
            # Scaled by a power of two, so that no product overflows and no bit changes.
            largest = float(squares.max())
            unit = 1.0 if largest == 0 else 2.0 ** -np.ceil(np.log2(largest) / 2)
            inverse[:], squares[:] = unit, squares * unit * unit
            self._scale(query_feats, query_rows, 0, inverse)
            self._scale(gallery_feats, gallery_rows, self._queries, inverse)
        self._squares = squares
        self._tables = Tables(
            queries=query_feats,
            gallery=gallery_feats,
            query_rows=query_rows,
            gallery_rows=gallery_rows,
            inverse=inverse,
            squares=squares,
        )
        kept = self._queries * len(gallery_rows) * 4 <= _KEPT_BYTES
        self._kept = np.empty((self._queries, len(gallery_rows)), np.float32) if kept else None
        self._largest = np.zeros(self._count, dtype=np.float32)
        self._nearest = self._neighbours()
        self._largest = np.maximum(self._largest, np.float32(1e-30))
        self._starts, self._columns, self._weights = self._codes()
        self._by_column = self._transposed()

    def distances(self, query_rows: IntArray, gallery_rows: IntArray) -> npt.NDArray[Any]:
        """`(n, G)` re-ranked distances of some queries to the gallery, float32.

        Args:
            query_rows: Rows of the query table, among those of the graph.
            gallery_rows: Rows of the gallery table, among those of the graph.
        """
        from crosslight.evaluation.reranking.reciprocal_sets import final_distances

        asked = np.searchsorted(self._query_rows, query_rows)
        result = self._original(asked) if self._kept is None else self._kept[asked]
        self._threads.over(
            len(result),
            result.size,
            lambda a, b: final_distances(
                self._starts,
                self._columns,
                self._weights,
                *self._by_column,
                asked,
                self._largest,
                self._how.share,
                a,
                b,
                result,
            ),
        )
        if len(gallery_rows) == len(self._gallery_rows):
            return result
        return result[:, np.searchsorted(self._gallery_rows, gallery_rows)]

    def _fill(
        self,
        table: npt.NDArray[Any],
        rows: IntArray,
        first: int,
        distance: Distance,
        inverse: FloatArray,
        squares: FloatArray,
    ) -> None:
        from crosslight.evaluation.ranking.arithmetic import exact_squares

        for low in range(0, len(rows), _COLUMNS):
            block = table[rows[low : low + _COLUMNS]]
            part = slice(first + low, first + low + len(block))
            exact_squares(block, squares[part])
            require_products(squares[part], block, rows[low : low + _COLUMNS])
        part = slice(first, first + len(rows))
        if distance == "cosine":
            lengths = np.sqrt(squares[part])
            inverse[part] = 1.0 / np.where(lengths > 0, lengths, 1.0)
            squares[part] = np.where(lengths > 0, 1.0, 0.0)
            self._scale(table, rows, first, inverse)

    def _scale(
        self, table: npt.NDArray[Any], rows: IntArray, first: int, inverse: FloatArray
    ) -> None:
        from crosslight.evaluation.ranking.arithmetic import scale_rows

        for low in range(0, len(rows), _COLUMNS):
            block = table[rows[low : low + _COLUMNS]]
            part = slice(first + low, first + low + len(block))
            scale_rows(block, inverse[part], self._rows[part])

    def _neighbours(self) -> IntArray:
        from crosslight.evaluation.reranking.neighbour_lists import (
            offer_columns,
            squares_to_rows,
        )

        count, over = self._count, self._threads.over
        wanted = min(self._how.k1 + 1, count)
        room = min(wanted + _SPARE, count)
        values = np.full((count, room), np.inf, dtype=np.float32)
        numbers = np.zeros((count, room), dtype=np.int64)
        limits = np.full(count, np.inf, dtype=np.float32)
        squares, largest = self._squares.astype(np.float32), self._largest.view(np.int32)
        buffer = np.empty(_ROWS * _COLUMNS, dtype=np.float32)
        for left in range(0, count, _COLUMNS):
            right = min(left + _COLUMNS, count)
            for top in range(0, right, _ROWS):
                bottom = min(top + _ROWS, right if top >= left else left)
                start = max(left, top)
                tile = buffer[: (bottom - top) * (right - start)].reshape(bottom - top, -1)
                multiply(self._rows[top:bottom], self._rows[start:right], tile, work=self._work)
                over(
                    len(tile),
                    tile.size,
                    _row_task(squares_to_rows, tile, squares, largest, values, numbers, top, start),
                )
                self._keep(tile, top, start)
                beyond = max(start, bottom)
                if beyond < right:
                    over(
                        right - beyond,
                        tile.size,
                        _column_task(
                            offer_columns,
                            tile[:, beyond - start :],
                            top,
                            slice(beyond, right),
                            values,
                            numbers,
                            limits,
                            largest,
                        ),
                    )
                    # Lists that rows filled meanwhile are as strict as those that columns filled.
                limits[top:bottom] = values[top:bottom, -1]
        return self._ordered(values, numbers, wanted)

    def _keep(self, tile: npt.NDArray[np.float32], top: int, left: int) -> None:
        """Keeps what a tile holds of queries against the gallery, where there is room for it."""
        bottom, right = top + tile.shape[0], left + tile.shape[1]
        if self._kept is not None and top < self._queries and right > self._queries:
            rows = slice(top, min(bottom, self._queries))
            first = max(left, self._queries)
            self._kept[rows, first - self._queries : right - self._queries] = tile[
                : rows.stop - rows.start, first - left :
            ]

    def _ordered(self, values: npt.NDArray[np.float32], numbers: IntArray, wanted: int) -> IntArray:
        """The `wanted` nearest of each row, in the order of exact distances."""
        from crosslight.evaluation.reranking.neighbour_lists import order_neighbours

        lengths = np.sqrt(self._squares)
        width = float32_width(self._rows.shape[1], lengths, float(lengths.max()), 0.0)
        doubt = 2.0 * width + 8.0 * 2.0**-24 * (self._squares + self._squares.max())
        nearest = np.empty((self._count, wanted), dtype=np.int64)
        self._threads.over(
            self._count,
            2**20,
            lambda a, b: order_neighbours(self._tables, values, numbers, doubt, a, b, nearest),
        )
        return nearest

    def _codes(self) -> Codes:
        k = self._nearest.shape[1]
        half = min(int(np.around(self._how.k1 / 2)) + 1, k)
        codes = self._expanded(self._reciprocal(k), self._reciprocal(half))
        k2 = min(self._how.k2, k)
        return codes if k2 == 1 else self._averaged(codes, k2)

    def _reciprocal(self, size: int) -> Members:
        """Who is among the `size` nearest of each row, and the row among theirs."""
        from crosslight.evaluation.reranking.reciprocal_sets import reciprocal

        members = np.empty((self._count, size), dtype=np.int32)
        counts = np.empty(self._count, dtype=np.int32)
        self._threads.over(
            self._count,
            2**20,
            lambda a, b: reciprocal(self._nearest, size, a, b, members, counts),
        )
        return members, counts

    def _expanded(self, near: Members, half: Members) -> Codes:
        """Each set of `near` with those of `half` that lie in it for the most part, weighed."""
        from crosslight.evaluation.reranking.reciprocal_sets import expand, weigh

        count, over = self._count, self._threads.over
        starts = np.zeros(count + 1, dtype=np.int64)
        columns, weights = [], []
        room = near[0].shape[1] * (half[0].shape[1] + 1)
        for first in range(0, count, _EXPANDED_ROWS):
            last = min(first + _EXPANDED_ROWS, count)
            found = np.empty((last - first, room), dtype=np.int32)
            sizes = np.empty(last - first, dtype=np.int64)
            over(
                last - first,
                2**20,
                lambda a, b, f=first, s=found, n=sizes: expand(  # type: ignore[misc]
                    *near, *half, f + a, f + b, s[a:b], n[a:b]
                ),
            )
            starts[first + 1 : last + 1] = starts[first] + np.cumsum(sizes)
            total = int(sizes.sum())
            columns.append(np.empty(total, dtype=np.int32))
            weights.append(np.empty(total, dtype=np.float32))
            local = np.zeros(count + 1, dtype=np.int64)
            local[first : last + 1] = starts[first : last + 1] - starts[first]
            over(
                last - first,
                2**20,
                lambda a, b, f=first, s=found, n=sizes, at=local, c=columns[-1], w=weights[-1]: (  # type: ignore[misc]
                    weigh(self._rows, self._squares, self._largest, s, n, f, a, b, at, c, w)
                ),
            )
        return starts, np.concatenate(columns), np.concatenate(weights)

    def _averaged(self, codes: Codes, k2: int) -> Codes:
        """Each code as the mean of those of the `k2` nearest rows."""
        from crosslight.evaluation.reranking.reciprocal_sets import mean_rows, mean_sizes

        count, over, nearest = self._count, self._threads.over, self._nearest
        starts, columns, _ = codes
        sizes = np.empty(count, dtype=np.int64)
        over(count, 2**20, lambda a, b: mean_sizes(nearest, k2, starts, columns, a, b, sizes))
        mean_starts = np.concatenate([[0], np.cumsum(sizes)])
        mean_columns = np.empty(mean_starts[-1], dtype=np.int32)
        mean_weights = np.empty(mean_starts[-1], dtype=np.float32)
        over(
            count,
            2**20,
            lambda a, b: mean_rows(
                nearest, k2, *codes, a, b, mean_starts, mean_columns, mean_weights
            ),
        )
        return mean_starts, mean_columns, mean_weights

    def _transposed(self) -> Codes:
        from crosslight.evaluation.reranking.reciprocal_sets import transpose

        entries = int(self._starts[-1] - self._starts[self._queries])
        starts_of = np.zeros(self._count + 1, dtype=np.int64)
        rows = np.empty(entries, dtype=np.int32)
        values = np.empty(entries, dtype=np.float32)
        transpose(
            self._starts, self._columns, self._weights, self._queries, starts_of, rows, values
        )
        return starts_of, rows, values

    def _original(self, asked: IntArray) -> npt.NDArray[np.float32]:
        gallery = self._rows[self._queries :]
        rows = np.ascontiguousarray(self._rows[asked])
        result = np.empty((len(asked), len(gallery)), dtype=np.float32)
        for left in range(0, len(gallery), 2 * _COLUMNS):
            right = min(left + 2 * _COLUMNS, len(gallery))
            tile = np.empty((len(asked), right - left), dtype=np.float32)
            multiply(rows, gallery[left:right], tile, work=self._work)
            result[:, left:right] = tile
        squares = self._squares.astype(np.float32)
        result *= np.float32(-2.0)
        result += squares[asked][:, None]
        result += squares[self._queries :]
        return result


def _row_task(
    kernel: Callable[..., None],
    tile: npt.NDArray[np.float32],
    squares: npt.NDArray[np.float32],
    largest: npt.NDArray[np.int32],
    values: npt.NDArray[np.float32],
    numbers: IntArray,
    top: int,
    start: int,
) -> Callable[[int, int], None]:
    columns = squares[start : start + tile.shape[1]]

    def task(low: int, high: int) -> None:
        part = slice(top + low, top + high)
        kernel(
            tile[low:high],
            squares[part],
            columns,
            start,
            values[part],
            numbers[part],
            largest[part],
        )

    return task


def _column_task(
    kernel: Callable[..., None],
    tile: npt.NDArray[np.float32],
    top: int,
    columns: slice,
    values: npt.NDArray[np.float32],
    numbers: IntArray,
    limits: npt.NDArray[np.float32],
    largest: npt.NDArray[np.int32],
) -> Callable[[int, int], None]:
    def task(low: int, high: int) -> None:
        part = slice(columns.start + low, columns.start + high)
        kernel(tile[:, low:high], top, values[part], numbers[part], limits[part], largest[part])

    return task
