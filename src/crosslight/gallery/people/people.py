"""The people of a store: who they are called, whose rows are whose, who cannot be one person.

    people = list_people(store)                      # everybody who has a number
    whom = find(store, "Anna")                       # or "7", or the name of a track
    label(store, ids, "Anna")                        # these rows show Anna, known or new
    merge(store, [find(store, "Anna"), find(store, "walk-1a2b3c-4")])
    split(store, pid, ids)                           # these rows of a person show somebody else
    say_apart(store, one, other)                     # two people, whatever they look like
    describe(store, pid, name="Anna", note="red bag"), name_camera(store, 3, "North")

Every change of rows is planned in the store's ledger first (relabelling.py), so that it is whole
whenever a process is killed. Nothing that was seen in one frame becomes one person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from crosslight.errors import ConfigError
from crosslight.gallery.people.apart import (
    COLUMNS,
    SeenTogether,
    TwoPeopleError,
    keys_of,
    seen_together,
)
from crosslight.gallery.people.names import (
    LONGEST_NOTE,
    TRACK_PREFIX,
    called_so,
    checked_name,
    checked_note,
    keep_numbers,
    names_of,
    number_for,
    number_of,
    number_or_name,
    place_of,
    put_entry,
    put_name,
)
from crosslight.gallery.stores.ledger import APART, PERSON, Changes, digest
from crosslight.gallery.stores.relabelling import finish, plan
from crosslight.gallery.stores.rows import EVERYTHING, Filter
from crosslight.gallery.stores.store import Store
from crosslight.times import text_of


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with a number.

    Attributes:
        pid: The number.
        name: None where nobody gave one.
        note: May be empty.
        rows: Images of this person.
        tracks: Tracks of this person.
        cams: Numbers of the cameras that have seen them, -1 among them where one is unknown.
        first: Smallest time, in seconds; None: no row has one.
        last: Largest time.
        row: Id of an image, the newest one.
    """

    pid: int
    name: str | None
    note: str
    rows: int
    tracks: int
    cams: tuple[int, ...]
    first: float | None
    last: float | None
    row: str


