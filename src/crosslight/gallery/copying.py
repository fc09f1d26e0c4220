"""Moves rows from one store to another, and proves that they arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from crosslight.errors import GalleryError
from crosslight.gallery.people.names import COLUMN, Kind
from crosslight.gallery.stores.forgetting import forget_gone
from crosslight.gallery.stores.ledger import CAMERA, KINDS, MARK, NEXT, PERSON, TRACK
from crosslight.gallery.stores.rows import Rows
from crosslight.gallery.stores.store import RemovedMeanwhileError, Store, refusal

BATCH = 1_000
TOLERANCE = 2.0**-10
"""Largest difference of a vector's number: what half precision may lose of a number below 1,
relative to the vector's largest number."""

_BEGUN_ANEW = 3


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A copy that was verified.

    Attributes:
        rows: In the source, all of them now in the target.
        added: Those that had not been there before.
        others: Rows that only the target has.
        checksum: Of everything but the vectors, the same on both sides; hexadecimal.
        said: Names and notes that differed, as sentences.
    """

    rows: int
    added: int
    others: int
    checksum: str
    said: tuple[str, ...] = ()


def copy_rows(
    source: Store, target: Store, *, advance: Callable[[int], None] = lambda _: None
) -> Copied:
    """Copies rows and calibration as they are when it begins, and compares what arrived.

    Names, notes and marks are copied too, as they are when it begins. A name or a note of which
    the target has another is taken, unless the target has rows of its own of that number; of two
    marks the newer one counts; tracks that were seen together are known from both. Numbers are a
    store's own: a target whose own rows may be of another person or camera with the same number,
    or that calls another number so, is refused.

    Others may write to the source meanwhile: what they add is left out, and what they remove is
    not in the copy either. A copy that was interrupted goes on where it was. Rows that only the
    target has stay.

    Args:
        source: Not written to.
        target: A store for the same model.
        advance: Told how many rows were copied and compared.

    Raises:
        GalleryError: The stores are of different models, give one number or one name to two
            people or cameras, or what arrived differs.
    """
    if source.info.model != target.info.model:
        raise GalleryError(refusal(target.info, source.info.model))
    own = _own_numbers(source, target)
    said: tuple[str, ...] = ()
    digests: dict[str, bytes] = {}
    added = 0
    for again in range(_BEGUN_ANEW + 1):
        known = {kind: entries for kind in KINDS if (entries := source.ledger.every(kind))}
        try:
            for rows in source.batches(BATCH):
                if again:  # labels may have changed since these were copied
                    target.update(rows.take(_places(rows, digests)))
                added += target.add(rows)
                digests.update(_compared(rows, source, target))
                advance(len(rows))
            break
        except RemovedMeanwhileError:
            if again == _BEGUN_ANEW:
                raise
    if known:
        said = tuple(_keep(known, target, own))
    gone = digests.keys() - set(source.frame(columns=("id",))["id"])
    if gone:
        target.remove_ids(sorted(gone))
        for row in gone:
            del digests[row]
    elif known:  # of people who were removed before a row of theirs was copied
        target.begin_writing()
        forget_gone(target)
    if source.info.calibration and not target.info.calibration:
        target.set_calibration(source.info.calibration)
    count = len(digests)
    # A sum, because the two sides may give their rows in different orders.
    total = sum(int.from_bytes(digest, "big") for digest in digests.values())
    return Copied(
        rows=count,
        added=added - len(gone),
        others=target.count() - count,
        checksum=f"{total % 2**256:064x}",
        said=said,
    )


def _own_numbers(source: Store, target: Store) -> dict[str, set[int]]:
    """Numbers of people and of cameras of which the target has rows that the source has not.

    Raises:
        GalleryError: One of them, or a name, may be of somebody else in the source.
    """
    columns = ("id", *COLUMN.values())
    here, there = source.frame(columns=columns), target.frame(columns=columns)
    alone, both = there.join(here, on="id", how="anti"), there.join(here, on="id")
    own: dict[str, set[int]] = {}
    for kind, column in COLUMN.items():
        ours, theirs = source.ledger.every(kind), target.ledger.every(kind)
        own[kind] = set(alone[column].drop_nulls().to_list())
        # A row that both have has brought its number with it.
        brought = both.filter(pl.col(column) == pl.col(f"{column}_right"))[column].to_list()
        seen = set(here[column].drop_nulls().to_list())
        for number in sorted((own[kind] & (seen | set(map(int, ours)))).difference(brought)):
            one, other = (entries.get(str(number), {}) for entries in (ours, theirs))
            if not _is_one(one, other):
                raise GalleryError(
                    f"{kind.capitalize()} {number} is {_called(one)} in {source.location} and "
                    f"{_called(other)} in {target.location}, which has images of its own of that "
                    "number; where both are one, give both the same name, else copy to a new store."
                )
        if kind == PERSON:  # whose images have gone since has no name
            ours = {number: entry for number, entry in ours.items() if int(number) in seen}
            seen |= set(there[column].drop_nulls().to_list())
            theirs = {number: entry for number, entry in theirs.items() if int(number) in seen}
        united = {
            number: _united(kind, entry, theirs.get(number, {}), int(number) in own[kind])
            for number, entry in ours.items()
        }
        _require_one_number(kind, {**theirs, **united}, target)
    return own


def _is_one(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a number of two stores is of one, as far as what they keep of it says."""
    names = [entry.get("name") for entry in (one, other)]
    if all(names):
        return len({name.casefold() for name in names if name}) == 1
    # Numbers that no store has made up are those of the data, and mean the same in both.
    return not any(names) and not any(entry.get("made") for entry in (one, other))


