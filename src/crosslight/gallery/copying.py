"""Moves rows from one store to another, and proves that they arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from crosslight.errors import GalleryError
from crosslight.gallery.people.names import names_of
from crosslight.gallery.stores.forgetting import forget_gone
from crosslight.gallery.stores.ledger import KINDS, Ledger
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
    """

    rows: int
    added: int
    others: int
    checksum: str


def copy_rows(
    source: Store, target: Store, *, advance: Callable[[int], None] = lambda _: None
) -> Copied:
    """Copies rows and calibration as they are when it begins, and compares what arrived.

    Names, notes and marks are copied too, as they are when it begins; where both know something
    of one person or camera, the target's stays. Numbers are a store's own: a target that calls one
    otherwise, on rows that only it has, is refused.

    Others may write to the source meanwhile: what they add is left out, and what they remove is
    not in the copy either. A copy that was interrupted goes on where it was. Rows that only the
    target has stay.

    Args:
        source: Not written to.
        target: A store for the same model.
        advance: Told how many rows were copied and compared.

    Raises:
        GalleryError: The stores are of different models, give one number to two people or
            cameras, or what arrived differs.
    """
    if source.info.model != target.info.model:
        raise GalleryError(refusal(target.info, source.info.model))
    _require_one_numbering(source, target)
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
        _keep(known, target.ledger)
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
    )


def _require_one_numbering(source: Store, target: Store) -> None:
    ours, theirs = names_of(source), names_of(target)
    for what, column, here, there in (
        ("Person", "pid", ours.people, theirs.people),
        ("Camera", "cam", ours.cameras, theirs.cameras),
    ):
        clashing = [
            number
            for number in sorted(here.keys() & there.keys())
            if here[number].casefold() != there[number].casefold()
        ]
        if not clashing:
            continue
        rows = target.frame(columns=("id", column)).filter(pl.col(column).is_in(clashing))
        known = source.present(rows["id"].to_list())
        own = rows.filter(~pl.col("id").is_in(list(known)))[column]
        if len(own):
            number = int(own[0])
            raise GalleryError(
                f"{what} {number} is called {here[number]} in {source.location} and "
                f"{there[number]} in {target.location}, which has images of its own of that "
                "number; where both are one, give both the same name, else copy to a new store."
            )


def _keep(known: Mapping[str, Mapping[str, Any]], ledger: Ledger) -> None:
    with ledger.changing() as changes:
        for kind, entries in known.items():
            there = changes.every(kind)
            for name in entries.keys() - there.keys():
                changes.put(kind, name, entries[name])


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
