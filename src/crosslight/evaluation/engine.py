"""Counts how many gallery images come before each right answer, at the speed of a product.

The gallery passes by twice in blocks: once for the exact nearness of the right answers, once for a
product in few bits with all queries. A tile of that product is counted while it is in the cache; an
entry that lies within the error bound of a right answer is computed again, in float64 in the end.
Memory: the queries at work (at most 192 MiB), one block of the gallery, one tile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.bounds import (
    RESULT_PART,
    Bound,
    Roundings,
    check_bound,
    float32_width,
    rounded_width,
)
from crosslight.evaluation.distances import Distance, FloatArray, IntArray
from crosslight.evaluation.pooling import Pool, in_float
from crosslight.evaluation.products import NUMPY, Precision, Product, Rows, fastest_products

Screening = Literal["auto", "off", "bf16", "int8"]

_QUERY_BYTES = 192 * 2**20
_MET_BYTES = 64 * 2**20
_BLOCK_BYTES = 32 * 2**20
_DISTANCE_BYTES = 64 * 2**20
_TILE_ROWS, _TILE_COLUMNS = 512, 4096
_WORTH_MEASURING = 2e9
_LARGEST_SQUARE = 1e280


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the work is done; changes no result.

    Attributes:
        block: Queries multiplied at once, by default 512; bounds the memory of a tile.
        screening: 'auto' multiplies in few bits first where that is measured to pay, 'off' always
            in float32, 'bf16' and 'int8' in these.
        bound: 'sure' holds for every input; 'statistical' takes seven standard deviations of the
            rounding noise, decides more entries without float64 and is not a proof.

    Raises:
        ConfigError: A name is unknown or the block is not at least 1.
    """

    block: int | None = None
    screening: Screening = "auto"
    bound: Bound = "sure"

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 1:
            raise ConfigError(f"The block is {self.block} queries, expected at least 1.")
        if self.screening not in get_args(Screening):
            raise ConfigError(
                f"Screening '{self.screening}' is unknown; choose one of "
                f"{', '.join(get_args(Screening))}."
            )
        check_bound(self.bound)


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """What `collect_ranks` needs, for all queries of a pool.

    Attributes:
        slots: `(P,)` right answers, per query nearest first; they start where `pool.starts` says.
        nearness: `(P,)` theirs, larger is nearer.
        before: `(P, T)` wrong images between right answer p - 1 and p.
        tied: `(P, T)` wrong images as near as p that stand before it in the gallery.
        people: `(Q, T)` other people met before the first right answer.
        top_slot: `(Q, K)` nearest allowed slots of the first trial's gallery, -1 beyond the end.
        top_nearness: `(Q, K)`.
        query_squares: `(Q,)` squared lengths of the query rows.
        path: Which arithmetic was used.
        redone: Share of the entries that the first product did not decide.
    """

    slots: IntArray
    nearness: FloatArray
    before: npt.NDArray[np.int32]
    tied: npt.NDArray[np.int32]
    people: npt.NDArray[np.int32]
    top_slot: IntArray
    top_nearness: FloatArray
    query_squares: FloatArray
    path: str
    redone: float


