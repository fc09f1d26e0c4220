"""Tracks that may be of one person: near each other, and not where that cannot be.

How far two are apart is the mean over all pairs of their images of one light each, so that the
calibration's probability is not flattered, as it would be by means of several vectors. Left out
are pairs that were seen in one frame, that were in view of one camera at one time, that somebody
kept apart or marked wrong, and people whom somebody told apart by number or name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, combinations_with_replacement

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.options import Proposing
from crosslight.gallery.people.apart import COLUMNS, in_groups, in_one_frame
from crosslight.gallery.people.names import Names, names_of
from crosslight.gallery.people.people import Somebody
from crosslight.gallery.stores.ledger import APART, MARK, PERSON, TRACK
from crosslight.gallery.stores.rows import EVERYTHING, Filter
from crosslight.gallery.stores.store import Store
from crosslight.types import Distance

_READ_AT_ONCE = 1_000
_COMPARED_AT_ONCE = 20_000_000  # pairs: 80 MB
_NEAREST = 20
"""Pairs of each track that are looked at, in every two lights."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """Two who may be one.

    Attributes:
        first: One of them.
        second: The other.
        distance: Mean distance between their images.
        probability: That they are one person; None without a calibration.
        rows: An image of each.
    """

    first: Somebody
    second: Somebody
    distance: float
    probability: float | None
    rows: tuple[str, str]


@dataclass(kw_only=True)
class _Group:
    """A person, or a track of nobody known.

    Attributes:
        key: As in apart.py.
        row: One of its images.
        tracks: Its tracks.
        spans: Camera, first and last time of each of its tracks, as far as they are known.
    """

    key: str
    row: str
    tracks: set[str] = field(default_factory=set)
    spans: list[tuple[int, float, float]] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """Every way in which somebody may have spoken of it."""
        return {self.key} | {f"t:{track}" for track in self.tracks}


def propose(
    store: Store,
    where: Filter = EVERYTHING,
    *,
    top: int = Proposing.top,
    least: float = Proposing.least,
) -> list[Proposal]:
    """Those who may be one person, likeliest first.

    Args:
        store: The store.
        where: Which rows count.
        top: As in `Proposing`.
        least: Likewise.
    """
    frame = in_groups(store.frame(where, columns=(*COLUMNS, "modality")).sort("id"))
    groups = _groups(frame)
    allowed = _Allowed(store, frame)
    if not any(map(allowed.is_open, groups)):
        return []
    calibration = Calibration.from_plain(store.info.calibration)
    vectors = _means(store, frame, groups)
    names = names_of(store)
    best: dict[tuple[str, str], Proposal] = {}
    for one, other in combinations_with_replacement(sorted(vectors), 2):
        kept = 0
        # The nearer, the likelier: what comes after is no better than these.
        for a, b, distance in _near(vectors[one], vectors[other], store.info.distance):
            chance = None if calibration is None else calibration.probability(distance, one, other)
            # Of lights that nobody calibrated, nothing can be said beside those that were.
            if kept == top or (calibration is not None and (chance is None or chance < least)):
                break
            first, second = sorted((groups[a], groups[b]), key=lambda group: group.key)
            if not allowed.may_be_one(first, second):
                continue
            kept += 1
            proposal = Proposal(
                first=_somebody(first, names),
                second=_somebody(second, names),
                distance=distance,
                probability=chance,
                rows=(first.row, second.row),
            )
            known = best.get((first.key, second.key))
            if known is None or _order(proposal) < _order(known):
                best[first.key, second.key] = proposal
    return sorted(best.values(), key=_order)[:top]


def _order(proposal: Proposal) -> tuple[float, float, str]:
    chance = 0.0 if proposal.probability is None else -proposal.probability
    return chance, proposal.distance, proposal.first.told


def _somebody(group: _Group, names: Names) -> Somebody:
    kind, _, name = group.key.partition(":")
    if kind == "p":
        return Somebody(pid=int(name), track=None, told=names.person(int(name)))
    return Somebody(pid=None, track=name, told=f"track {name}")


def _groups(frame: pl.DataFrame) -> list[_Group]:
    found: dict[str, _Group] = {}
    spans = (
        frame.filter(~pl.col("group").str.starts_with("r:"))
        .group_by("group", "track", "cam", maintain_order=True)
        .agg(pl.col("id").first(), first=pl.col("time").min(), last=pl.col("time").max())
    )
    for row in spans.iter_rows(named=True):
        group = found.setdefault(row["group"], _Group(key=row["group"], row=row["id"]))
        if row["track"] is not None:
            group.tracks.add(row["track"])
            if row["first"] is not None and row["cam"] >= 0:
                group.spans.append((row["cam"], row["first"], row["last"]))
    return list(found.values())


class _Allowed:
    """What may be one."""

    def __init__(self, store: Store, frame: pl.DataFrame) -> None:
        ledger = store.ledger
        people = ledger.every(PERSON)
        self._numbered_by_us = {
            f"p:{pid}" for pid, entry in people.items() if entry["made"] and not entry["name"]
        }
        self._apart = {frozenset(entry["pair"]) for entry in ledger.every(APART).values()}
        self._beside: dict[str, set[str]] = defaultdict(set)
        for entry in ledger.every(TRACK).values():
            for other in entry["beside"]:
                self._beside[entry["track"]].add(other)
                self._beside[other].add(entry["track"])
        for tracks in in_one_frame(frame):
            for a, b in combinations(tracks, 2):
                self._beside[a].add(b)
                self._beside[b].add(a)
        group_of = dict(frame.select("id", "group").iter_rows())
        self._wrong = {
            frozenset((group_of[mark["query_row"]], group_of[mark["row"]]))
            for mark in ledger.every(MARK).values()
            if mark["mark"] == "wrong" and {mark["query_row"], mark["row"]} <= group_of.keys()
        }

    def is_open(self, group: _Group) -> bool:
        """Whether nobody has said who it is."""
        return group.key.startswith("t:") or group.key in self._numbered_by_us

    def may_be_one(self, first: _Group, second: _Group) -> bool:
        """Whether two groups may be one person."""
        if first.key == second.key or not (self.is_open(first) or self.is_open(second)):
            return False
        if frozenset((first.key, second.key)) in self._wrong:
            return False
        if any(frozenset((a, b)) in self._apart for a in first.keys for b in second.keys):
            return False
        if any(second.tracks & self._beside[track] for track in first.tracks):
            return False
        return not any(
            cam == other and begin <= last and start <= end
            for cam, begin, end in first.spans
            for other, start, last in second.spans
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Means:
    """Of the groups that have images of one light.

    Attributes:
        places: (N,) which groups.
        vectors: (N, D) means of their vectors.
        squares: (N,) means of the squared lengths.
    """

    places: NDArray[np.int64]
    vectors: NDArray[np.float32]
    squares: NDArray[np.float64]


def _means(store: Store, frame: pl.DataFrame, groups: Sequence[_Group]) -> dict[int, _Means]:
    places = {group.key: place for place, group in enumerate(groups)}
    kept = frame.filter(pl.col("group").is_in(list(places)))
    lights = kept["modality"].unique().to_list()
    sums = {light: np.zeros((len(groups), store.info.dim), np.float32) for light in lights}
    squares = {light: np.zeros(len(groups)) for light in lights}
    counts = {light: np.zeros(len(groups)) for light in lights}
    of_row = dict(zip(kept["id"], kept["group"].replace_strict(places), strict=True))
    for rows in store.batches(_READ_AT_ONCE):
        chosen = np.array([of_row.get(row, -1) for row in rows.ids])
        light_of = rows.frame["modality"].to_numpy()
        for light in lights:
            mine = (chosen >= 0) & (light_of == light)
            np.add.at(sums[light], chosen[mine], rows.vectors[mine])
            np.add.at(squares[light], chosen[mine], np.square(rows.vectors[mine]).sum(axis=1))
            np.add.at(counts[light], chosen[mine], 1)
    found = {}
    for light in lights:
        there = np.flatnonzero(counts[light])
        number = counts[light][there]
        found[int(light)] = _Means(
            places=there,
            vectors=(sums[light][there] / number[:, None]).astype(np.float32),
            squares=squares[light][there] / number,
        )
    return found


def _near(one: _Means, other: _Means, distance: Distance) -> Iterator[tuple[int, int, float]]:
    """Places of two groups and the mean distance between their images, the nearest first.

    Of each group, those with its `_NEAREST`.
    """
    same = one is other
    firsts: list[NDArray[np.int64]] = []
    seconds: list[NDArray[np.int64]] = []
    found: list[NDArray[np.float64]] = []
    step = max(1, _COMPARED_AT_ONCE // len(other.places))
    for start in range(0, len(one.places), step):
        part = slice(start, start + step)
        products = one.vectors[part] @ other.vectors.T
        if distance == "euclidean":
            squared = one.squares[part, None] + other.squares[None] - 2 * products
            apart = np.sqrt(np.maximum(squared, 0))
        else:
            apart = -products if distance == "dot" else np.clip(1 - products, 0, 2)
        if same:
            apart[np.arange(len(apart)), start + np.arange(len(apart))] = np.inf
        nearest = min(_NEAREST, apart.shape[1])
        columns = np.argpartition(apart, nearest - 1, axis=1)[:, :nearest]
        firsts.append(np.repeat(one.places[part], nearest))
        seconds.append(other.places[columns.ravel()])
        found.append(np.take_along_axis(apart, columns, axis=1).ravel().astype(np.float64))
    a, b, distances = np.concatenate(firsts), np.concatenate(seconds), np.concatenate(found)
    told: set[tuple[int, int]] = set()
    for place in np.argsort(distances, kind="stable"):
        pair = (int(a[place]), int(b[place]))
        if same:  # it was met from either side
            pair = (min(pair), max(pair))
            if pair in told or not np.isfinite(distances[place]):
                continue
            told.add(pair)
        yield *pair, float(distances[place])