@dataclass(frozen=True, kw_only=True)
class Somebody:
    """A person, or a track of whom nobody knows who it is.

    Attributes:
        pid: Of the person; None for a track.
        track: Of a track; None for a person.
        told: For people to read.
        through: The track by which a person was named; None: by number or name.
    """

    pid: int | None
    track: str | None
    told: str
    through: str | None = field(default=None, compare=False)

    @property
    def written(self) -> str:
        """What `find` takes."""
        return f"{TRACK_PREFIX}{self.track}" if self.pid is None else str(self.pid)


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What became of rows.

    Attributes:
        pid: Whose they are now.
        rows: How many were given to that person.
        said: More that was done, as sentences.
    """

    pid: int
    rows: int
    said: tuple[str, ...] = ()


def list_people(store: Store, where: Filter = EVERYTHING) -> list[Person]:
    """Everybody who has a number: those with a name first, by name, then by number."""
    frame = store.frame(where, columns=("id", "pid", "cam", "time", "track"))
    found = (
        frame.filter(pl.col("pid").is_not_null())
        .sort("time", "id", nulls_last=False)
        .group_by("pid")
        .agg(
            rows=pl.len(),
            tracks=pl.col("track").drop_nulls().n_unique(),
            cams=pl.col("cam").unique().sort(),
            first=pl.col("time").min(),
            last=pl.col("time").max(),
            row=pl.col("id").last(),
        )
    )
    kept = (
        store.ledger.every(PERSON)
        if where.pids is None
        else store.ledger.get(PERSON, map(str, where.pids))
    )
    people = []
    for row in found.iter_rows(named=True):
        entry = kept.get(str(row["pid"]), {})
        told = {"name": entry.get("name"), "note": entry.get("note", "")}
        people.append(Person(**{**row, **told, "cams": tuple(row["cams"])}))
    return sorted(people, key=lambda one: (one.name is None, (one.name or "").casefold(), one.pid))


def find(store: Store, text: str) -> Somebody:
    """Whom a user means: a number, a name, or a track.

    A track whose rows belong to one person means that person; `track:NAME` is always a track.

    Raises:
        ConfigError: Nobody.
    """
    word = text.strip()
    unknown: ConfigError | None = None
    if not word.startswith(TRACK_PREFIX):
        try:
            pid = number_of(store, number_or_name(word, "person"), "person")
        except ConfigError as error:
            unknown = error
        else:
            if not store.count(Filter(pids=frozenset({pid}))):
                raise ConfigError(
                    f"{place_of(store)} has no image of person {pid}; crosslight gallery people "
                    "lists its people."
                )
            return Somebody(pid=pid, track=None, told=names_of(store, [pid]).person(pid))
    name = word.removeprefix(TRACK_PREFIX)
    rows = store.frame(columns=("pid", "track")).filter(pl.col("track") == name)
    if not len(rows):
        raise unknown or ConfigError(
            f"No track of {place_of(store)} is called {name!r}; crosslight gallery list shows them."
        )
    pids = rows["pid"].unique().to_list()
    if len(pids) == 1 and pids[0] is not None:
        pid = int(pids[0])
        told = names_of(store, [pid]).person(pid)
        return Somebody(pid=pid, track=None, told=told, through=name)
    return Somebody(pid=None, track=name, told=f"track {name}")


def describe(store: Store, pid: int, *, name: str | None = None, note: str | None = None) -> None:
    """Gives a person a name or a note; an empty text takes it away, None leaves it.

    Raises:
        ConfigError: No such person, another one has this name, or no name.
    """
    called = checked_name(name) if name else None
    noted = None if note is None else checked_note(note)
    with store.ledger.changing() as changes:
        # Inside, so that a removal either comes before, or forgets the name as well.
        if not store.count(Filter(pids=frozenset({pid}))):
            raise ConfigError(
                f"{place_of(store)} has no image of person {pid}; label one first: crosslight "
                "gallery label."
            )
        if name is not None:
            _free(store, changes, pid, called)
            put_name(changes, "person", pid, called)
        if noted is not None:
            entry = changes.get(PERSON, [str(pid)]).get(str(pid), {"name": None, "made": False})
            put_entry(changes, "person", pid, {**entry, "note": noted})


def name_camera(store: Store, cam: int, name: str) -> None:
    """Gives a camera a name; an empty one takes it away.

    Raises:
        ConfigError: Another camera has this name, or no name.
    """
    if cam < 0:
        raise ConfigError(f"Camera {cam} stands for cameras that nobody knows; it has no name.")
    called = checked_name(name) if name else None
    with store.ledger.changing() as changes:
        put_name(changes, "camera", cam, called)


def rows_of(store: Store, whom: Somebody) -> pl.DataFrame:
    """What `apart` must know of somebody's rows.

    Raises:
        ConfigError: Of a track whose rows are of several people.
    """
    if whom.pid is not None:
        return store.frame(Filter(pids=frozenset({whom.pid}))).select(COLUMNS)
    rows = store.frame(columns=COLUMNS).filter(
        (pl.col("track") == whom.track) & pl.col("pid").is_null()
    )
    if not len(rows):
        raise ConfigError(f"{whom.told} shows several people; name one of them.")
    return rows


def label(store: Store, ids: Sequence[str], person: int | str) -> Changed:
    """Says who is on rows; from whom they were taken, and what that withdraws, is in the answer.

    Args:
        store: The store.
        ids: Of the rows.
        person: A number, or a name: a new name is a new person.

    Raises:
        ConfigError: No such row, or a name that is none.
        TwoPeopleError: They were seen in one frame with this person, or with each other.
        StoreBusyError: Another process writes.
    """
    whom = checked_name(person) if isinstance(person, str) else person
    with _Writing(store):
        rows = _rows(store, ids)
        known = whom if isinstance(whom, int) else _known(store, whom)
        theirs = rows.clear()
        if known is not None:
            theirs = store.frame(Filter(pids=frozenset({known}))).select(COLUMNS)
        _require_one_person(store, pl.concat([rows, theirs]).unique("id", maintain_order=True))
        others = rows.filter(pl.col("pid").is_not_null() & pl.col("pid").ne_missing(known))
        said = _taken(store, others)
        gone = others.filter(pl.col("pid").is_in(_left_without(store, others)))
        with store.ledger.changing() as changes:
            pid = known if known is not None else number_for(store, changes, "person", str(whom))
            keep_numbers(store, changes)
            plan(changes, rows.filter(pl.col("pid").ne_missing(pid))["id"].to_list(), pid)
            tracks = rows.with_columns(pl.lit(pid, pl.Int64).alias("pid"))
            _withdraw(changes, keys_of(pl.concat([tracks, theirs, gone])), said)
        finish(store)
        _forget_empty(store, gone["pid"].unique().sort().to_list(), said)
        moved = int(rows["pid"].ne_missing(pl.Series([pid])).sum())
        return Changed(pid=pid, rows=moved, said=tuple(said))


def merge(store: Store, all_of: Sequence[Somebody]) -> Changed:
    """Makes several people one: the first who has a number, else a new one without a name.

    The name is that of the first who has one; other names and all notes go into its note.

    Raises:
        ConfigError: Fewer than two, or a track of somebody who has other images.
        TwoPeopleError: Two of them were seen in one frame.
        StoreBusyError: Another process writes.
    """
    different = {(one.pid, one.track): one for one in all_of}
    if len(different) < 2:
        raise ConfigError("Merging takes two people or more; name another person or track.")
    by_name = {one.pid for one in all_of if one.through is None}
    with _Writing(store):
        for one in all_of:
            if one.pid not in by_name:
                _require_whole(store, one)
        parts = [rows_of(store, one) for one in different.values()]
        rows = pl.concat(parts)
        _require_one_person(store, rows)
        pids = [one.pid for one in different.values() if one.pid is not None]
        said: list[str] = []
        with store.ledger.changing() as changes:
            pid = pids[0] if pids else number_for(store, changes, "person", None)
            keep_numbers(store, changes)
            plan(changes, rows.filter(pl.col("pid").ne_missing(pid))["id"].to_list(), pid)
            _join_entries(changes, pid, pids, said)
            _join_apart(changes, pid, rows, said)
        finish(store)
    return Changed(pid=pid, rows=int(rows["pid"].ne_missing(pl.Series([pid])).sum()), said=(*said,))


def split(store: Store, pid: int, ids: Sequence[str], person: int | str | None = None) -> Changed:
    """Takes rows away from a person; they are kept for two people from then on.

    Args:
        store: The store.
        pid: The person.
        ids: Of their rows, not all of them.
        person: Whose the rows are, as in `label`; None: somebody new, without a name.

    Raises:
        ConfigError: Rows of others, all rows, or the same person.
        TwoPeopleError: The rows were seen in one frame with that other person.
        StoreBusyError: Another process writes.
    """
    whom = checked_name(person) if isinstance(person, str) else person
    with _Writing(store):
        rows = _rows(store, ids)
        others = rows.filter(pl.col("pid").ne_missing(pid))
        if len(others):
            raise ConfigError(
                f"{len(others)} of these {len(rows)} images are not of person {pid}; name images "
                "or tracks of that person."
            )
        if len(rows) == store.count(Filter(pids=frozenset({pid}))):
            raise ConfigError(
                f"These are all images of person {pid}; name some of them, or rename the person."
            )
        known = whom if isinstance(whom, int) else None if whom is None else _known(store, whom)
        if known == pid:
            raise ConfigError(f"These images are of person {pid} already; name another person.")
        # As if nobody knew them, for what was together before may come apart.
        bare = rows.with_columns(pl.lit(None, pl.Int64).alias("pid"))
        theirs = bare.clear()
        if known is not None:
            theirs = store.frame(Filter(pids=frozenset({known}))).select(COLUMNS)
        _require_one_person(store, pl.concat([bare, theirs]))
        with store.ledger.changing() as changes:
            goal = known
            if goal is None:
                goal = number_for(store, changes, "person", whom if isinstance(whom, str) else None)
            plan(changes, rows["id"].to_list(), goal)
            said: list[str] = []
            _withdraw(changes, keys_of(pl.concat([bare, theirs])), said)
            _put_apart(changes, f"p:{pid}", f"p:{goal}")
        finish(store)
        return Changed(pid=goal, rows=len(rows), said=tuple(said))


def say_apart(store: Store, one: Somebody, other: Somebody) -> None:
    """Keeps that two are two people: they are not proposed for merging.

    Raises:
        ConfigError: They are the same.
    """
    if one == other:
        raise ConfigError(f"{one.told} is one person already; split them, or name two.")
    with store.ledger.changing() as changes:
        _put_apart(changes, *(_key(whom) for whom in (one, other)))


class _Writing:
    """Holds the store for one change, after what was cut off before it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.begin_writing()
        try:
            finish(self._store)
        except BaseException:
            self._store.end_writing()
            raise

    def __exit__(self, *_: object) -> None:
        self._store.end_writing()


