"""The counts of all queries, from the first tile to the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.ranking.pooling import Pool

MET_BYTES = 64 * 2**20
"""Most memory for noting which people were met."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """What `collect_ranks` needs, for all queries of a pool.

    Attributes:
        slots: `(P,)` positives, per query nearest first; they start where `pool.starts` says.
        nearness: `(P,)` theirs, larger is nearer.
        before: `(P, T)` negatives between positive p - 1 and p.
        tied: `(P, T)` negatives as near as p that stand before it in the gallery.
        people: `(Q, T)` other people met before the first positive.
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


class Tally:
    """The counts of all queries of a pool."""

    def __init__(self, pool: Pool, top: int, people: bool) -> None:
        queries, galleries = len(pool.query_rows), pool.position.shape[1]
        positives = len(pool.positives)
        top = min(top, int(np.max(np.sum(pool.position[:, pool.gallery_of[0]] >= 0), initial=0)))
        self.slots = pool.positives.copy()
        self.nearness = np.empty(positives)
        self.before = np.zeros((positives, galleries), dtype=np.int32)
        self.tied = np.zeros((positives, galleries), dtype=np.int32)
        self.people = np.zeros((queries, galleries), dtype=np.int32)
        self.counts_people = people
        self.redone = np.zeros(queries, dtype=np.int64)
        self.top_slot = np.full((queries, top), -1, dtype=np.int64)
        self.top_nearness = np.full((queries, top), np.nan)
        self.query_squares = np.ones(queries)
        self._entries = max(queries * len(pool.slot_rows), 1)

    def result(self, path: str) -> Counted:
        """The counts; `path` says which arithmetic decided."""
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


def labelled(pool: Pool, tally: Tally, positives: Any, part: slice) -> tuple[Any, Any]:
    """Labels and counts of the queries `part`, as the counting loop takes them."""
    from crosslight.evaluation.ranking import nearest_images, people_met, records

    queries = part.stop - part.start
    galleries = pool.position.shape[1]
    first = np.full((queries, galleries), -1, dtype=np.int64)
    people = pool.people if tally.counts_people else 0
    if tally.counts_people:
        people_met.first_positives(positives, pool.position, first)
    labels = records.Labelled(
        query_person=pool.query_person[part],
        query_hides=pool.query_hides[part],
        person=pool.person,
        hidden=pool.hidden,
        position=pool.position,
        member=pool.member,
        member_bits=pool.member_bits,
        last_first=first.max(axis=1),
        first=first,
    )
    part_of_positives = slice(int(pool.starts[part.start]), int(pool.starts[part.stop]))
    counts = records.Counts(
        before=tally.before[part_of_positives],
        tied=tally.tied[part_of_positives],
        met=np.zeros((queries, people, pool.member_bits.shape[1]), dtype=np.uint16),
        people=tally.people[part],
        redone=tally.redone[part],
        top_nearness=tally.top_nearness[part],
        top_slot=tally.top_slot[part],
        top_gallery=pool.gallery_of[0],
        top_slots=pool.top_slots,
    )
    if tally.top_slot.shape[1]:
        nearest_images.keep_positives(positives, pool.position, counts)
    return labels, counts