class Threads:
    """Splits the rows of a tile between threads; kernels release the interpreter's lock."""

    def __init__(self) -> None:
        import numba

        self._count = int(numba.config.NUMBA_NUM_THREADS)
        self._pool = ThreadPoolExecutor(self._count)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def over(self, rows: int, work: int, task: Callable[[int, int], None]) -> None:
        """Calls `task(low, high)` for parts of the rows; small work stays in this thread."""
        if self._count == 1 or work < 2**16 or rows < 2:
            task(0, rows)
            return
        parts = min(4 * self._count, rows)
        edges = [rows * part // parts for part in range(parts + 1)]
        for done in [
            self._pool.submit(task, low, high)
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]:
            done.result()


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
    tally = _Tally(pool, top, people)
    work = len(pool.query_rows) * len(pool.slot_rows) * query_feats.shape[1]
    with Threads() as threads:
        chooser = _Chooser(effort, work)
        for low, high in _parts(pool, query_feats.shape[1], people):
            part = _Part(pool, query_feats, gallery_feats, distance, low, high, threads)
            part.find_answers(tally)
            part.count(tally, chooser, effort)
    return tally.result(chooser.path)


def _parts(pool: Pool, dimensions: int, people: bool) -> Iterator[tuple[int, int]]:
    step = max(_QUERY_BYTES // (10 * dimensions), 1)
    if people:
        met = pool.people * pool.position.shape[1]
        step = min(step, max(_MET_BYTES // met, 1))
    for low in range(0, len(pool.query_rows), step):
        yield low, min(low + step, len(pool.query_rows))


class _Chooser:
    """Takes the cheapest product, and a dearer one when most entries have to be done again."""

    def __init__(self, effort: Effort, work: float) -> None:
        self._used: list[str] = []
        self._suffix = "" if effort.bound == "sure" else " (7 sigma)"
        known = {} if work < _WORTH_MEASURING else fastest_products()
        self._plain = known.get("fp32", NUMPY)
        self._candidates: list[Product] = []
        if effort.screening in ("bf16", "int8"):
            product = fastest_products().get(effort.screening)
            if product is None:
                raise ConfigError(
                    f"This machine cannot multiply in {effort.screening}; leave the screening to "
                    "'auto' or 'off'."
                )
            self._forced: Product | None = product
            return
        self._forced = None
        if effort.screening == "auto":
            self._candidates = sorted(
                (p for p in known.values() if p.seconds < 0.7 * self._plain.seconds),
                key=lambda product: product.seconds,
            )

    @property
    def path(self) -> str:
        return ", then ".join(self._used)

    def product(self) -> Product:
        chosen = self._forced or (self._candidates[0] if self._candidates else self._plain)
        name = chosen.precision + (self._suffix if chosen.precision != "fp32" else "") + "+float64"
        if name not in self._used[-1:]:
            self._used.append(name)
        return chosen

    def learn(self, product: Product, entries: float, cpu_seconds: float) -> None:
        # Counting a float32 product costs little beside the product itself.
        if product in self._candidates and cpu_seconds > self._plain.seconds * entries * 1e-9:
            self._candidates.remove(product)


class _Tally:
    """The counts of all queries of a pool."""

    def __init__(self, pool: Pool, top: int, people: bool) -> None:
        queries, galleries = len(pool.query_rows), pool.position.shape[1]
        answers = len(pool.positives)
        top = min(top, int(np.max(np.sum(pool.position[:, pool.gallery_of[0]] >= 0), initial=0)))
        self.slots = pool.positives.copy()
        self.nearness = np.empty(answers)
        self.before = np.zeros((answers, galleries), dtype=np.int32)
        self.tied = np.zeros((answers, galleries), dtype=np.int32)
        self.people = np.zeros((queries, galleries), dtype=np.int32)
        self.counts_people = people
        self.redone = np.zeros(queries, dtype=np.int64)
        self.top_slot = np.full((queries, top), -1, dtype=np.int64)
        self.top_nearness = np.full((queries, top), np.nan)
        self.query_squares = np.ones(queries)
        self._entries = max(queries * len(pool.slot_rows), 1)

    def result(self, path: str) -> Counted:
        return Counted(
            slots=self.slots,
            nearness=self.nearness,
            before=self.before,
            tied=self.tied,
            people=self.people,
            top_slot=self.top_slot,
            top_nearness=self.top_nearness,
            query_squares=self.query_squares,
            path=path,
            redone=float(self.redone.sum()) / self._entries,
        )


@dataclass(kw_only=True, eq=False)
class _Side:
    """Scaled float32 rows of queries or of a block, and their rounded forms when asked for."""

    quick: npt.NDArray[np.float32]
    length: FloatArray

    def rounded(self, precision: Precision, threads: Threads) -> tuple[Rows, Roundings]:
        from crosslight.evaluation.arithmetic import round_to_bfloat16, round_to_int8

        n = len(self.quick)
        kept, lost = np.empty(n), np.empty(n)
        quick = self.quick
        if precision == "bf16":
            patterns = np.empty(quick.shape, dtype=np.uint16)
            threads.over(
                n,
                quick.size,
                lambda a, b: round_to_bfloat16(quick[a:b], patterns[a:b], lost[a:b], kept[a:b]),
            )
            rows = Rows(numbers=patterns)
        else:
            codes = np.empty(quick.shape, dtype=np.int8)
            steps = np.empty(n, dtype=np.float32)
            threads.over(
                n,
                quick.size,
                lambda a, b: round_to_int8(
                    quick[a:b], codes[a:b], steps[a:b], lost[a:b], kept[a:b]
                ),
            )
            rows = Rows(numbers=codes, steps=steps)
        return rows, Roundings(length=self.length, kept=kept, lost=lost)


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
        from crosslight.evaluation import counting

        self._pool, self._low, self._high = pool, low, high
        self._gallery_feats = gallery_feats
        self._kind = {
            "dot": counting.DOT,
            "cosine": counting.COSINE,
            "euclidean": counting.EUCLIDEAN,
        }[distance]
        self._threads = threads
        self._rows = pool.query_rows[low:high]
        self._queries = in_float(query_feats[self._rows])
        self._query_squares = self._squares(self._queries, self._rows)
        self._columns = int(np.clip(_BLOCK_BYTES // (4 * query_feats.shape[1]), 16, _TILE_COLUMNS))
        self._starts = pool.starts[low : high + 1] - pool.starts[low]
        self._answers = slice(int(pool.starts[low]), int(pool.starts[high]))
        self._slot_squares = np.empty(len(pool.slot_rows))

    def find_answers(self, tally: _Tally) -> None:
        """The exact nearness of every right answer, and their order."""
        from crosslight.evaluation.arithmetic import exact_pairs

        pairs = self._pool.positives[self._answers]
        dots = np.empty(len(pairs))
        for first, block in self._blocks():
            squares = self._squares(block, self._pool.slot_rows[first : first + len(block)])
            self._slot_squares[first : first + len(block)] = squares
            self._threads.over(
                len(self._rows),
                2**20,
                lambda a, b, first=first, block=block: exact_pairs(  # type: ignore[misc]
                    self._queries, block, self._starts, pairs, first, a, b, dots
                ),
            )
        nearness = self._nearness(dots, self._terms(self._slot_squares[pairs]))
        owner = np.repeat(np.arange(len(self._rows)), np.diff(self._starts))
        order = np.lexsort((pairs, -nearness, owner))
        tally.slots[self._answers] = pairs[order]
        tally.nearness[self._answers] = nearness[order]
        tally.query_squares[self._low : self._high] = self._query_squares

    def count(self, tally: _Tally, chooser: _Chooser, effort: Effort) -> None:
        """Multiplies and counts, block by block."""
        from crosslight.evaluation import counting

        pool, part = self._pool, slice(self._low, self._high)
        answers = counting.Answers(
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
        if self._kind == counting.COSINE:
            scale = 1.0 / _lengths(self._query_squares)
        else:
            scale = np.full(len(self._rows), unit * unit)
        step = effort.block or _TILE_ROWS
        buffer = np.empty((min(step, len(self._rows)), self._columns), dtype=np.float32)
        forms: dict[str, tuple[Rows, Roundings]] = {}
        for first, block in self._blocks():
            clock = time.process_time()
            product = chooser.product()
            squares = self._slot_squares[first : first + len(block)]
            gallery = self._scaled(block, squares, unit)
            offset = np.zeros(len(block), dtype=np.float32)
            if self._kind == counting.EUCLIDEAN:
                offset = (0.5 * squares * unit * unit).astype(np.float32)
            doubt, query_rows, gallery_rows = self._doubt(
                product.precision, queries, gallery, offset, scale, forms, effort.bound
            )
            packed = product.pack(gallery_rows)
            source = counting.Source(
                kind=self._kind,
                queries=self._queries,
                gallery=block,
                terms=self._terms(squares),
                quick_queries=queries.quick,
                quick_gallery=gallery.quick,
                offset=offset,
            )
            for start in range(0, len(self._rows), step):
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
            entries = len(self._rows) * len(block) * block.shape[1]
            chooser.learn(product, entries, time.process_time() - clock)

    def _doubt(
        self,
        precision: Precision,
        queries: _Side,
        gallery: _Side,
        offset: npt.NDArray[np.float32],
        scale: FloatArray,
        forms: dict[str, tuple[Rows, Roundings]],
        bound: Bound,
    ) -> tuple[Any, Rows, Rows]:
        from crosslight.evaluation import counting

        dimensions, above = queries.quick.shape[1], float(offset.max(initial=0.0))
        quick = float32_width(
            dimensions, queries.length, float(gallery.length.max(initial=0.0)), above
        )
        if precision == "fp32":
            doubt = counting.Doubt(scale=scale, tile=quick, quick=quick, relative=0.0)
            return doubt, Rows(numbers=queries.quick), Rows(numbers=gallery.quick)
        if precision not in forms:
            forms[precision] = queries.rounded(precision, self._threads)
        query_rows, query_roundings = forms[precision]
        gallery_rows, gallery_roundings = gallery.rounded(precision, self._threads)
        halved = precision == "bf16"
        tile = rounded_width(
            dimensions, query_roundings, gallery_roundings, above, bound, bfloat16_result=halved
        )
        doubt = counting.Doubt(
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

    def _nearness(self, dots: FloatArray, terms: FloatArray) -> FloatArray:
        from crosslight.evaluation import counting

        if self._kind == counting.COSINE:
            return dots / terms
        if self._kind == counting.EUCLIDEAN:
            return dots - terms
        return dots

    def _terms(self, squares: FloatArray) -> FloatArray:
        from crosslight.evaluation import counting

        return _lengths(squares) if self._kind == counting.COSINE else 0.5 * squares

    def _squares(self, rows: npt.NDArray[Any], numbers: IntArray) -> FloatArray:
        from crosslight.evaluation.arithmetic import exact_squares

        squares = np.empty(len(rows))
        self._threads.over(
            len(rows), rows.size, lambda a, b: exact_squares(rows[a:b], squares[a:b])
        )
        wrong = np.flatnonzero(~(squares <= _LARGEST_SQUARE))
        if len(wrong):
            value = np.abs(rows[wrong[0]]).max()
            raise ProtocolError(
                f"feats[{numbers[wrong[0]]}] holds a value as large as {value:.1e}, whose products "
                "overflow; scale the features down."
            )
        return squares

    def _scaled(self, rows: npt.NDArray[Any], squares: FloatArray, unit: float) -> _Side:
        from crosslight.evaluation import counting
        from crosslight.evaluation.arithmetic import scale_rows

        lengths = _lengths(squares)
        factors = 1.0 / lengths if self._kind == counting.COSINE else np.full(len(rows), unit)
        quick = np.empty(rows.shape, dtype=np.float32)
        self._threads.over(
            len(rows), rows.size, lambda a, b: scale_rows(rows[a:b], factors[a:b], quick[a:b])
        )
        return _Side(quick=quick, length=lengths * factors)


def _lengths(squares: FloatArray) -> FloatArray:
    # A row of zeros has length 1 here, which makes every cosine with it 0.
    return np.sqrt(np.where(squares > 0, squares, 1.0))


def count_distances(
    pool: Pool,
    rows_of: Callable[[IntArray, IntArray], npt.NDArray[Any]],
    *,
    top: int,
    people: bool,
    effort: Effort,
    path: str,
) -> Counted:
    """Counts from distances, a block of queries at a time.

    Args:
        pool: Queries and slots.
        rows_of: (rows of the query table, rows of the gallery table) → distances.
        top: How many nearest images of the first gallery to keep.
        people: Whether to count people as well as images.
        effort: The number of queries of a block.
        path: What `Counted.path` says.

    Raises:
        ProtocolError: A distance is not a number.
    """
    from crosslight.evaluation import counting

    tally = _Tally(pool, top, people)
    slots = pool.slot_rows
    step = effort.block or int(np.clip(_DISTANCE_BYTES // (8 * max(len(slots), 1)), 1, 1024))
    if people:
        step = min(step, max(_MET_BYTES // (pool.people * pool.position.shape[1]), 1))
    nothing = np.zeros((1, 1), dtype=np.float32)
    with Threads() as threads:
        for low in range(0, len(pool.query_rows), step):
            part = slice(low, min(low + step, len(pool.query_rows)))
            dist = rows_of(pool.query_rows[part], slots)
            values = np.empty(dist.shape, dtype=np.float32)
            threads.over(
                len(dist),
                dist.size,
                lambda a, b, d=dist, v=values: counting.nearness_of(d[a:b], v[a:b]),  # type: ignore[misc]
            )
            if np.isnan(values[:, :1]).any():
                row, column = np.argwhere(np.isnan(dist))[0]
                raise ProtocolError(
                    f"dist[{pool.query_rows[low + row]}, {slots[column]}] is not a number; compute "
                    "the distances again."
                )
            own = slice(int(pool.starts[part.start]), int(pool.starts[part.stop]))
            starts = pool.starts[part.start : part.stop + 1] - own.start
            owner = np.repeat(np.arange(part.stop - part.start), np.diff(starts))
            pairs = pool.positives[own]
            nearness = -dist[owner, pairs].astype(np.float64)
            order = np.lexsort((pairs, -nearness, owner))
            tally.slots[own], tally.nearness[own] = pairs[order], nearness[order]
            answers = counting.Answers(
                starts=starts,
                slots=tally.slots[own],
                nearness=tally.nearness[own],
                own_starts=pool.own_starts,
                own_slots=pool.own_slots,
            )
            labels, counts = labelled(pool, tally, answers, part)
            source = counting.Source(
                kind=counting.GIVEN,
                queries=dist,
                gallery=dist,
                terms=np.zeros(1),
                quick_queries=nothing,
                quick_gallery=nothing,
                offset=np.zeros(len(slots), dtype=np.float32),
            )
            zero = np.zeros(len(dist))
            doubt = counting.Doubt(scale=np.ones(len(dist)), tile=zero, quick=zero, relative=0.0)
            threads.over(
                len(values),
                values.size,
                lambda a, b, v=values, w=answers, n=labels, c=counts, o=source, d=doubt: (  # type: ignore[misc]
                    counting.count_tile(v, 0, 0, a, b, w, n, c, o, d)
                ),
            )
    return tally.result(path)


def labelled(pool: Pool, tally: _Tally, answers: Any, part: slice) -> tuple[Any, Any]:
    """Labels and counts of the queries `part`, as the counting loop takes them."""
    from crosslight.evaluation import counting

    queries = part.stop - part.start
    galleries = pool.position.shape[1]
    first = np.full((queries, galleries), -1, dtype=np.int64)
    people = pool.people if tally.counts_people else 0
    if tally.counts_people:
        counting.first_answers(answers, pool.position, first)
    labels = counting.Labelled(
        query_person=pool.query_person[part],
        query_hides=pool.query_hides[part],
        person=pool.person,
        hidden=pool.hidden,
        position=pool.position,
        last_first=first.max(axis=1),
        first=first,
    )
    answers_part = slice(int(pool.starts[part.start]), int(pool.starts[part.stop]))
    counts = counting.Counts(
        before=tally.before[answers_part],
        tied=tally.tied[answers_part],
        met=np.zeros((queries, people, galleries), dtype=np.bool_),
        people=tally.people[part],
        redone=tally.redone[part],
        top_nearness=tally.top_nearness[part],
        top_slot=tally.top_slot[part],
        top_gallery=pool.gallery_of[0],
    )
    if tally.top_slot.shape[1]:
        counting.keep_answers(answers, pool.position, counts)
    return labels, counts


def read_columns(rows: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """Columns of a block; all of them in order are not copied."""
    if len(columns) == rows.shape[1] and np.array_equal(columns, np.arange(len(columns))):
        return rows
    return np.ascontiguousarray(rows[:, columns])


def read_rows(feats: npt.NDArray[Any], rows: IntArray) -> npt.NDArray[Any]:
    """Rows of a table that may lie on disk, as float32 or float64; consecutive rows are not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return in_float(feats[rows[0] : rows[-1] + 1])
    return in_float(feats[rows])