def _called(entry: Mapping[str, Any]) -> str:
    return f"called {entry['name']}" if entry.get("name") else "without a name"


def _require_one_number(kind: Kind, entries: Mapping[str, Any], target: Store) -> None:
    holders: dict[str, str] = {}
    for number, entry in entries.items():
        name = entry["name"]
        holder = holders.setdefault(name.casefold(), number) if name else number
        if holder != number:
            raise GalleryError(
                f"{name} would be the name of {kind} {holder} and of {kind} {number} in "
                f"{target.location}; give one of them another name, or copy to a new store."
            )


def _keep(
    known: Mapping[str, Mapping[str, Any]], target: Store, own: Mapping[str, Container[int]]
) -> list[str]:
    """Unites what both know; gives what differed, as sentences."""
    said: list[str] = []
    with target.ledger.changing() as changes:
        for kind, entries in known.items():
            there = changes.every(kind)
            for name, entry in entries.items():
                if name not in there:
                    changes.put(kind, name, entry)
                elif entry != there[name]:
                    is_own = kind in (PERSON, CAMERA) and int(name) in own[kind]
                    united = _united(kind, entry, there[name], is_own)
                    said += _differences(kind, name, entry, there[name], united)
                    changes.put(kind, name, united)
    return [f"{sentence} in {target.location}." for sentence in said]


def _united(kind: str, ours: Any, theirs: Any, is_own: bool) -> Any:
    """What is kept where source and target differ.

    Args:
        kind: As in ledger.py.
        ours: Of the source.
        theirs: Of the target.
        is_own: Of a person or a camera: whether the target has rows of its own of that number.
    """
    if kind in (PERSON, CAMERA):
        taken = {k: v for k, v in ours.items() if v and not (is_own and theirs.get(k))}
        return {"name": None, "note": "", "made": False, **theirs, **taken}
    if kind == TRACK:
        return {**ours, "beside": sorted({*ours["beside"], *theirs["beside"]})}
    if kind == MARK:
        return max(theirs, ours, key=lambda mark: str(mark["marked_at"]))
    return max(ours, theirs) if kind == NEXT else theirs


def _differences(kind: str, name: str, ours: Any, theirs: Any, united: Any) -> Iterable[str]:
    """Sentences, without their end, about a name and a note that both have and that differ."""
    if kind not in (PERSON, CAMERA):
        return
    whom = f"{kind.capitalize()} {name}"
    if _differ("name", ours, theirs):
        left = theirs if united["name"] == ours["name"] else ours
        yield f"{whom} is called {united['name']} and not {left['name']}"
    if _differ("note", ours, theirs):
        whose = "the source's note now" if united["note"] == ours["note"] else "its own note still"
        yield f"{whom} has {whose}"


def _differ(what: str, ours: Any, theirs: Any) -> bool:
    return bool(ours.get(what) and theirs.get(what) and ours[what] != theirs[what])


def _places(rows: Rows, among: Container[str]) -> list[int]:
    return [place for place, row in enumerate(rows.ids) if row in among]


def _compared(rows: Rows, source: Store, target: Store) -> Iterable[tuple[str, bytes]]:
    """The digest of each row, the same on both sides."""
    arrived = target.get(rows.ids)
    if arrived.ids != rows.ids:
        missing = sorted(set(rows.ids) - set(arrived.ids))
        raise GalleryError(
            f"{len(missing)} rows of {source.location} are not in {target.location}, "
            f"{missing[0]} for one; run the same command again."
        )
    digests = _digests(rows)
    if digests != _digests(arrived):
        raise GalleryError(
            f"Rows of {target.location} differ from those with the same ids in "
            f"{source.location}; remove them there, or copy to a new store."
        )
    scale = np.abs(rows.vectors).max(axis=1, initial=1.0)
    if (np.abs(rows.vectors - arrived.vectors).max(axis=1, initial=0) > TOLERANCE * scale).any():
        raise GalleryError(
            f"Vectors of {target.location} differ from those with the same ids in "
            f"{source.location}; remove them there, or copy to a new store."
        )
    return zip(rows.ids, digests, strict=True)


def _digests(rows: Rows) -> list[bytes]:
    return [hashlib.sha256(repr(row).encode()).digest() for row in rows.frame.iter_rows()]
