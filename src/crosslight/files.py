"""Files, and folders, that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from crosslight.errors import ConfigError
from crosslight.locking import LOCK_NAME, FolderLock

EXPORT_CARD = "export.json"
"""What makes a folder an exported model, which is asked where those cannot be opened too."""

_MOST_LINKS = 40


@contextmanager
def written_whole(path: Path, *, mode: int | None = None) -> Iterator[BinaryIO]:
    """A binary file to write that takes the place of `path` when the block ends well.

    The content and then the folder entry reach the disk before the block returns, so that a
    crash leaves either the old file or the new one. If the block fails, or the disk is full, the
    old file stays and nothing is left beside it.

    A symbolic link stays, and what it leads to is replaced. A pipe, a device, or what this process
    itself has open (`/dev/stdout`) is no file to replace: it gets the content when the block ends
    well.

    Args:
        path: The file.
        mode: Who may read and write it; None: what the process usually grants.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    if is_stream(path):
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            _pour(file, path)
        return
    path = followed(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask() if mode is None else mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def followed(path: Path) -> Path:
    """The file that a symbolic link leads to; any other path as it is.

    Raises:
        FileNotFoundError: The link leads into a folder that is not there.
        OSError: It leads to itself.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if not target.parent.is_dir():
        # Not made: it may be of a disk that is not mounted.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target.parent))
    return target


def is_stream(path: Path) -> bool:
    """Whether there is a pipe, a device, or what this process has open, such as its output."""
    if _own_descriptor(path) is not None:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def _pour(file: BinaryIO, path: Path) -> None:
    own = _own_descriptor(path)
    if own is None:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOCTTY", 0))
    else:
        # Opened anew, a file would be written from its start, over what was printed before.
        if sys.stdout is not None:
            sys.stdout.flush()
        descriptor = os.dup(own)
    with os.fdopen(descriptor, "wb") as stream:
        shutil.copyfileobj(file, stream)


def _own_descriptor(path: Path) -> int | None:
    """Which of this process `/dev/stdout`, or another link into Linux's `/proc`, stands for."""
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        if os.path.realpath(path.parent) == f"/proc/{os.getpid()}/fd":
            return int(path.name)
        path = path.parent / path.readlink()
    return None


@contextmanager
def written_together(*paths: Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Files to write that take the places of `paths` when the block ends well; see `written_whole`.

    All of them are complete on the disk before the first takes its place.

    Raises:
        OSError: A folder cannot be written or the disk is full; every old file is still there.
    """
    with ExitStack() as stack:
        files = tuple(stack.enter_context(written_whole(path)) for path in paths)
        yield files
        for file in files:
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def folder_made_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill that takes the name of `folder` when the block ends well.

    A process that is killed meanwhile leaves it beside, hidden, and whoever makes the same folder
    next removes it.

    Args:
        folder: Missing or empty.

    Raises:
        ConfigError: Another process is making it.
        OSError: The folder above cannot be written.
    """
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(part)
    try:
        lock.acquire()
    except BlockingIOError as error:
        raise ConfigError(
            f"Another process is making {folder}; wait until it is done, or give another name."
        ) from error
    try:
        _empty(part)
        yield part
        if folder.is_dir():  # Windows renames onto no folder, not even an empty one
            folder.rmdir()
        lock.release()  # nor one with an open file
        (part / LOCK_NAME).unlink()
        part.rename(folder)
    except BaseException:
        lock.release()
        shutil.rmtree(part, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK_NAME:
            entry.unlink()


def require_place(path: Path) -> None:
    """Makes the folder of a file that is to be written, before the work that leads to it.

    Raises:
        ConfigError: It cannot be made or written, or a folder has that name.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write.")
    if is_stream(path):
        effective = os.access in os.supports_effective_ids
        if not os.access(path, os.W_OK, effective_ids=effective):
            raise ConfigError(
                f"{path} cannot be written ({os.strerror(errno.EACCES)}); let this user write it, "
                "or name another place."
            )
        return
    try:
        path = followed(path)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} is a link into the folder {error.filename}, which is not there; make that "
            "folder, or name another place."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} is a link to itself ({error.strerror}); remove it, or name another place."
        ) from error
    require_folder(path.parent)


def require_folder(folder: Path) -> None:
    """Makes a folder that files are to be written into, before the work that leads to them.

    Raises:
        ConfigError: It cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written ({error.strerror}); make it writable, or name another "
            "place."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text whole or not at all; see `written_whole`."""
    with written_whole(path) as file:
        file.write(text.encode())


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(name: str | Path) -> str:
    r"""A file's name as text that every program can keep: `\xe9` for a byte that is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str | Path) -> bool:
    """Whether a file's name is text; that of an old disk or archive may be other bytes."""
    return printable(name) == str(name)


def file_name(path: str) -> str:
    """The last part of a path: where this machine keeps its files is nobody's business."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _umask() -> int:
    # The mask can only be read by setting it; 0o077 in between keeps others out.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Brings the entries of a folder to the disk, and that others have gone."""
    if os.name == "nt":  # Windows cannot open a folder for syncing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
