"""What a killed process leaves in a Milvus Lite file that Milvus Lite itself stumbles over.

Found by killing a process at each of its touches of the disk (milvus-lite 3.2.2): an index that is
half written is read as it is and refuses the whole collection; a log whose rows stand in their file
already is read once more, so that they are counted twice; a folder without a description of its
collection keeps a new one of that name from being made.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from crosslight.gallery.complaints import told
from crosslight.locking import FolderLock

_LOCK = "LOCK"  # Milvus Lite's own, held by whoever has the file open
_DESCRIPTION = "schema.json"
_LOG = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")


def mend(file: Path, passing: Iterable[str] = ()) -> None:
    """Clears away what a killed process left; does nothing while any process has the file open.

    Args:
        file: Of Milvus Lite, which is a folder.
        passing: Collections that only a removal makes or drops: without their description they
            are half made or half dropped, and go.

    Raises:
        GalleryError: The disk fails, or the folder cannot be written.
    """
    collections = file / "collections"
    if not collections.is_dir():
        return
    lock = FolderLock(file, _LOCK)
    with told(str(file.parent)):
        try:
            lock.acquire()
        except BlockingIOError:
            return
        try:
            for name in passing:
                folder = collections / name
                if folder.is_dir() and not (folder / _DESCRIPTION).exists():
                    shutil.rmtree(folder)
            for folder in collections.iterdir():
                _without_logs_that_are_done(folder)
                _without_half_written_indexes(folder)
        finally:
            lock.release()


def _without_logs_that_are_done(collection: Path) -> None:
    try:
        manifest = json.loads((collection / "manifest.json").read_text(encoding="utf-8"))
        in_use = int(manifest["active_wal_number"])
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return  # nothing is in files yet, or Milvus Lite says what is wrong
    for path in (collection / "wal").glob("*.arrow"):
        named = _LOG.fullmatch(path.name)
        if named and int(named[1]) < in_use:
            path.unlink()


def _without_half_written_indexes(collection: Path) -> None:
    """Milvus Lite makes those that are missing again, from the rows."""
    for path in collection.glob("partitions/*/indexes/*.idx"):
        try:
            np.load(path, mmap_mode="r", allow_pickle=False)  # compares the sizes, reads nothing
        except (ValueError, EOFError):
            path.unlink()