def _rows(store: Store, ids: Sequence[str]) -> pl.DataFrame:
    found = store.labels(ids).select(COLUMNS)
    missing = sorted(set(ids) - set(found["id"].to_list()))
    if missing or not ids:
        what = f"no row {missing[0]!r}" if missing else "nothing to say it of"
        raise ConfigError(f"{place_of(store)} has {what}; crosslight gallery list shows its rows.")
    return found.sort("id")


def _require_whole(store: Store, whom: Somebody) -> None:
    """Refuses a track by which somebody with other images would be merged as well."""
    theirs = store.frame(Filter(pids=frozenset({whom.pid or 0})), columns=("track",))["track"]
    others = int(theirs.ne_missing(pl.Series([whom.through])).sum())
    if others:
        raise ConfigError(
            f"Track {whom.through} is of {whom.told}, who has {others} other "
            f"image{'' if others == 1 else 's'}, and nothing was changed; split the track off "
            f"first, with crosslight gallery split, or name {whom.told} to merge all of these."
        )


def _free(store: Store, changes: Changes, pid: int, name: str | None) -> None:
    """Takes a name from whoever has lost all images since, to another table for one."""
    for other in called_so(changes.every(PERSON), name):
        if other != pid and not store.count(Filter(pids=frozenset({other}))):
            changes.drop(PERSON, str(other))


