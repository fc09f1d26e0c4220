"""Names of people and cameras; rows hold numbers, so that filters stay quick in every store."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from crosslight.data.columns import BLANK, NOBODY
from crosslight.errors import ConfigError
from crosslight.files import file_name
from crosslight.gallery.candidates import Candidate
from crosslight.gallery.stores.ledger import CAMERA, NEXT, PERSON, Changes
from crosslight.gallery.stores.store import Store
from crosslight.types import UNKNOWN_CAM

Kind = Literal["person", "camera"]

LONGEST_NAME = 100
LONGEST_NOTE = 2_000
TRACK_PREFIX = "track:"
"""Before the name of a track; no other name begins with it."""

COLUMN: Mapping[Kind, str] = {PERSON: "pid", CAMERA: "cam"}
_LARGEST: Mapping[Kind, int] = {PERSON: 2**63 - 1, CAMERA: 2**31 - 1}
_NUMBER = re.compile(r"[+-]?[0-9]+")
_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the numbers of a store are called.

    Attributes:
        people: Number to name, of those who have one.
        cameras: Likewise.
    """

    people: Mapping[int, str]
    cameras: Mapping[int, str]

    def person(self, pid: int) -> str:
        """For people to read."""
        return self.people.get(pid, f"person {pid}")

    def camera(self, cam: int) -> str:
        """For people to read."""
        return self.cameras.get(cam, f"cam {cam}")


def place_of(store: Store) -> str:
    """The store as sentences call it, which clients may read: without its folders."""
    return file_name(store.location)


def names_of(store: Store, pids: Iterable[int | None] | None = None) -> Names:
    """The names in a store.

    Args:
        store: The store.
        pids: Whose names are wanted, None among them is nobody; None: everybody's.
    """
    ledger = store.ledger
    people = (
        ledger.every(PERSON)
        if pids is None
        else ledger.get(PERSON, sorted({str(pid) for pid in pids if pid is not None}))
    )
    return Names(people=_called(people), cameras=_called(ledger.every(CAMERA)))


def called_so(entries: Mapping[str, Any], name: str | None) -> dict[int, str]:
    """Who has a name, in any case: numbers, and the name as it is kept; nobody has None.

    Args:
        entries: Of people or of cameras, as a ledger gives them.
        name: As `checked_name` gives it.
    """
    folded = None if name is None else name.casefold()
    return {n: known for n, known in _called(entries).items() if known.casefold() == folded}


