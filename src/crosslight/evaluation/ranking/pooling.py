"""What the trials of a protocol share: one list of queries, one list of gallery slots.

A slot is a gallery row that at least one trial shows. Trials with the same gallery are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.features.given_arrays import cam_array, id_array
from crosslight.evaluation.ranking.distances import IntArray
from crosslight.evaluation.ranking.exclusion import DROP_ALL, DROP_SAME_PERSON, KEEP, Exclusion


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """Who and which camera, for each row of a table of features.

    Raises:
        DataError: Not whole numbers, or of different lengths.
    """

    pids: IntArray
    cams: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "pids", id_array("pids", self.pids, None))
        object.__setattr__(self, "cams", cam_array("cams", self.cams, len(self.pids)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """One drawing of queries and gallery, as rows of their tables.

    The order of `gallery` decides between equal distances: earlier is nearer.
    """

    queries: IntArray
    gallery: IntArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """Queries and slots of all trials, with their labels.

    Attributes:
        query_rows: `(Q,)` rows of the query table, ascending.
        slot_rows: `(U,)` rows of the gallery table, ascending.
        gallery_of: For each trial the gallery it uses, a column of `position`.
        position: `(U, T)` place of a slot in a gallery, -1 where it is not in it.
        member: `(U, W)` uint64, whether it is in it: gallery t is the t-th 16 bits, 0 or 1, so that
            one addition counts for four galleries.
        member_bits: `(U, B)` uint16, the same with one bit per gallery.
        top_slots: `(M,)` slots of the first trial's gallery, ascending.
        query_person, person: `(Q,)`, `(U,)` numbers below `people`.
        query_hides: `(Q,)` row of `hidden`, -1 where nothing is hidden.
        hidden: `(H, U)` slots hidden by their camera.
        own_starts, own_slots: The slots of each person, ascending.
        starts, positives: The allowed slots of the query's person, ascending per query.
        seen: `(Q, T)` number of allowed gallery images.
    """

    query_rows: IntArray
    slot_rows: IntArray
    gallery_of: tuple[int, ...]
    position: npt.NDArray[np.int32]
    member: npt.NDArray[np.uint64]
    member_bits: npt.NDArray[np.uint16]
    top_slots: IntArray
    people: int
    query_person: IntArray
    person: IntArray
    query_hides: IntArray
    hidden: npt.NDArray[np.bool_]
    own_starts: IntArray
    own_slots: IntArray
    starts: IntArray
    positives: IntArray
    seen: IntArray


def make_pool(
    trials: Sequence[Trial], query: Labels, gallery: Labels, exclusion: Exclusion
) -> Pool:
    """The pool of trials.

    Args:
        trials: The drawings.
        query: Labels of the query table.
        gallery: Labels of the gallery table.
        exclusion: The camera rule.
    """
    query_rows = np.unique(np.concatenate([trial.queries for trial in trials]))
    galleries, gallery_of = _distinct([trial.gallery for trial in trials])
    slot_rows, position = _slots(galleries)
    pids = np.concatenate([query.pids[query_rows], gallery.pids[slot_rows]])
    people, number = np.unique(pids, return_inverse=True)
    query_person, person = np.split(number, [len(query_rows)])
    query_cams, query_cam = np.unique(query.cams[query_rows], return_inverse=True)
    gallery_cams, cam = np.unique(gallery.cams[slot_rows], return_inverse=True)
    rules = exclusion.table(query_cams, gallery_cams)

    own_slots = np.argsort(person, kind="stable")
    own_starts = np.searchsorted(person[own_slots], np.arange(len(people) + 1))
    owner, own = _pairs(own_starts, own_slots, query_person)
    rule = rules[query_cam[owner], cam[own]]
    kept = rule == KEEP
    positives = np.bincount(owner[kept], minlength=len(query_rows))

    hides = (rules == DROP_ALL).any(axis=1)
    hidden_row = np.where(hides, np.cumsum(hides) - 1, -1)
    images = np.stack(
        [
            np.bincount(cam[position[:, t] >= 0], minlength=len(gallery_cams))
            for t in range(len(galleries))
        ],
        axis=1,
    )
    seen = ((rules != DROP_ALL).astype(np.int64) @ images)[query_cam]
    dropped = rule == DROP_SAME_PERSON
    np.subtract.at(seen, owner[dropped], position[own[dropped]] >= 0)
    return Pool(
        query_rows=query_rows,
        slot_rows=slot_rows,
        gallery_of=gallery_of,
        position=position,
        member=_counters(position >= 0),
        member_bits=_bits(position >= 0),
        top_slots=np.flatnonzero(position[:, gallery_of[0]] >= 0),
        people=len(people),
        query_person=query_person,
        person=person,
        query_hides=hidden_row[query_cam],
        # Indexing would lay it out by columns where several cameras hide: slower, and of a type
        # of its own, for which everything is compiled once more.
        hidden=np.ascontiguousarray((rules == DROP_ALL)[hides][:, cam]),
        own_starts=own_starts,
        own_slots=own_slots,
        starts=np.concatenate([[0], np.cumsum(positives)]),
        positives=own[kept],
        seen=seen,
    )


def _distinct(galleries: Sequence[IntArray]) -> tuple[list[IntArray], tuple[int, ...]]:
    known: dict[bytes, int] = {}
    distinct: list[IntArray] = []
    numbers = []
    for gallery in galleries:
        number = known.setdefault(gallery.tobytes(), len(distinct))
        if number == len(distinct):
            distinct.append(gallery)
        numbers.append(number)
    return distinct, tuple(numbers)


def _slots(galleries: Sequence[IntArray]) -> tuple[IntArray, npt.NDArray[np.int32]]:
    # A row that stands several times in one gallery has as many slots.
    counts = [np.unique(gallery, return_counts=True)[1] for gallery in galleries]
    copies = max(int(count.max(initial=1)) for count in counts)
    keys = [gallery * copies + _occurrence(gallery, copies) for gallery in galleries]
    all_keys = np.unique(np.concatenate(keys))
    position = np.full((len(all_keys), len(galleries)), -1, dtype=np.int32)
    for t, key in enumerate(keys):
        position[np.searchsorted(all_keys, key), t] = np.arange(len(key))
    return all_keys // copies, position


def _counters(member: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    galleries = member.shape[1]
    counters = np.zeros((len(member), galleries + -galleries % 4), dtype=np.uint16)
    counters[:, :galleries] = member
    return counters.view(np.uint64)


def _bits(member: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint16]:
    galleries = member.shape[1]
    bits = np.zeros((len(member), galleries + -galleries % 16), dtype=np.uint16)
    bits[:, :galleries] = member
    worth = np.uint16(1) << np.arange(16, dtype=np.uint16)
    words: npt.NDArray[np.uint16] = (bits.reshape(len(member), -1, 16) * worth).sum(
        axis=2, dtype=np.uint16
    )
    return words


def _occurrence(rows: IntArray, copies: int) -> IntArray:
    nth = np.zeros(len(rows), dtype=np.int64)
    if copies > 1:
        order = np.argsort(rows, kind="stable")
        new = np.concatenate([[True], np.diff(rows[order]) != 0])
        first = np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        nth[order] = np.arange(len(rows)) - first
    return nth


def _pairs(
    own_starts: IntArray, own_slots: IntArray, query_person: IntArray
) -> tuple[IntArray, IntArray]:
    low, high = own_starts[query_person], own_starts[query_person + 1]
    count = high - low
    owner = np.repeat(np.arange(len(query_person)), count)
    nth = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    return owner, own_slots[np.repeat(low, count) + nth]
