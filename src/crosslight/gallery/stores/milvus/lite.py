"""A Milvus Lite file: opened after any kill, and let go of by the last who closes it.

What killed processes leave, and Milvus Lite itself stumbles over, was found by killing a process at
each of its touches of the disk (milvus-lite 3.2.2): an index that is half written is read as it is
and refuses the whole collection; a log whose rows stand in their file already is read once more, so
that they are counted twice; a folder without a description of its collection keeps a new one of
that name from being made.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import numpy as np
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

from crosslight.errors import GalleryError
from crosslight.gallery.stores.complaints import told
from crosslight.locking import FolderLock

_LOCK = "LOCK"  # Milvus Lite's own, held by whoever has the file open
_DESCRIPTION = "schema.json"
_LOG = re.compile(r"wal_(?:data|delta)_(\d+)\.arrow")

_users: Counter[str] = Counter()
_users_guard = Lock()


class LiteClient(MilvusClient):  # type: ignore[misc]
    """Speaks to a Milvus Lite file, which other processes can open after `close`.

    Args:
        file: Of Milvus Lite, which is a folder; made where there is none.
        passing: Collections that only a removal makes or drops: without their description they
            are half made or half dropped, and go.

    Raises:
        GalleryError: Another process has the file open, the disk fails, or the folder cannot be
            written.
    """

    def __init__(self, file: Path, passing: Iterable[str] = ()) -> None:
        self._used = os.path.abspath(file)  # noqa: PTH100  as Milvus Lite names what it has open
        self._uses = False
        with _users_guard:
            if not _users[self._used]:
                _mend(file, passing)
            _users[self._used] += 1
            self._uses = True
        try:
            super().__init__(self._used)
        except BaseException:
            self._let_go()
            raise

    def close(self) -> None:
        """Ends the connection; a second call does nothing."""
        if self._uses:
            super().close()
            self._let_go()

    def _let_go(self) -> None:
        """Milvus Lite by itself keeps a file open until its process ends."""
        with _users_guard:
            self._uses = False
            _users[self._used] -= 1
            if not _users[self._used]:
                server_manager_instance.release_server(self._used)


def _mend(file: Path, passing: Iterable[str]) -> None:
    """Clears away what a killed process left."""
    collections = file / "collections"
    if not collections.is_dir():
        return
    lock = FolderLock(file, _LOCK)
    with told(str(file.parent)):
        try:
            lock.acquire()
        except BlockingIOError as error:
            raise GalleryError(
                f"Another process has {file.parent} open, and a Milvus Lite store is for one at a "
                "time; wait until it has ended, or use a .lance store."
            ) from error
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