def checked_name(text: str) -> str:
    """A name as it is kept: composed characters, single blanks.

    Raises:
        ConfigError: Empty, too long, a number, what tables say for nobody, or with characters that
            nobody can read.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"{text[:LONGEST_NAME]!r} is no name; write 1 to {LONGEST_NAME} characters that can be "
            "read."
        )
    if _NUMBER.fullmatch(name) or name.casefold().startswith(TRACK_PREFIX):
        raise ConfigError(
            f"{name!r} is no name, because it reads as a number or a track; add a word to it."
        )
    if name.casefold() in (*NOBODY, *BLANK):
        raise ConfigError(
            f"{name!r} is no name, because in a table it means that nobody knows; give another one."
        )
    return name


def checked_note(text: str) -> str:
    """A note as it is kept; may be empty.

    Raises:
        ConfigError: Too long, or with characters that nobody can read.
    """
    note = unicodedata.normalize("NFC", text).replace("\r\n", "\n").strip()
    if len(note) > LONGEST_NOTE or not note.replace("\n", " ").replace("\t", " ").isprintable():
        raise ConfigError(
            f"The note has {len(note)} characters; write at most {LONGEST_NOTE} that can be read."
        )
    return note


def number_or_name(text: str, kind: Kind) -> int | str:
    """What a user wrote: the number of a person or a camera, or a name.

    Raises:
        ConfigError: Neither.
    """
    word = text.strip()
    if not _NUMBER.fullmatch(word):
        return checked_name(word)
    number, least = int(word), UNKNOWN_CAM if kind == CAMERA else 0
    if not least <= number <= _LARGEST[kind]:
        raise ConfigError(
            f"--{kind} is {number}; give a number from {least} to {_LARGEST[kind]}, or a name."
        )
    return number


def number_of(store: Store, given: int | str, kind: Kind) -> int:
    """The number behind a number or a name.

    Raises:
        ConfigError: Nobody is called so.
    """
    if isinstance(given, int):
        return given
    entries = store.ledger.every(kind)
    for number in called_so(entries, given):
        return number
    kept = _called(entries).values()
    near = difflib.get_close_matches(given, kept, _LISTED)
    listed = ", ".join(near or sorted(kept)[:_LISTED]) or "none yet"
    whom = "Nobody" if kind == PERSON else "No camera"
    raise ConfigError(
        f"{whom} of {place_of(store)} is called {given!r}; known names are {listed}: give one of "
        "these or a number."
    )


def number_for(
    store: Store, changes: Changes, kind: Kind, name: str | None, taken: Collection[int] = ()
) -> int:
    """The number of a name, a new one where nothing is called so.

    Args:
        store: The store.
        changes: Of its ledger, where a new number is kept.
        kind: What is named.
        name: As `checked_name` gives it; None: a new number for somebody without a name.
        taken: Numbers that are about to be used for others.

    Raises:
        ConfigError: The store has used up its numbers.
    """
    for known in called_so(changes.every(kind), name):
        return known
    number = next_number(store, changes, kind, taken)
    if number > _LARGEST[kind]:
        raise ConfigError(
            f"There is no number above {number - 1} for another {kind}; give smaller numbers to "
            "those of the store."
        )
    changes.put(kind, str(number), {"name": name, "note": "", "made": True})
    changes.put(NEXT, kind, number + 1)
    return number


def next_number(store: Store, changes: Changes, kind: Kind, taken: Collection[int] = ()) -> int:
    """A number above all that are or were in use, as far as the ledger has been told."""
    column = COLUMN[kind]
    there = store.frame(columns=(column,))[column].max()
    following = int(changes.get(NEXT, [kind]).get(kind, 1))
    used = [0, int(str(there or 0)), *map(int, changes.every(kind)), *taken]
    return max(following, 1 + max(used))


def keep_numbers(store: Store, changes: Changes) -> None:
    """Before rows are given to others: whoever has none left leaves a number that nobody gets."""
    changes.put(NEXT, PERSON, next_number(store, changes, PERSON))


def put_name(changes: Changes, kind: Kind, number: int, name: str | None) -> None:
    """Calls somebody or something so; None: by the number again.

    Raises:
        ConfigError: Another one is called so.
    """
    for other, known in called_so(changes.every(kind), name).items():
        if other != number:
            remedy = "merge the two, or " if kind == PERSON else ""
            raise ConfigError(
                f"{kind.capitalize()} {other} is called {known!r} already; {remedy}give "
                "another name."
            )
    entry = changes.get(kind, [str(number)]).get(str(number), {"note": "", "made": False})
    put_entry(changes, kind, number, {**entry, "name": name})


def put_entry(changes: Changes, kind: Kind, number: int, entry: Mapping[str, Any]) -> None:
    """Keeps what is known of a number, or nothing where nothing is."""
    if any(entry.values()):
        changes.put(kind, str(number), dict(entry))
    else:
        changes.drop(kind, str(number))


def numbered(store: Store, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
    """Candidates with numbers in the place of names; new names get numbers that nobody has.

    Where there is a name, nobody else writes to the store until it is closed.

    Raises:
        ConfigError: The store has used up its numbers.
    """
    people = _texts(candidate.pid for candidate in candidates)
    cameras = _texts(candidate.cam for candidate in candidates)
    if not people and not cameras:
        return candidates
    store.begin_writing()
    with store.ledger.changing() as changes:
        taken = {c.pid for c in candidates if isinstance(c.pid, int)}
        pid_of = {n: number_for(store, changes, PERSON, checked_name(n), taken) for n in people}
        taken = {c.cam for c in candidates if isinstance(c.cam, int)}
        cam_of = {n: number_for(store, changes, CAMERA, checked_name(n), taken) for n in cameras}
    return [
        replace(
            candidate,
            pid=pid_of[candidate.pid] if isinstance(candidate.pid, str) else candidate.pid,
            cam=cam_of[candidate.cam] if isinstance(candidate.cam, str) else candidate.cam,
        )
        for candidate in candidates
    ]


def _texts(values: Iterable[int | str | None]) -> list[str]:
    return list(dict.fromkeys(value for value in values if isinstance(value, str)))


def _called(entries: Mapping[str, Any]) -> dict[int, str]:
    return {int(number): value["name"] for number, value in entries.items() if value["name"]}
