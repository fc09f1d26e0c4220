"""What a folder holds: the same rules for every command that looks into one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from stat import S_IFDIR, S_IFMT

from crosslight.data.formats import IMAGE_ENDINGS, advice_for
from crosslight.errors import DataError

SYSTEM_NAMES = frozenset(
    (
        *("$recycle.bin", "@eadir", "__macosx", "desktop.ini", "lost+found"),
        *("system volume information", "thumbs.db"),
    )
)
"""What systems leave behind, in lower case: as hidden as names that begin with a dot."""

_KINDS_TOLD = 6


class PassedOver:
    """Counts the files that were seen and not taken, by their ending."""

    def __init__(self) -> None:
        self._endings: Counter[str] = Counter()

    def __call__(self, path: Path) -> None:
        """Counts a file."""
        self._endings[path.suffix.lower()] += 1

    @property
    def count(self) -> int:
        """Files in all."""
        return self._endings.total()

    def told(self) -> str:
        """E.g. `3 files passed over: .heic 2 (convert them to JPEG), .txt 1`; empty for none."""
        if not self.count:
            return ""
        kinds = sorted(self._endings.items(), key=lambda item: (-item[1], item[0]))
        parts = [_told(ending, count) for ending, count in kinds[:_KINDS_TOLD]]
        rest = sum(count for _, count in kinds[_KINDS_TOLD:])
        parts += [f"others {rest}"] if rest else []
        files = "file" if self.count == 1 else "files"
        return f"{self.count} {files} passed over: {', '.join(parts)}"


def visible_entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, without hidden entries and those that systems leave behind.

    Raises:
        DataError: Not a folder, or one that cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return [
                entry
                for entry in found
                if not entry.name.startswith(".") and entry.name.lower() not in SYSTEM_NAMES
            ]
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be read ({error.strerror}); "
            "expected a folder of images there: check the path and its permissions."
        ) from error


def is_image_name(name: str) -> bool:
    """Whether a file is taken for an image, by its ending."""
    return PurePath(name).suffix.lower() in IMAGE_ENDINGS


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is taken for an image: by its ending, and it is a file, or nobody knows.

    A broken link is an image that cannot be read; a pipe or a device would never end.
    """
    if not is_image_name(entry.name):
        return False
    try:  # of a plain file the folder says so itself, which costs no look at the file
        return entry.is_file() or (entry.is_symlink() and _mode(Path(entry.path)) is None)
    except OSError:
        return True


def images_below(
    folder: Path, *, passed_over: Callable[[Path], None] = lambda _: None
) -> list[Path]:
    """The images in a folder and the folders in it, sorted by path.

    Links to folders are followed; a folder that can be reached in several ways is entered once,
    by the way that comes first.

    Args:
        folder: Where to look.
        passed_over: Told about every other file that is neither hidden nor a system's.

    Raises:
        DataError: Not a folder, or one inside that cannot be read.
    """
    # A link to the folder itself, or up to one that it lies in, would only lead back to it.
    here = folder.resolve()
    entered = {known for place in (here, *here.parents) if (known := identity(place))}
    found = []
    for entry in _files_below(folder, entered):
        if is_image(entry):
            found.append(Path(entry.path))
        else:
            passed_over(Path(entry.path))
    return sorted(found)


def _files_below(folder: Path, entered: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    inside = sorted(visible_entries(folder), key=lambda entry: entry.name)
    folders = [entry for entry in inside if _mode(folder / entry.name) == S_IFDIR]
    yield from (entry for entry in inside if entry not in folders)
    # Links last: of a folder and a link to it, side by side, the folder's own name counts.
    for entry in sorted(folders, key=lambda entry: entry.is_symlink()):
        known = identity(folder / entry.name)
        if known is not None and known in entered:
            continue
        if known is not None:
            entered.add(known)
        yield from _files_below(folder / entry.name, entered)


def _mode(path: Path) -> int | None:
    """File, folder or something else; None where the system does not say."""
    try:
        return S_IFMT(path.stat().st_mode)
    except OSError:
        return None


def identity(path: Path) -> tuple[int, int] | None:
    """What two ways to one file or folder share; None where the system does not say."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _told(ending: str, count: int) -> str:
    advice = advice_for(ending)
    return f"{ending or 'without ending'} {count}" + (f" ({advice})" if advice else "")
