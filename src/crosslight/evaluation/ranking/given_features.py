"""Counts how many gallery images come before each positive, at the speed of a product.

The gallery passes by twice in blocks: once for the exact nearness of the positives, once for a
product in float32 with all queries. A tile of that product is counted while it is in the cache; an
entry that lies within the error bound of a positive is computed again, in float64 in the end.
Memory: the queries at work (at most 192 MiB), one block of the gallery, one tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.features.stored import release_pages
from crosslight.evaluation.ranking.bounds import float32_width, quick_width
from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.ranking.effort import Effort, Threads
from crosslight.evaluation.ranking.pooling import Pool
from crosslight.evaluation.ranking.products import multiply_parts
from crosslight.evaluation.ranking.rows import in_float, read_rows, require_products
from crosslight.evaluation.ranking.tally import MET_BYTES, Counted, Tally, labelled
from crosslight.types import Distance

_QUERY_BYTES = 192 * 2**20
_BLOCK_BYTES = 32 * 2**20
_TILE_ROWS, _TILE_COLUMNS = 512, 4096
# Rows are multiplied in parts of so many numbers where more than this share is computed again; a
# tile has fewer columns then, so that its parts stay in the cache.
_PART, _MUCH_REDONE, _NARROWER = 256, 0.01, 4


def count_features(
    pool: Pool,
    query_feats: npt.NDArray[Any],
    gallery_feats: npt.NDArray[Any],
    *,
    distance: Distance,
    top: int,
    people: bool,
    effort: Effort,
) -> Counted:
    """Counts from features.

    Args:
        pool: Queries and slots.
        query_feats: The query table; `pool.query_rows` are read.
        gallery_feats: The gallery table; `pool.slot_rows` are read, block by block.
        distance: What "near" means.
        top: How many nearest images of the first gallery to keep.
        people: Whether to count people as well as images.
        effort: Block size.
    """
    tally = Tally(pool, top, people)
    with Threads() as threads:
        for low, high in _parts(pool, query_feats.shape[1], people):
            part = _Part(pool, query_feats, gallery_feats, distance, low, high, threads)
            part.find_positives(tally)
            part.count(tally, effort)
    return tally.result("fp32+float64")


def _parts(pool: Pool, dimensions: int, people: bool) -> Iterator[tuple[int, int]]:
    step = max(_QUERY_BYTES // (10 * dimensions), 1)
    if people:
        met = 2 * pool.people * pool.member_bits.shape[1]
        step = min(step, max(MET_BYTES // met, 1))
    for low in range(0, len(pool.query_rows), step):
        yield low, min(low + step, len(pool.query_rows))


class _Part:
    """Queries `low` to `high` of a pool against all its slots."""

    def __init__(
        self,
        pool: Pool,
        query_feats: npt.NDArray[Any],
        gallery_feats: npt.NDArray[Any],
        distance: Distance,
        low: int,
        high: int,
        threads: Threads,
    ) -> None:
        from crosslight.evaluation.ranking import records

        self._pool, self._low, self._high = pool, low, high
        self._gallery_feats = gallery_feats
        self._kind = {
            "dot": records.DOT,
            "cosine": records.COSINE,
            "euclidean": records.EUCLIDEAN,
        }[distance]
        self._threads = threads
        self._rows = pool.query_rows[low:high]
        # One type for both: float32 loses nothing as float64, and mixed code is not compiled.
        self._type = np.result_type(in_float(query_feats[:0]), in_float(gallery_feats[:0]))
        self._queries = in_float(query_feats[self._rows]).astype(self._type, copy=False)
        self._query_squares = self._squares(self._queries, self._rows)
        self._columns = int(np.clip(_BLOCK_BYTES // (4 * query_feats.shape[1]), 16, _TILE_COLUMNS))
        self._starts = pool.starts[low : high + 1] - pool.starts[low]
        self._own = slice(int(pool.starts[low]), int(pool.starts[high]))
        self._slot_squares = np.empty(len(pool.slot_rows))

    def find_positives(self, tally: Tally) -> None:
        """The exact nearness of every positive, and their order."""
        from crosslight.evaluation.ranking.arithmetic import exact_pairs
        from crosslight.evaluation.ranking.people_met import order_positives

        pairs = self._pool.positives[self._own]
        dots = np.empty(len(pairs))
        by_person = np.argsort(self._pool.query_person[self._low : self._high], kind="stable")
        for first, block in self._blocks():
            squares = self._squares(block, self._pool.slot_rows[first : first + len(block)])
            self._slot_squares[first : first + len(block)] = squares
            self._threads.over(
                len(self._rows),
                2**20,
                lambda a, b, first=first, block=block: exact_pairs(  # type: ignore[misc]
                    self._queries, block, self._starts, pairs, by_person, first, a, b, dots
                ),
            )
        nearness = self._nearness(dots, self._terms(self._slot_squares[pairs]))
        order_positives(
            self._starts,
            pairs,
            nearness,
            tally.slots[self._own],
            tally.nearness[self._own],
        )
        tally.query_squares[self._low : self._high] = self._query_squares

    def count(self, tally: Tally, effort: Effort) -> None:
        """Multiplies and counts, block by block."""
        from crosslight.evaluation.ranking import counting, records

        pool, part = self._pool, slice(self._low, self._high)
        positives = records.Positives(
            starts=self._starts,
            slots=tally.slots[self._own],
            nearness=tally.nearness[self._own],
            own_starts=pool.own_starts,
            own_slots=pool.own_slots,
        )
        labels, counts = labelled(pool, tally, positives, part)
        largest = max(self._query_squares.max(initial=0.0), self._slot_squares.max(initial=0.0))
        unit = 1.0 if largest == 0 else 2.0 ** -np.ceil(np.log2(largest) / 2)
        queries, query_lengths = self._scaled(self._queries, self._query_squares, unit)
        if self._kind == records.COSINE:
            scale = 1.0 / _lengths(self._query_squares)
        else:
            scale = np.full(len(self._rows), unit * unit)
        dimensions = queries.shape[1]
        work = float(len(self._rows)) * len(pool.slot_rows) * dimensions
        tiles = _Tiles(effort, dimensions, self._columns)
        for first, block in self._blocks():
            squares = self._slot_squares[first : first + len(block)]
            gallery, lengths = self._scaled(block, squares, unit)
            offset = np.zeros(len(block), dtype=np.float32)
            if self._kind == records.EUCLIDEAN:
                offset = (0.5 * squares * unit * unit).astype(np.float32)
            source = records.Source(
                kind=self._kind,
                queries=self._queries,
                gallery=block,
                terms=self._terms(squares),
                quick_queries=queries,
                quick_gallery=gallery,
                offset=offset,
            )
            sizes = (query_lengths, float(lengths.max(initial=0.0)), float(offset.max(initial=0.0)))
            quick = quick_width(dimensions, *sizes)
            for rows, columns in tiles.of(len(queries), len(block)):
                values = tiles.values(rows, columns)
                multiply_parts(queries[rows], gallery[columns], values, work=work)
                width = float32_width(dimensions, *sizes, parts=len(values))
                doubt = records.Doubt(scale=scale, tile=width, quick=np.minimum(quick, width))
                before = int(counts.redone.sum())
                shown = _part_of(source, columns)
                places = (rows.start, first + columns.start)
                self._threads.over(
                    values.shape[1],
                    values.size,
                    lambda a, b, v=values, p=places, o=shown, d=doubt: (  # type: ignore[misc]
                        counting.count_tile(v, p[0], p[1], a, b, positives, labels, counts, o, d)
                    ),
                )
                tiles.learn((int(counts.redone.sum()) - before) / values[0].size)

    def _blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        rows = self._pool.slot_rows
        for first in range(0, len(rows), self._columns):
            block = read_rows(self._gallery_feats, rows[first : first + self._columns])
            yield first, block.astype(self._type, copy=False)
            release_pages(self._gallery_feats)

    def _nearness(self, dots: FloatArray, terms: FloatArray) -> FloatArray:
        from crosslight.evaluation.ranking import records

        if self._kind == records.COSINE:
            return dots / terms
        if self._kind == records.EUCLIDEAN:
            return dots - terms
        return dots

    def _terms(self, squares: FloatArray) -> FloatArray:
        from crosslight.evaluation.ranking import records

        return _lengths(squares) if self._kind == records.COSINE else 0.5 * squares

    def _squares(self, rows: npt.NDArray[Any], numbers: IntArray) -> FloatArray:
        from crosslight.evaluation.ranking.arithmetic import exact_squares

        squares = np.empty(len(rows))
        self._threads.over(
            len(rows), rows.size, lambda a, b: exact_squares(rows[a:b], squares[a:b])
        )
        require_products(squares, rows, numbers)
        return squares

    def _scaled(
        self, rows: npt.NDArray[Any], squares: FloatArray, unit: float
    ) -> tuple[npt.NDArray[np.float32], FloatArray]:
        from crosslight.evaluation.ranking import records
        from crosslight.evaluation.ranking.arithmetic import scale_rows

        lengths = _lengths(squares)
        factors = 1.0 / lengths if self._kind == records.COSINE else np.full(len(rows), unit)
        quick = np.empty(rows.shape, dtype=np.float32)
        self._threads.over(
            len(rows), rows.size, lambda a, b: scale_rows(rows[a:b], factors[a:b], quick[a:b])
        )
        return quick, lengths * factors


class _Tiles:
    """How queries and a block of the gallery are cut, and into how many parts their rows.

    A product in parts has a smaller error bound and costs a little more; it pays where many values
    lie so near to a positive that they have to be computed again.
    """

    def __init__(self, effort: Effort, dimensions: int, columns: int) -> None:
        self._block, self._columns = effort.block or _TILE_ROWS, columns
        self._most = max(dimensions // _PART, 1)
        self._parts = 1
        self._buffer = np.empty(0, dtype=np.float32)

    def of(self, queries: int, gallery: int) -> Iterator[tuple[slice, slice]]:
        """The tiles of a block."""
        row = 0
        while row < queries:
            end, width = min(row + self._block, queries), self._columns
            if self._parts > 1:
                width = max(width // _NARROWER, 1)
            for column in range(0, gallery, width):
                yield slice(row, end), slice(column, min(column + width, gallery))
            row = end

    def values(self, rows: slice, columns: slice) -> npt.NDArray[np.float32]:
        """Memory for the products of a tile, `(parts, n, m)`."""
        shape = (self._parts, rows.stop - rows.start, columns.stop - columns.start)
        size = int(np.prod(shape))
        if len(self._buffer) < size:
            self._buffer = np.empty(size, dtype=np.float32)
        return self._buffer[:size].reshape(shape)

    def learn(self, redone: float) -> None:
        """What share of a tile was computed again decides how the next one is multiplied."""
        self._parts = self._most if redone * self._parts > _MUCH_REDONE else 1


def _part_of(source: Any, columns: slice) -> Any:
    return source._replace(
        gallery=source.gallery[columns],
        terms=source.terms[columns],
        quick_gallery=source.quick_gallery[columns],
        offset=source.offset[columns],
    )


def _lengths(squares: FloatArray) -> FloatArray:
    # A row of zeros has length 1 here, which makes every cosine with it 0.
    return np.sqrt(np.where(squares > 0, squares, 1.0))
