"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from crosslight.errors import ConfigError


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write that takes the place of `path` when the block ends well.

    The content and then the folder entry reach the disk before the block returns, so that a
    crash leaves either the old file or the new one. If the block fails, or the disk is full, the
    old file stays and nothing is left beside it.

    Raises:
        OSError: The folder cannot be written or the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


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


def require_place(path: Path) -> None:
    """Makes the folder of a file that is to be written, before the work that leads to it.

    Raises:
        ConfigError: It cannot be made or written, or a folder has that name.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file to write.")
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


def printable(name: str | Path) -> str:
    r"""A file's name as text that every program can keep: `\xe9` for a byte that is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _umask() -> int:
    # The mask can only be read by setting it; 0o077 in between keeps others out.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for syncing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
