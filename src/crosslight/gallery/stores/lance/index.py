"""Maintenance of a LanceDB table: compaction, and indexes of the columns that are filtered by.

LanceDB's own compaction writes all fragments of less than a million rows again, however few of
them are new. So it is left for when much is new or many old versions can go; between, the small
fragments that additions make are joined among themselves.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from lancedb.index import Bitmap, BTree

from crosslight.gallery.stores.joining import PARTS_AT_MOST, joined_from

COLUMNS_INDEXED_FROM = 5_000

_KEPT = timedelta(hours=1)  # readers may still be at an older version
_COLUMN_INDEXES = {
    "id": BTree,
    "pid": BTree,
    "time": BTree,
    "cam": Bitmap,
    "modality": Bitmap,
}
OF_FRAGMENT = 32
"""Bits of a row's address below the number of its fragment."""

_LARGEST = 1 << 20
"""Rows of a fragment from which LanceDB leaves it alone."""

_JOINED_AT_MOST = 100_000
"""Rows; more of them are left to LanceDB's compaction, which needs less memory."""

_OLD_AT_MOST = 100
"""Versions that nobody reads any more; in a large table a hundredth of its rows."""

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


def tidy(table: Any, folder: Path) -> None:
    """After a commit: joins fragments where they are many, and takes old versions off the disk.

    Args:
        table: Of which nobody else writes.
        folder: Of the store.
    """
    if _old_versions(folder) > max(_OLD_AT_MOST, int(table.count_rows()) // 100):
        table.optimize(cleanup_older_than=_KEPT)
    if table.stats()["fragment_stats"]["num_fragments"] <= PARTS_AT_MOST:
        return
    rows = table.search().with_row_id(True).select(["_rowid"]).to_arrow().column("_rowid")
    fragments, sizes = np.unique(rows.to_numpy() >> OF_FRAGMENT, return_counts=True)
    full = np.flatnonzero(sizes >= _LARGEST)
    begin = int(full[-1]) + 1 if len(full) else 0
    place = begin + joined_from(sizes[begin:].tolist())
    joined = int(sizes[place:].sum())
    if 2 * joined >= sizes.sum() or joined > _JOINED_AT_MOST:
        table.optimize(cleanup_older_than=_KEPT)
    elif joined:
        where = f"_rowid >= {int(fragments[place]) << OF_FRAGMENT}"
        table.update(where=where, values_sql={"cam": "cam"})


def _old_versions(folder: Path) -> int:
    """How many are so old that they may go."""
    before = time.time() - _KEPT.total_seconds()
    found = 0
    for path in folder.glob("*.lance/_versions/*.manifest"):
        with suppress(FileNotFoundError):
            found += path.stat().st_mtime < before
    return found


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
