"""Maintenance of a LanceDB table: compaction, and indexes of the columns that are filtered by."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from lancedb.index import Bitmap, BTree

COLUMNS_INDEXED_FROM = 5_000

_KEPT = timedelta(hours=1)  # readers may still be at an older version
_COLUMN_INDEXES = {
    "id": BTree,
    "pid": BTree,
    "time": BTree,
    "cam": Bitmap,
    "modality": Bitmap,
}
_FORMER = "index.json"
"""Beside it, stores had an index of vectors before they had a scan (scan.py)."""


def make_again(table: Any, folder: Path) -> None:
    """Makes the indexes of rows that are there now: extended ones keep what was removed."""
    _drop_former(table, folder)
    rows = int(table.count_rows())
    for index in table.list_indices():
        if rows:
            (column,) = index.columns
            table.create_index(column, config=_COLUMN_INDEXES[column](), replace=True)
        else:
            table.drop_index(index.name)


def maintain(table: Any, folder: Path) -> str:
    """Compacts, and indexes what pays.

    Returns:
        What was done, in a few words.
    """
    _drop_former(table, folder)
    table.optimize(cleanup_older_than=_KEPT)
    if int(table.count_rows()) < COLUMNS_INDEXED_FROM:
        return "compacted"
    there = {column for index in table.list_indices() for column in index.columns}
    for column, kind in _COLUMN_INDEXES.items():
        if column not in there:
            table.create_index(column, config=kind())
    return "compacted and indexed"


def _drop_former(table: Any, folder: Path) -> None:
    for index in table.list_indices():
        if index.columns[0] not in _COLUMN_INDEXES:
            table.drop_index(index.name)
    (folder / _FORMER).unlink(missing_ok=True)
