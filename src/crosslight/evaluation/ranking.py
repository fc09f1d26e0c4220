"""Where the right answers stand in the ranked gallery of each query, and what follows from it.

CMC, average precision and inverse negative penalty need only the ranks of the positives::

    rank(p) = 1 + #{allowed g: d(g) < d(p), or d(g) = d(p) and g stands before p in the gallery}

which is the order of a stable sort. The gallery is never sorted and the whole distance matrix
never kept: memory is one block of queries times the distinct gallery rows. Trials that draw their
galleries from the same images share one product.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.counting import compiled_count
from crosslight.evaluation.distances import Distance, FloatArray, Gallery, IntArray, rows_per_block
from crosslight.evaluation.exclusion import Exclusion

CmcKind = Literal["image", "identity"]
AveragePrecision = Literal["rectangular", "trapezoid"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Who and which camera, for each row of a table of features."""

    pids: IntArray
    cams: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One drawing of queries and gallery, as rows of their tables.

    The order of `gallery` decides between equal distances: earlier is nearer.
    """

    queries: IntArray
    gallery: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """The ranks of all positives of one trial; query i is `trial.queries[i]`.

    Attributes:
        starts: `(Q + 1,)`; the positives of query i are `ranks[starts[i]:starts[i + 1]]`.
        ranks: 1-based ranks among the gallery images allowed for the query, ascending per query.
        identity_rank: `(Q,)` 1-based rank of the query's person among the distinct people of its
            allowed gallery, each counted where their nearest image stands; 0 without positives.
        seen: `(Q,)` number of gallery images allowed for the query.
        top: `(Q, K)` positions in `trial.gallery` of the nearest allowed images, -1 beyond the end.
        top_distance: `(Q, K)` their distances (negated inner product for 'dot'), nan beyond the
            end.
    """

    starts: IntArray
    ranks: IntArray
    identity_rank: IntArray
    seen: IntArray
    top: IntArray
    top_distance: FloatArray

    @property
    def positives(self) -> IntArray:
        """`(Q,)` number of gallery images of the query's person, after the exclusion."""
        return np.diff(self.starts)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """`(Q,)` whether the query has a right answer left; the others are not scored."""
        return self.positives > 0

    def first_rank(self, kind: CmcKind) -> IntArray:
        """`(Q,)` rank of the first right answer, on images or on identities; 0 where invalid."""
        if kind == "identity":
            return self.identity_rank
        first = np.zeros(len(self.positives), dtype=np.int64)
        first[self.valid] = self.ranks[self.starts[:-1][self.valid]]
        return first

    def average_precision(self, kind: AveragePrecision) -> FloatArray:
        """`(Q,)` average precision; nan where invalid.

        'rectangular' is the mean precision at the positives. 'trapezoid' averages it with the
        precision just before each positive, which is 1 at the top of the list (the rule of
        Market-1501's own evaluation).
        """
        owner = np.repeat(np.arange(len(self.positives)), self.positives)
        nth = np.arange(len(self.ranks)) - self.starts[owner] + 1
        precision = nth / self.ranks
        if kind == "trapezoid":
            before = np.where(self.ranks > 1, (nth - 1) / np.maximum(self.ranks - 1, 1), 1.0)
            precision = (precision + before) / 2
        total = np.bincount(owner, weights=precision, minlength=len(self.positives))
        return np.where(self.valid, total / np.maximum(self.positives, 1), np.nan)

    def inverse_negative_penalty(self) -> FloatArray:
        """`(Q,)` number of positives / rank of the last of them; nan where invalid."""
        inverse = np.full(len(self.positives), np.nan)
        inverse[self.valid] = (
            self.positives[self.valid] / self.ranks[self.starts[1:][self.valid] - 1]
        )
        return inverse


def check_average_precision(name: str) -> AveragePrecision:
    """The name itself, if it is one of the rules.

    Raises:
        ConfigError: It is not.
    """
    for kind in get_args(AveragePrecision):
        if name == kind:
            return name  # type: ignore[return-value]
    raise ConfigError(
        f"Average precision '{name}' is unknown; choose one of "
        f"{', '.join(get_args(AveragePrecision))}."
    )


def rank_features(
    query_feats: npt.NDArray[Any],
    query: Labels,
    gallery_feats: npt.NDArray[Any],
    gallery: Labels,
    trials: Sequence[Trial],
    *,
    exclusion: Exclusion,
    distance: Distance = "cosine",
    top: int = 0,
    block: int | None = None,
) -> list[Ranks]:
    """Ranks from features; all trials share one product over the union of their rows.

    Args:
        query_feats: `(Nq, D)`; only the rows that a trial names are used.
        query: Labels of these rows.
        gallery_feats: `(Ng, D)`; may be the same table.
        gallery: Labels of these rows.
        trials: The drawings.
        exclusion: The camera rule.
        distance: What "near" means.
        top: How many nearest images to keep per query of the first trial.
        block: Queries compared at once; by default as many as fit into 256 MiB.

    Returns:
        One `Ranks` per trial, in their order.
    """
    query_rows = np.unique(np.concatenate([trial.queries for trial in trials]))
    gallery_rows = np.unique(np.concatenate([trial.gallery for trial in trials]))
    pool = Gallery(gallery_feats, gallery_rows, distance)
    counters = _counters(trials, query, gallery, exclusion, top)
    for counter in counters:
        counter.columns = pool.column_of[np.searchsorted(gallery_rows, counter.trial.gallery)]
    _count(pool.blocks(query_feats, query_rows, block), query_rows, counters)
    for counter in counters[:1]:
        counter.top_value = pool.as_distance(counter.top_value, query_feats, counter.trial.queries)
    return [counter.result() for counter in counters]


