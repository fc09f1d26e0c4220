"""One writer at a time, and files that are on the disk when we say so."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

from crosslight.errors import GalleryError
from crosslight.gallery.complaints import sentence

LOCK = ".writer"
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}


class WriterLock:
    """Keeps other processes from writing to a store; the system frees it when a process dies.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Takes the lock; False where this object has it already.

        Raises:
            GalleryError: Another process writes, or the folder cannot be written.
        """
        if self._file is not None:
            return False
        try:
            file = self._path.open("ab")
        except OSError as error:
            raise GalleryError(sentence(str(self._path.parent), error)) from error
        try:
            _lock(file)
        except OSError as error:
            file.close()
            if error.errno not in _BUSY:
                raise GalleryError(sentence(str(self._path.parent), error)) from error
            raise GalleryError(
                f"Another process is writing to {self._path.parent}; wait until it is done."
            ) from error
        self._file = file
        return True

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def sync_new(folder: Path, known: set[str]) -> set[str]:
    """Brings every file below a folder that is not `known` to the disk, and the folders of them.

    Args:
        folder: Searched to the bottom.
        known: Relative paths that were synced before; files never change after they are written.

    Returns:
        All relative paths, for the next call.
    """
    found: set[str] = set()
    changed: set[str] = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)  # noqa: PTH118  thousands of files: strings are quick
            found.add(path)
            if path not in known and _synced(path):
                changed.add(place)
    if os.name != "nt":  # Windows cannot open a folder for syncing
        # A new folder's own entry is in the one above it.
        for place in {above for p in changed for above in (p, os.path.dirname(p))}:  # noqa: PTH120
            _synced(place)
    return found


def _synced(path: str) -> bool:
    """False where the file has gone meanwhile: maintenance removes old versions."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def _lock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
