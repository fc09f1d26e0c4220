"""Locks on folders, also as Windows keeps them: its module `msvcrt` over Linux's own locks."""

import errno
import fcntl
import os
import sys
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from crosslight.locking import LOCK_NAME, FolderLock
from tests.last_resort import HANG_S
from tests.unprivileged import as_nobody

TRIES = 10


class Windows(SimpleNamespace):
    """`msvcrt`, whose LK_LOCK gives up after ten tries, here without their seconds."""

    LK_LOCK, LK_NBLCK = 1, 2

    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.often_refused = Event()

    def locking(self, descriptor: int, mode: int, size: int) -> None:
        assert size == 1
        for _ in range(TRIES if mode == self.LK_LOCK else 1):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self.refused += 1
                if self.refused > TRIES:
                    self.often_refused.set()
        code = errno.EDEADLK if mode == self.LK_LOCK else errno.EACCES
        raise OSError(code, "The region is locked.")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    made = Windows()
    monkeypatch.setitem(sys.modules, "msvcrt", made)
    monkeypatch.setattr("crosslight.locking.sys", SimpleNamespace(platform="win32"))
    return made


def test_windows_waits_longer_than_its_own_lock_would(tmp_path: Path, windows: Windows) -> None:
    holder, waiter = FolderLock(tmp_path), FolderLock(tmp_path)
    holder.acquire()
    waits = Thread(target=waiter.acquire_when_free)
    waits.start()
    assert windows.often_refused.wait(HANG_S)
    holder.release()
    waits.join()
    with pytest.raises(BlockingIOError):
        holder.acquire()
    waiter.release()
    assert holder.acquire()


def test_windows_tells_other_faults_at_once(
    tmp_path: Path, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(descriptor: int, mode: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(windows, "locking", broken)
    with pytest.raises(OSError, match="Input/output error"):
        FolderLock(tmp_path).acquire_when_free()


def test_on_windows_too_a_lock_that_is_held_is_busy(tmp_path: Path, windows: Windows) -> None:
    FolderLock(tmp_path).acquire()
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path).acquire()


def test_a_file_that_is_closed_to_this_user_is_not_busy(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).touch(mode=0o400)
    lock = FolderLock(tmp_path)
    with as_nobody(), pytest.raises(PermissionError):
        lock.acquire()
    with as_nobody(), pytest.raises(PermissionError):
        lock.acquire_when_free()


def test_a_lock_is_in_place_as_long_as_its_file_is(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert not lock.is_in_place()
    lock.acquire()
    assert lock.is_in_place()
    (tmp_path / LOCK_NAME).unlink()
    assert not lock.is_in_place()
    (tmp_path / LOCK_NAME).touch()
    assert not lock.is_in_place()
    lock.release()
    assert not lock.is_in_place()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows forks no process; nothing to test")
def test_a_forked_process_that_gives_the_lock_back_closes_no_other_file(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    child = os.fork()
    if not child:
        try:
            own = os.open(tmp_path / LOCK_NAME, os.O_RDONLY)  # of the lock's number, free here
            lock.release()
            os.fstat(own)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(BlockingIOError):
        FolderLock(tmp_path).acquire()
