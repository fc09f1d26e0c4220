"""Moves rows from one store to another, and proves that they arrived."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crosslight.errors import GalleryError
from crosslight.gallery.rows import Rows
from crosslight.gallery.store import Store, refusal

BATCH = 1_000
TOLERANCE = 2.0**-10
"""Largest difference of a vector's number: what half precision may lose of a number below 1,
relative to the vector's largest number."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A copy that was verified.

    Attributes:
        rows: In the source, all of them now in the target.
        added: Those that had not been there before.
        checksum: Of everything but the vectors, the same on both sides; hexadecimal.
    """

    rows: int
    added: int
    checksum: str


def copy_rows(
    source: Store, target: Store, *, advance: Callable[[int], None] = lambda _: None
) -> Copied:
    """Copies rows and calibration, then reads both sides and compares them.

    A copy that was interrupted goes on where it was. Rows that only the target has stay.

    Args:
        source: Not written to, and must not be written to by others meanwhile.
        target: A store for the same model.
        advance: Told how many rows were copied or compared.

    Raises:
        GalleryError: The stores are of different models, or what arrived differs.
    """
    if source.info.model != target.info.model:
        raise GalleryError(refusal(target.info, source.info.model))
    added = 0
    for rows in source.batches(BATCH):
        added += target.add(rows)
        advance(len(rows))
    if source.info.calibration and not target.info.calibration:
        target.set_calibration(source.info.calibration)
    count, checksum = _compare(source, target, advance)
    return Copied(rows=count, added=added, checksum=checksum)


def _compare(source: Store, target: Store, advance: Callable[[int], None]) -> tuple[int, str]:
    count = 0
    total = 0
    for rows in source.batches(BATCH):
        arrived = target.get(rows.ids)
        if arrived.ids != rows.ids:
            missing = sorted(set(rows.ids) - set(arrived.ids))
            raise GalleryError(
                f"{len(missing)} rows of {source.location} are not in {target.location}, "
                f"{missing[0]} for one; run the same command again."
            )
        if _digest(rows) != _digest(arrived):
            raise GalleryError(
                f"Rows of {target.location} differ from those with the same ids in "
                f"{source.location}; remove them there, or copy to a new store."
            )
        scale = np.abs(rows.vectors).max(axis=1, initial=1.0)
        if (
            np.abs(rows.vectors - arrived.vectors).max(axis=1, initial=0) > TOLERANCE * scale
        ).any():
            raise GalleryError(
                f"Vectors of {target.location} differ from those with the same ids in "
                f"{source.location}; remove them there, or copy to a new store."
            )
        count += len(rows)
        # A sum, because the two sides may give their rows in different orders.
        total += sum(_digests(rows))
        advance(len(rows))
    return count, f"{total % 2**256:064x}"


def _digest(rows: Rows) -> int:
    return sum(_digests(rows))


def _digests(rows: Rows) -> list[int]:
    return [
        int.from_bytes(hashlib.sha256(repr(row).encode()).digest(), "big")
        for row in rows.frame.iter_rows()
    ]