def rank_distances(
    dist: npt.NDArray[Any],
    query: Labels,
    gallery: Labels,
    trials: Sequence[Trial] | None = None,
    *,
    exclusion: Exclusion,
    top: int = 0,
    block: int | None = None,
) -> list[Ranks]:
    """Ranks from a matrix of distances, such as re-ranked ones.

    Args:
        dist: `(Nq, Ng)`, smaller is nearer.
        query: Labels of its rows.
        gallery: Labels of its columns.
        trials: The drawings; by default one, with everything in order.
        exclusion: The camera rule.
        top: How many nearest images to keep per query of the first trial.
        block: Queries looked at in one go.

    Raises:
        ProtocolError: The shape does not fit the labels, or a distance is not a number.
    """
    shape = (len(query.pids), len(gallery.pids))
    if dist.shape != shape:
        raise ProtocolError(
            f"The distances have shape {dist.shape}, expected {shape} (queries, gallery); "
            "transpose them or give the labels in the same order."
        )
    if trials is None:
        trials = [Trial(queries=np.arange(shape[0]), gallery=np.arange(shape[1]))]
    counters = _counters(trials, query, gallery, exclusion, top)
    for counter in counters:
        counter.columns = counter.trial.gallery
    rows = np.arange(shape[0])
    step = rows_per_block(shape[1], block)

    def blocks() -> Iterable[tuple[int, FloatArray]]:
        for start in range(0, shape[0], step):
            values = np.asarray(dist[start : start + step], dtype=np.float64)
            if np.isnan(values).any():
                row, column = np.argwhere(np.isnan(values))[0]
                raise ProtocolError(
                    f"dist[{start + row}, {column}] is not a number; compute the distances again."
                )
            yield start, values

    _count(blocks(), rows, counters)
    return [counter.result() for counter in counters]


def _count(
    blocks: Iterable[tuple[int, FloatArray]], query_rows: IntArray, counters: Sequence[_Counter]
) -> None:
    for start, values in blocks:
        rows = query_rows[start : start + len(values)]
        for counter in counters:
            counter.add(rows, values)


def _counters(
    trials: Sequence[Trial], query: Labels, gallery: Labels, exclusion: Exclusion, top: int
) -> list[_Counter]:
    return [
        _Counter(trial, query, gallery, exclusion, top if number == 0 else 0)
        for number, trial in enumerate(trials)
    ]


class _Counter:
    """Collects the counts of one trial while blocks of distances pass by."""

    def __init__(
        self, trial: Trial, query: Labels, gallery: Labels, exclusion: Exclusion, top: int
    ) -> None:
        self.trial = trial
        self.columns: IntArray = np.empty(0, dtype=np.int64)
        queries, entries = len(trial.queries), len(trial.gallery)
        pids = np.concatenate([query.pids[trial.queries], gallery.pids[trial.gallery]])
        people, person = np.unique(pids, return_inverse=True)
        self._identities = len(people)
        self._query_id, self._gallery_id = person[:queries], person[queries:]
        query_cams, self._query_cam = np.unique(query.cams[trial.queries], return_inverse=True)
        gallery_cams, self._gallery_cam = np.unique(
            gallery.cams[trial.gallery], return_inverse=True
        )
        self._dropped = exclusion.table(query_cams, gallery_cams)
        same_person = np.bincount(self._gallery_id, minlength=len(people))
        self._starts = np.concatenate([[0], np.cumsum(same_person[self._query_id])])
        self._by_row = np.argsort(trial.queries, kind="stable")
        self._sorted_rows = trial.queries[self._by_row]
        self._ranks = np.zeros(int(self._starts[-1]), dtype=np.int64)
        self._positives, self._seen, self._identity_rank = (
            np.zeros(queries, dtype=np.int64) for _ in range(3)
        )
        self._top = np.full((queries, min(top, entries)), -1, dtype=np.int64)
        self.top_value: FloatArray = np.full(self._top.shape, np.nan)

    def add(self, rows: IntArray, values: FloatArray) -> None:
        low, high = np.searchsorted(self._sorted_rows, (rows[0], rows[-1] + 1))
        if low == high:
            return
        compiled_count()(
            values,
            np.searchsorted(rows, self._sorted_rows[low:high]),
            self._by_row[low:high],
            self._query_id,
            self._query_cam,
            self.columns,
            self._gallery_id,
            self._gallery_cam,
            self._dropped,
            self._identities,
            self._starts,
            self._ranks,
            self._positives,
            self._seen,
            self._identity_rank,
            self._top,
            self.top_value,
        )

    def result(self) -> Ranks:
        room = np.diff(self._starts)
        owner = np.repeat(np.arange(len(room)), room)
        used = np.arange(len(self._ranks)) - self._starts[owner] < self._positives[owner]
        return Ranks(
            starts=np.concatenate([[0], np.cumsum(self._positives)]),
            ranks=self._ranks[used],
            identity_rank=self._identity_rank,
            seen=self._seen,
            top=self._top,
            top_distance=self.top_value,
        )
