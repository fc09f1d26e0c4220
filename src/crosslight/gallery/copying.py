"""Moves rows from one store to another, and proves that they arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

import numpy as np

from crosslight.errors import GalleryError
from crosslight.gallery.ledger import KINDS, Ledger
from crosslight.gallery.rows import Rows
from crosslight.gallery.store import RemovedMeanwhileError, Store, refusal

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

    Names, notes and marks are copied too, as they are when the rows have arrived; where both know
    something of one person or camera, the target's stays.

    Others may write to the source meanwhile: what they add is left out, and what they remove is
    not in the copy either. A copy that was interrupted goes on where it was. Rows that only the
    target has stay.

    Args:
        source: Not written to.
        target: A store for the same model.
        advance: Told how many rows were copied and compared.

    Raises:
        GalleryError: The stores are of different models, or what arrived differs.
    """
    if source.info.model != target.info.model:
        raise GalleryError(refusal(target.info, source.info.model))
    digests: dict[str, bytes] = {}
    added = 0
    for again in range(_BEGUN_ANEW + 1):
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
    _copy_ledger(source.ledger, target.ledger)
    gone = digests.keys() - set(source.frame(columns=("id",))["id"])
    if gone:
        target.remove_ids(sorted(gone))
        for row in gone:
            del digests[row]
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


def _copy_ledger(source: Ledger, target: Ledger) -> None:
    known = {kind: entries for kind in KINDS if (entries := source.every(kind))}
    if known:
        with target.changing() as changes:
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
