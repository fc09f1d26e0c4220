"""One writer at a time in a folder; the system frees the lock when the writer dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

LOCK_NAME = ".writer"
_PAUSE_S = 0.05
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}

_held: set[int] = set()
_is_watching_forks = False


class FolderLock:
    """A lock on a folder, held by a file in it.

    Args:
        folder: Exists.
        name: Of the file.
    """

    def __init__(self, folder: Path, name: str = LOCK_NAME) -> None:
        self._path = folder / name
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Takes the lock; False where this object has it already.

        Raises:
            BlockingIOError: Another process, or another lock of this one, has it.
            OSError: The folder cannot be written, or this user may not write the lock's file.
        """
        if self._descriptor is not None:
            return False
        self._descriptor = self._taken(waits=False)
        return True

    def acquire_when_free(self) -> None:
        """Takes the lock as soon as whoever has it gives it back.

        Raises:
            OSError: The folder cannot be written.
        """
        if self._descriptor is None:
            self._descriptor = self._taken(waits=True)

    def release(self) -> None:
        """Gives the lock back."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor in _held:  # in a forked process it is closed, and perhaps another file's
            _held.discard(descriptor)
            os.close(descriptor)

    def is_in_place(self) -> bool:
        """Whether the lock is held, on the file that is in the folder now."""
        if self._descriptor is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except OSError:
            return False

    def _taken(self, *, waits: bool) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, waits=waits)
        except BaseException as error:  # Ctrl-C while it waits
            os.close(descriptor)
            # Of the lock alone: the file itself may be closed to this user, for good.
            if isinstance(error, OSError) and error.errno in _BUSY:
                raise BlockingIOError(error.errno, error.strerror, str(self._path)) from error
            raise
        _leave_out_of_forks(descriptor)
        return descriptor


def _lock(descriptor: int, *, waits: bool) -> None:
    if sys.platform == "win32":
        import msvcrt

        # Its own way of waiting, LK_LOCK, gives up after ten seconds.
        while True:
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            except OSError as error:
                if not waits or error.errno not in _BUSY:
                    raise
            time.sleep(_PAUSE_S)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))


def _leave_out_of_forks(descriptor: int) -> None:
    """A forked process would hold the lock after the one that took it has died."""
    global _is_watching_forks
    _held.add(descriptor)
    if not _is_watching_forks and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_close_all)
        _is_watching_forks = True


def _close_all() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()