def _known(store: Store, name: str) -> int | None:
    return next(iter(called_so(store.ledger.every(PERSON), name)), None)


def _require_one_person(store: Store, rows: pl.DataFrame) -> None:
    found = seen_together(store, rows)
    if found is not None:
        raise TwoPeopleError(_two_people(store, found, rows))


def _two_people(store: Store, found: SeenTogether, rows: pl.DataFrame) -> str:
    names = names_of(store)
    whom = []
    for group, track in zip((found.first, found.second), found.tracks, strict=True):
        kind, _, name = group.partition(":")
        whom.append(f"{names.person(int(name))} (track {track})" if kind == "p" else track)
    seen = rows.filter(pl.col("track") == found.tracks[0]).row(0, named=True)
    where = "" if seen["cam"] < 0 else f" of {names.camera(seen['cam'])}"
    when = "" if seen["time"] is None else f" about {text_of(seen['time'])}"
    return (
        f"{whom[0]} and {whom[1]} were seen in one frame{where}{when}: they are two people, and "
        "nothing was changed. Where a track is of somebody else, split it off first: crosslight "
        "gallery split."
    )


def _key(whom: Somebody) -> str:
    return f"t:{whom.track}" if whom.pid is None else f"p:{whom.pid}"


def _put_apart(changes: Changes, first: str, second: str) -> None:
    pair = sorted((first, second))
    changes.put(APART, digest(*pair), {"pair": pair})


