"""Counts how many gallery images come before each right answer, at the speed of a product.

The gallery passes by twice in blocks: once for the exact nearness of the right answers, once for a
product in few bits with all queries. A tile of that product is counted while it is in the cache; an
entry that lies within the error bound of a right answer is computed again, in float64 in the end.
Memory: the queries at work (at most 192 MiB), one block of the gallery, one tile.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.bounds import (
    RESULT_PART,
    Bound,
    Roundings,
    float32_width,
    rounded_width,
)
from crosslight.evaluation.distances import Distance, FloatArray, IntArray
from crosslight.evaluation.effort import Chooser, Effort, Threads
from crosslight.evaluation.pooling import Pool, in_float
from crosslight.evaluation.products import Precision, Rows
from crosslight.evaluation.sides import Side, read_rows, require_products
from crosslight.evaluation.stored import release_pages
from crosslight.evaluation.tally import MET_BYTES, Counted, Tally, labelled

_QUERY_BYTES = 192 * 2**20
_BLOCK_BYTES = 32 * 2**20
_TILE_ROWS, _TILE_COLUMNS = 512, 4096


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
        effort: Block size and precision.
    """
    tally = Tally(pool, top, people)
    work = len(pool.query_rows) * len(pool.slot_rows) * query_feats.shape[1]
    with Threads() as threads:
        chooser = Chooser(effort, work, len(pool.positives) / max(len(pool.query_rows), 1))
        for low, high in _parts(pool, query_feats.shape[1], people):
            part = _Part(pool, query_feats, gallery_feats, distance, low, high, threads)
            part.find_answers(tally)
            part.count(tally, chooser, effort)
    return tally.result(chooser.path)


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
        from crosslight.evaluation import records

        self._pool, self._low, self._high = pool, low, high
        self._gallery_feats = gallery_feats
        self._kind = {
            "dot": records.DOT,
            "cosine": records.COSINE,
            "euclidean": records.EUCLIDEAN,
        }[distance]
        self._threads = threads
        self._rows = pool.query_rows[low:high]
        self._queries = in_float(query_feats[self._rows])
        self._query_squares = self._squares(self._queries, self._rows)
        self._columns = int(np.clip(_BLOCK_BYTES // (4 * query_feats.shape[1]), 16, _TILE_COLUMNS))
        self._starts = pool.starts[low : high + 1] - pool.starts[low]
        self._answers = slice(int(pool.starts[low]), int(pool.starts[high]))
        self._slot_squares = np.empty(len(pool.slot_rows))

    def find_answers(self, tally: Tally) -> None:
        """The exact nearness of every right answer, and their order."""
        from crosslight.evaluation.arithmetic import exact_pairs
        from crosslight.evaluation.people_met import order_answers

        pairs = self._pool.positives[self._answers]
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
        order_answers(
            self._starts,
            pairs,
            nearness,
            tally.slots[self._answers],
            tally.nearness[self._answers],
        )
        tally.query_squares[self._low : self._high] = self._query_squares

    def count(self, tally: Tally, chooser: Chooser, effort: Effort) -> None:
        """Multiplies and counts, block by block."""
        from crosslight.evaluation import counting, records

        pool, part = self._pool, slice(self._low, self._high)
        answers = records.Answers(
            starts=self._starts,
            slots=tally.slots[self._answers],
            nearness=tally.nearness[self._answers],
            own_starts=pool.own_starts,
            own_slots=pool.own_slots,
        )
        labels, counts = labelled(pool, tally, answers, part)
        largest = max(self._query_squares.max(initial=0.0), self._slot_squares.max(initial=0.0))
        unit = 1.0 if largest == 0 else 2.0 ** -np.ceil(np.log2(largest) / 2)
        queries = self._scaled(self._queries, self._query_squares, unit)
        if self._kind == records.COSINE:
            scale = 1.0 / _lengths(self._query_squares)
        else:
            scale = np.full(len(self._rows), unit * unit)
        step = effort.block or _TILE_ROWS
        buffer = np.empty((min(step, len(self._rows)), self._columns), dtype=np.float32)
        forms: dict[str, tuple[Rows, Roundings]] = {}
        for first, block in self._blocks():
            squares = self._slot_squares[first : first + len(block)]
            gallery = self._scaled(block, squares, unit)
            offset = np.zeros(len(block), dtype=np.float32)
            if self._kind == records.EUCLIDEAN:
                offset = (0.5 * squares * unit * unit).astype(np.float32)
            source = records.Source(
                kind=self._kind,
                queries=self._queries,
                gallery=block,
                terms=self._terms(squares),
                quick_queries=queries.quick,
                quick_gallery=gallery.quick,
                offset=offset,
            )
            product, packed = None, None
            for start in range(0, len(self._rows), step):
                chosen = chooser.product()
                if chosen is not product:
                    product = chosen
                    doubt, query_rows, gallery_rows = self._doubt(
                        product.precision, queries, gallery, offset, scale, forms, effort.bound
                    )
                    packed = product.pack(gallery_rows)
                clock = time.process_time()
                rows = query_rows.part(start, min(start + step, len(self._rows)))
                tile = buffer[: len(rows.numbers)]
                if len(block) < self._columns:
                    tile = np.empty((len(rows.numbers), len(block)), dtype=np.float32)
                values = product.multiply(rows, packed, tile)
                self._threads.over(
                    len(values),
                    values.size,
                    lambda a, b, v=values, s=start, f=first, o=source, d=doubt: (  # type: ignore[misc]
                        counting.count_tile(v, s, f, a, b, answers, labels, counts, o, d)
                    ),
                )
                entries = values.size * block.shape[1]
                chooser.learn(product, entries, time.process_time() - clock)

    def _doubt(
        self,
        precision: Precision,
        queries: Side,
        gallery: Side,
        offset: npt.NDArray[np.float32],
        scale: FloatArray,
        forms: dict[str, tuple[Rows, Roundings]],
        bound: Bound,
    ) -> tuple[Any, Rows, Rows]:
        from crosslight.evaluation import records

        dimensions, above = queries.quick.shape[1], float(offset.max(initial=0.0))
        quick = float32_width(
            dimensions, queries.length, float(gallery.length.max(initial=0.0)), above
        )
        if precision == "fp32":
            doubt = records.Doubt(scale=scale, tile=quick, quick=quick, relative=0.0)
            return doubt, Rows(numbers=queries.quick), Rows(numbers=gallery.quick)
        if precision not in forms:
            forms[precision] = queries.rounded(precision, self._threads)
        query_rows, query_roundings = forms[precision]
        gallery_rows, gallery_roundings = gallery.rounded(precision, self._threads)
        halved = precision == "bf16"
        tile = rounded_width(
            dimensions, query_roundings, gallery_roundings, above, bound, bfloat16_result=halved
        )
        doubt = records.Doubt(
            scale=scale,
            tile=np.maximum(tile, quick),
            quick=quick,
            relative=RESULT_PART if halved and above == 0 else 0.0,
        )
        return doubt, query_rows, gallery_rows

    def _blocks(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        rows = self._pool.slot_rows
        for first in range(0, len(rows), self._columns):
            yield first, read_rows(self._gallery_feats, rows[first : first + self._columns])
            release_pages(self._gallery_feats)

    def _nearness(self, dots: FloatArray, terms: FloatArray) -> FloatArray:
        from crosslight.evaluation import records

        if self._kind == records.COSINE:
            return dots / terms
        if self._kind == records.EUCLIDEAN:
            return dots - terms
        return dots

    def _terms(self, squares: FloatArray) -> FloatArray:
        from crosslight.evaluation import records

        return _lengths(squares) if self._kind == records.COSINE else 0.5 * squares

    def _squares(self, rows: npt.NDArray[Any], numbers: IntArray) -> FloatArray:
        from crosslight.evaluation.arithmetic import exact_squares

        squares = np.empty(len(rows))
        self._threads.over(
            len(rows), rows.size, lambda a, b: exact_squares(rows[a:b], squares[a:b])
        )
        require_products(squares, rows, numbers)
        return squares

    def _scaled(self, rows: npt.NDArray[Any], squares: FloatArray, unit: float) -> Side:
        from crosslight.evaluation import records
        from crosslight.evaluation.arithmetic import scale_rows

        lengths = _lengths(squares)
        factors = 1.0 / lengths if self._kind == records.COSINE else np.full(len(rows), unit)
        quick = np.empty(rows.shape, dtype=np.float32)
        self._threads.over(
            len(rows), rows.size, lambda a, b: scale_rows(rows[a:b], factors[a:b], quick[a:b])
        )
        return Side(quick=quick, length=lengths * factors)


def _lengths(squares: FloatArray) -> FloatArray:
    # A row of zeros has length 1 here, which makes every cosine with it 0.
    return np.sqrt(np.where(squares > 0, squares, 1.0))
