"""The people of a store: who they are called, and whose rows are whose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from crosslight.commands.gallery.filter import filter_from
from crosslight.errors import ConfigError
from crosslight.files import printable
from crosslight.gallery.options import WhereOrWho
from crosslight.gallery.people.names import (
    Names,
    names_of,
    number_of,
    number_or_name,
)
from crosslight.gallery.people.people import (
    Changed,
    Person,
    describe,
    find,
    list_people,
    name_camera,
    say_apart,
)
from crosslight.gallery.people.people import label as give
from crosslight.gallery.people.people import merge as join
from crosslight.gallery.people.people import split as take
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.rows import Filter
from crosslight.gallery.stores.store import Store
from crosslight.times import text_of


def people(store: str, *, as_json: bool) -> None:
    """Prints everybody."""
    with open_store(store) as opened:
        found, names = list_people(opened), names_of(opened)
        unknown = opened.frame(columns=("pid", "track")).filter(pl.col("pid").is_null())
        tracks = unknown["track"].drop_nulls().n_unique()
    if as_json:
        told = [
            {**asdict(one), "cameras": [names.cameras.get(cam) for cam in one.cams]}
            for one in found
        ]
        unknowns = {"rows": len(unknown), "tracks": tracks}
        print(json.dumps({"people": told, "unknown": unknowns}))
        return
    for one in found:
        print(line_of(one, names))
    nobody = f"; {len(unknown)} images of {tracks} tracks show nobody known" if len(unknown) else ""
    print(f"{len(found)} people{nobody}.")


def line_of(person: Person, names: Names) -> str:
    """What is known of a person."""
    seen = ", ".join(names.camera(cam) for cam in person.cams if cam >= 0)
    parts = [f"{_count(person.rows, 'image')}"]
    if person.tracks:
        parts.append(_count(person.tracks, "track"))
    if seen:
        parts.append(seen)
    if person.first is not None and person.last is not None:
        ends = dict.fromkeys([text_of(person.first), text_of(person.last)])
        parts.append(" to ".join(ends))
    note = f"  ({person.note.replace(chr(10), '; ')})" if person.note else ""
    return f"{person.pid:>6}  {person.name or '-'}  {', '.join(parts)}{note}"


def label(
    store: str, person: str, *, ids: Sequence[str], tracks: Sequence[str], meant: WhereOrWho
) -> None:
    """Says who is on rows.

    Raises:
        ConfigError: Not said which rows, or no such row.
    """
    whom = number_or_name(person, "person")
    with open_store(store) as opened:
        chosen = _chosen(opened, ids, tracks, meant)
        _tell(opened, give(opened, chosen, whom))


def person(store: str, person: str, *, name: str | None, note: str | None) -> None:
    """Names a person, keeps a note, shows what is known."""
    with open_store(store) as opened:
        whom = number_of(opened, number_or_name(person, "person"), "person")
        if name is not None or note is not None:
            describe(opened, whom, name=name, note=note)
        found = list_people(opened, Filter(pids=frozenset({whom})))
        if not found:
            raise ConfigError(
                f"{store} has no image of person {whom}; crosslight gallery people lists its "
                "people."
            )
        print(line_of(found[0], names_of(opened)))


def camera(store: str, camera: str, *, name: str) -> None:
    """Names a camera."""
    with open_store(store) as opened:
        cam = number_of(opened, number_or_name(camera, "camera"), "camera")
        name_camera(opened, cam, name)
        print(f"Camera {cam} is {names_of(opened, ()).camera(cam)}.")


def merge(store: str, people: Sequence[str]) -> None:
    """Makes several people one."""
    with open_store(store) as opened:
        _tell(opened, join(opened, [find(opened, printable(one)) for one in people]))


def split(
    store: str, person: str, *, ids: Sequence[str], tracks: Sequence[str], to: str | None
) -> None:
    """Takes rows away from a person."""
    goal = None if to is None else number_or_name(to, "person")
    with open_store(store) as opened:
        whom = number_of(opened, number_or_name(person, "person"), "person")
        chosen = _chosen(opened, ids, tracks, WhereOrWho(), of=whom)
        _tell(opened, take(opened, whom, chosen, goal))


def apart(store: str, first: str, second: str) -> None:
    """Keeps that two are two people."""
    with open_store(store) as opened:
        one, other = find(opened, printable(first)), find(opened, printable(second))
        say_apart(opened, one, other)
        print(f"{one.told} and {other.told} are kept as two people.")


def _chosen(
    store: Store,
    ids: Sequence[str],
    tracks: Sequence[str],
    meant: WhereOrWho,
    *,
    of: int | None = None,
) -> list[str]:
    """Ids of rows.

    Args:
        store: The store.
        ids: Those with these ids.
        tracks: Or those of these tracks.
        meant: Which of them; where neither is given, of all.
        of: Of this person alone, where tracks are named.

    Raises:
        ConfigError: Nothing is said, or no row fits.
    """
    if not ids and not tracks and not meant.is_said:
        raise ConfigError(
            "Say which rows: with --id, with --track, or with filters such as --camera."
        )
    if ids and (tracks or meant.is_said):
        raise ConfigError("Say which rows in one way: with --id alone, or with the others.")
    if ids:
        return [printable(one) for one in ids]
    where = filter_from(meant, store)
    rows = store.frame(where).select("id", "pid", "track")
    named = [printable(track) for track in tracks]
    if named:
        missing = sorted(set(named) - set(rows["track"].drop_nulls().to_list()))
        if missing:
            raise ConfigError(
                f"{store.location} has no row of the track {missing[0]!r} that fits; crosslight "
                "gallery list shows tracks."
            )
        rows = rows.filter(pl.col("track").is_in(named))
    if of is not None:
        rows = rows.filter(pl.col("pid") == of)
    if not len(rows):
        raise ConfigError(f"No row of {store.location} fits; crosslight gallery list shows them.")
    return rows["id"].to_list()


def _tell(store: Store, changed: Changed) -> None:
    names = names_of(store, [changed.pid])
    whom = names.person(changed.pid)
    number = f" (person {changed.pid})" if changed.pid in names.people else ""
    total = store.count(Filter(pids=frozenset({changed.pid})))
    for sentence in changed.said:
        print(sentence)
    print(f"{_count(changed.rows, 'image')} given to {whom}{number}, who now has {total}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