def _join_entries(changes: Changes, pid: int, pids: Sequence[int], said: list[str]) -> None:
    """Names and notes of those who become one."""
    wanted = dict.fromkeys(map(str, [pid, *pids]))
    found = changes.get(PERSON, wanted)
    entries = {int(one): found.get(one) for one in wanted}
    kept = [entry for entry in entries.values() if entry]
    names = [entry["name"] for entry in kept if entry["name"]]
    notes = [entry["note"] for entry in kept if entry["note"]]
    notes += [f"also called {name}" for name in names[1:]]
    note = "\n".join(dict.fromkeys(notes))
    if len(note) > LONGEST_NOTE:
        raise ConfigError(
            f"The notes of these people have {len(note)} characters together, {LONGEST_NOTE} are "
            "kept; shorten one first."
        )
    if names[1:]:
        said.append(f"The note says that {names[0]} is also called {', '.join(names[1:])}.")
    ours = entries[pid]
    for other in entries:
        if other != pid:
            changes.drop(PERSON, str(other))
    put_entry(
        changes,
        "person",
        pid,
        {
            "name": names[0] if names else None,
            "note": note,
            "made": ours is not None and ours["made"],
        },
    )


def _join_apart(changes: Changes, pid: int, rows: pl.DataFrame, said: list[str]) -> None:
    """What was said of those who become one is said of the one; what contradicts is withdrawn."""
    ours = keys_of(rows)
    _withdraw(changes, ours, said)
    for name, entry in changes.every(APART).items():
        inside = ours.intersection(entry["pair"])
        if inside:
            changes.drop(APART, name)
            (other,) = set(entry["pair"]) - inside
            _put_apart(changes, f"p:{pid}", other)


def _withdraw(changes: Changes, keys: set[str], said: list[str]) -> None:
    """Of those who become one, nobody is kept for two people any more."""
    both = [n for n, entry in changes.every(APART).items() if keys.issuperset(entry["pair"])]
    for name in both:
        changes.drop(APART, name)
    if both:
        said.append("It had been said that these are different people; that is withdrawn.")


def _taken(store: Store, rows: pl.DataFrame) -> list[str]:
    """From whom rows are taken, a sentence each."""
    counts = rows.group_by("pid").len().sort("pid").rows()
    names = names_of(store, [pid for pid, _ in counts])
    return [
        f"{count} image{'s were' if count > 1 else ' was'} taken from {names.person(pid)}."
        for pid, count in counts
    ]


def _left_without(store: Store, rows: pl.DataFrame) -> list[int]:
    """Whose rows these are all."""
    counts = rows.group_by("pid").len().rows()
    return [pid for pid, count in counts if count == store.count(Filter(pids=frozenset({pid})))]


def _forget_empty(store: Store, gone: Sequence[int], said: list[str]) -> None:
    """Of people all of whose rows were given to others, nothing is kept."""
    if not gone:
        return
    with store.ledger.changing() as changes:
        entries, apart = changes.get(PERSON, map(str, gone)), changes.every(APART)
        for pid in gone:
            entry = entries.get(str(pid), {})
            kept = [name for name, other in apart.items() if f"p:{pid}" in other["pair"]]
            changes.drop(PERSON, str(pid))
            for name in kept:
                changes.drop(APART, name)
            forgotten = [
                *(["the name"] if entry.get("name") else []),
                *([f"the note ({entry['note']})"] if entry.get("note") else []),
                *(["from whom they were kept apart"] if kept else []),
            ]
            if forgotten:
                whom = entry.get("name") or f"Person {pid}"
                said.append(f"{whom} has no image left; forgotten: {', '.join(forgotten)}.")
