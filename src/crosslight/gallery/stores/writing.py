"""One writer at a time, and files that are on the disk when we say so."""

from __future__ import annotations

import os
from pathlib import Path

from crosslight.errors import GalleryError
from crosslight.gallery.stores.complaints import complaint
from crosslight.locking import FolderLock


class StoreBusyError(GalleryError):
    """Another process writes to the store."""


class WriterLock:
    """Keeps other processes from writing to a store; the system frees it when a process dies.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, FolderLock(folder)

    def acquire(self) -> bool:
        """Takes the lock; False where this object has it already.

        Raises:
            StoreBusyError: Another process writes.
            StoreClosedError: This user may not write to the folder.
            GalleryError: The folder cannot be written.
        """
        try:
            return self._lock.acquire()
        except BlockingIOError as error:
            raise StoreBusyError(
                f"Another process is writing to {self._folder}; wait until it is done."
            ) from error
        except OSError as error:
            raise complaint(str(self._folder), error) from error

    def release(self) -> None:
        """Gives the lock back."""
        self._lock.release()


def sync_new(folder: Path, known: set[str]) -> set[str]:
    """Brings every file below a folder that is not `known` to the disk, and the folders of them.

    Args:
        folder: Searched to the bottom.
        known: Relative paths that were synced before; files never change after they are written.

    Returns:
        All relative paths, for the next call.
    """
    found = files_below(folder)
    changed = {os.path.dirname(path) for path in found - known if _synced(path)}  # noqa: PTH120
    if os.name != "nt":  # Windows cannot open a folder for syncing
        # A new folder's own entry is in the one above it.
        for place in {above for p in changed for above in (p, os.path.dirname(p))}:  # noqa: PTH120
            _synced(place)
    return found


def files_below(folder: Path) -> set[str]:
    """As `sync_new`, where all of them are on the disk already."""
    return {
        os.path.join(place, name)  # noqa: PTH118  thousands of files: strings are quick
        for place, _, names in os.walk(folder)
        for name in names
    }


class SyncedVersion:
    """Says, beside a store, up to which version its files are on the disk.

    It need not reach the disk itself: where it is missing or older, all files are synced again.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "synced"

    def is_of(self, version: str | None) -> bool:
        """Whether it says so of this one."""
        try:
            return version is not None and self._path.read_text(encoding="utf-8") == version
        except (OSError, ValueError):
            return False

    def write(self, version: str | None) -> None:
        """After its files were synced.

        Raises:
            OSError: The disk fails or is full.
        """
        part = self._path.with_name(".synced.part")
        part.write_text(version or "", encoding="utf-8")
        part.replace(self._path)


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
