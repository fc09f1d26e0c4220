"""Gives rows another person, whole: what is cut off is finished by whoever comes next.

What is to be done is in the ledger before the first row changes, together with the names that it
brings; it is taken out after the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from crosslight.gallery.stores.complaints import StoreClosedError
from crosslight.gallery.stores.ledger import MOVE, Changes, digest
from crosslight.gallery.stores.rows import COLUMNS, Rows
from crosslight.gallery.stores.store import Store
from crosslight.gallery.stores.writing import StoreBusyError

ROWS_AT_ONCE = 1_000


def plan(changes: Changes, ids: Sequence[str], pid: int | None) -> None:
    """Decides that rows are to have a person; `finish` gives it to them.

    Args:
        changes: Of the store's ledger.
        ids: Of the rows.
        pid: The person; None: nobody knows who it is.
    """
    for start in range(0, len(ids), ROWS_AT_ONCE):
        part = list(ids[start : start + ROWS_AT_ONCE])
        changes.put(MOVE, digest(*part), {"ids": part, "pid": pid})


def finish(store: Store) -> None:
    """Does what is planned.

    Raises:
        StoreBusyError: Another process writes.
    """
    planned = store.ledger.every(MOVE)
    if not planned:
        return
    store.begin_writing()
    # Whoever was writing may have finished it.
    for move in store.ledger.every(MOVE).values():
        _give(store, move)
    with store.ledger.changing() as changes:
        for name in planned:
            changes.drop(MOVE, name)


def finish_what_was_cut_off(store: Store) -> None:
    """As `finish`; a process that is at it is left alone, and so is a store that is only read."""
    if store.ledger.every(MOVE):
        try:
            finish(store)
        except (StoreBusyError, StoreClosedError):
            pass
        finally:
            store.end_writing()


def _give(store: Store, move: dict[str, Any]) -> None:
    rows = store.get(move["ids"])
    person = pl.lit(move["pid"], COLUMNS["pid"]).alias("pid")
    if len(rows.frame.filter(pl.col("pid").ne_missing(person))):
        store.update(Rows(frame=rows.frame.with_columns(person), vectors=rows.vectors))
