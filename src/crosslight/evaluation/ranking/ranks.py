"""Where the positives stand in the ranked gallery of each query, and what follows from it.

CMC, average precision and inverse negative penalty need only the ranks of the positives::

    rank(p) = 1 + #{allowed g: d(g) < d(p), or d(g) = d(p) and g stands before p in the gallery}

which is the order of a stable sort. The gallery is never sorted and the whole distance matrix
never kept. Trials that draw their galleries from the same images share one product.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crosslight.errors import ProtocolError
from crosslight.evaluation.features.given_arrays import distance_array
from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.ranking.exclusion import Exclusion
from crosslight.evaluation.ranking.given_distances import count_distances, read_columns
from crosslight.evaluation.ranking.given_features import count_features
from crosslight.evaluation.ranking.pooling import Labels, Pool, Trial, make_pool
from crosslight.evaluation.ranking.rows import read_rows
from crosslight.evaluation.ranking.tally import Counted
from crosslight.evaluation.scoring import AveragePrecision
from crosslight.types import Distance

CmcKind = Literal["image", "identity"]

__all__ = [
    "CmcKind",
    "Labels",
    "Ranks",
    "Trial",
    "rank_distances",
    "rank_features",
    "rank_streamed",
]


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
        first: `(Q,)` position in `trial.gallery` of the nearest positive; -1 without any, and in
            all but the first trial.
        first_distance: `(Q,)` its distance, nan where there is none.
        path: Which arithmetic decided: the precision of the first product, and what decided the
            entries that it left open.
    """

    starts: IntArray
    ranks: IntArray
    identity_rank: IntArray
    seen: IntArray
    top: IntArray
    top_distance: FloatArray
    first: IntArray
    first_distance: FloatArray
    path: str

    @property
    def positives(self) -> IntArray:
        """`(Q,)` number of gallery images of the query's person, after the exclusion."""
        return np.diff(self.starts)

    @property
    def valid(self) -> npt.NDArray[np.bool_]:
        """`(Q,)` whether the query has a positive left; the others are not scored."""
        return self.positives > 0

    def first_rank(self, kind: CmcKind) -> IntArray:
        """`(Q,)` rank of the first positive, on images or on identities; 0 where invalid."""
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


def rank_features(
    query_feats: npt.NDArray[Any],
    query: Labels,
    gallery_feats: npt.NDArray[Any],
    gallery: Labels,
    trials: Sequence[Trial],
    *,
    exclusion: Exclusion,
    distance: Distance = "cosine",
    cmc: CmcKind = "identity",
    top: int = 0,
    effort: Effort | None = None,
) -> list[Ranks]:
    """Ranks from features; all trials share one product over the union of their rows.

    Args:
        query_feats: `(Nq, D)`; only the rows that a trial names are used.
        query: Labels of these rows.
        gallery_feats: `(Ng, D)`; may be the same table, and may lie on disk.
        gallery: Labels of these rows.
        trials: The drawings.
        exclusion: The camera rule.
        distance: What "near" means.
        cmc: 'image' saves the counting of people; `identity_rank` is then 0.
        top: How many nearest images to keep per query of the first trial.
        effort: Block size; changes no rank.

    Returns:
        One `Ranks` per trial, in their order.
    """
    pool = make_pool(trials, query, gallery, exclusion)
    counted = count_features(
        pool,
        query_feats,
        gallery_feats,
        distance=distance,
        top=top,
        people=cmc == "identity",
        effort=effort or Effort(),
    )

    def distance_of(nearness: FloatArray) -> FloatArray:
        return distances_of(nearness, counted.query_squares[:, None], distance)

    return ranks_of_counts(pool, trials, counted, distance_of, cmc)


def rank_distances(
    dist: npt.NDArray[Any],
    query: Labels,
    gallery: Labels,
    trials: Sequence[Trial] | None = None,
    *,
    exclusion: Exclusion,
    cmc: CmcKind = "identity",
    top: int = 0,
    effort: Effort | None = None,
) -> list[Ranks]:
    """Ranks from a matrix of distances, such as re-ranked ones.

    Args:
        dist: `(Nq, Ng)`, smaller is nearer; infinite ones are ranked like others.
        query: Labels of its rows.
        gallery: Labels of its columns.
        trials: The drawings; by default one, with everything in order.
        exclusion: The camera rule.
        cmc: 'image' saves the counting of people; `identity_rank` is then 0.
        top: How many nearest images to keep per query of the first trial.
        effort: Its block is the number of queries looked at in one go.

    Raises:
        DataError: Not an array of real numbers.
        ProtocolError: The shape does not fit the labels, or a distance is not a number.
    """
    dist = distance_array("dist", dist)
    shape = (len(query.pids), len(gallery.pids))
    if dist.shape != shape:
        raise ProtocolError(
            f"The distances have shape {dist.shape}, expected {shape} (queries, gallery); "
            "transpose them or give the labels in the same order."
        )
    if trials is None:
        trials = [Trial(queries=np.arange(shape[0]), gallery=np.arange(shape[1]))]

    def rows_of(rows: IntArray, columns: IntArray) -> npt.NDArray[Any]:
        return read_columns(read_rows(dist, rows), columns)

    return rank_streamed(
        rows_of,
        query,
        gallery,
        trials,
        exclusion=exclusion,
        cmc=cmc,
        top=top,
        effort=effort,
        path="given",
    )


def rank_streamed(
    rows_of: Callable[[IntArray, IntArray], npt.NDArray[Any]],
    query: Labels,
    gallery: Labels,
    trials: Sequence[Trial],
    *,
    exclusion: Exclusion,
    cmc: CmcKind = "identity",
    top: int = 0,
    effort: Effort | None = None,
    path: str,
) -> list[Ranks]:
    """Ranks from distances that are made row by row and never kept.

    Args:
        rows_of: (query rows, gallery rows) → their distances, float32 or float64.
        query: Labels of the query table.
        gallery: Labels of the gallery table.
        trials: The drawings.
        exclusion: The camera rule.
        cmc: 'image' saves the counting of people; `identity_rank` is then 0.
        top: How many nearest images to keep per query of the first trial.
        effort: Its block is the number of queries looked at in one go.
        path: What `Ranks.path` says.

    Raises:
        ProtocolError: A distance is not a number.
    """
    pool = make_pool(trials, query, gallery, exclusion)
    counted = count_distances(
        pool, rows_of, top=top, people=cmc == "identity", effort=effort or Effort(), path=path
    )
    return ranks_of_counts(pool, trials, counted, np.negative, cmc)


def distances_of(nearness: FloatArray, squares: FloatArray, distance: Distance) -> FloatArray:
    """Distances from nearness.

    Args:
        nearness: `(Q, K)`.
        squares: `(Q, 1)` squared lengths of the queries.
        distance: What they are.
    """
    if distance == "cosine":
        cosine: FloatArray = 1.0 - nearness / np.sqrt(np.where(squares > 0, squares, 1.0))
        return cosine
    if distance == "euclidean":
        return np.sqrt(np.maximum(squares - 2.0 * nearness, 0.0))
    return -nearness


def ranks_of_counts(
    pool: Pool,
    trials: Sequence[Trial],
    counted: Counted,
    distance_of: Callable[[FloatArray], FloatArray],
    cmc: CmcKind,
) -> list[Ranks]:
    """Ranks of each trial from the counts of their pool.

    Args:
        pool: What the trials share.
        trials: In the order of the pool.
        counted: What was counted over the pool.
        distance_of: `(Q, K)` nearness → distance.
        cmc: See `rank_features`.
    """
    from crosslight.evaluation.ranking.counting import collect_ranks
    from crosslight.evaluation.ranking.people_met import first_positives
    from crosslight.evaluation.ranking.records import Positives

    positives = Positives(
        starts=pool.starts,
        slots=counted.slots,
        nearness=counted.nearness,
        own_starts=pool.own_starts,
        own_slots=pool.own_slots,
    )
    top_distance = distance_of(counted.top_nearness)
    places = pool.position[:, [pool.gallery_of[0]]]
    nth_positive = np.full((len(pool.query_rows), 1), -1, dtype=np.int64)
    first_positives(positives, places, nth_positive)
    has = nth_positive[:, 0] >= 0
    at = pool.starts[:-1][has] + nth_positive[has, 0]
    first = np.full(len(has), -1)
    first[has] = places[counted.slots[at], 0]
    nearness = np.full((len(has), 1), np.nan)
    nearness[has, 0] = counted.nearness[at]
    first_distance = distance_of(nearness)[:, 0]
    results = []
    for number, (trial, gallery) in enumerate(zip(trials, pool.gallery_of, strict=True)):
        starts = np.zeros(len(pool.query_rows) + 1, dtype=np.int64)
        ranks = np.empty(len(counted.slots), dtype=np.int64)
        collect_ranks(
            positives, pool.position, counted.before, counted.tied, gallery, starts, ranks
        )
        queries = np.searchsorted(pool.query_rows, trial.queries)
        count = np.diff(starts)[queries]
        owner = np.repeat(np.arange(len(queries)), count)
        own_starts = np.concatenate([[0], np.cumsum(count)])
        nth = np.arange(len(owner)) - own_starts[owner]
        slots = counted.top_slot[queries] if number == 0 else counted.top_slot[queries, :0]
        position = pool.position[:, gallery]
        people = counted.people[queries, gallery].astype(np.int64) + 1
        results.append(
            Ranks(
                starts=own_starts,
                ranks=ranks[starts[queries][owner] + nth],
                identity_rank=np.where((count > 0) & (cmc == "identity"), people, 0),
                seen=pool.seen[queries, gallery],
                top=np.where(slots >= 0, position[slots], -1).astype(np.int64),
                top_distance=top_distance[queries] if number == 0 else np.empty(slots.shape),
                first=first[queries] if number == 0 else np.full(len(queries), -1),
                first_distance=(
                    first_distance[queries] if number == 0 else np.full(len(queries), np.nan)
                ),
                path=counted.path,
            )
        )
    return results
