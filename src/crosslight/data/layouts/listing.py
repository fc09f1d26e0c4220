"""Folders and list files, read in an order that no file system changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from crosslight.data.folders import is_image, visible_entries
from crosslight.errors import DataError
from crosslight.files import is_utf8, printable

SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class ListedImage:
    """One line `<path> <label>` of a list file.

    Attributes:
        path: With forward slashes, as listed.
        label: The number behind it.
        where: File and line, for messages.
    """

    path: str
    label: int
    where: str

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name


def listed(names: Sequence[object], shown: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - shown
    text = ", ".join(str(name) for name in names[:shown])
    return f"{text} and {rest} more" if rest > 0 else text


def counted(names: Sequence[object], one: str, many: str, shown: int = SHOWN) -> str:
    """How many and the first of them, e.g. `2 people (3, 7)`."""
    return f"{len(names)} {one if len(names) == 1 else many} ({listed(names, shown)})"


def entries(folder: Path) -> list[str]:
    """Sorted names in a folder, without hidden ones and those that systems leave behind.

    Raises:
        DataError: Not a folder, or one that cannot be read.
    """
    return sorted(entry.name for entry in visible_entries(folder))


def image_names(folder: Path) -> list[str]:
    """Sorted names of the image files in a folder, told by their ending.

    A link that leads nowhere is an image that cannot be read, as one of git-annex that was not
    fetched.

    Raises:
        DataError: Not a folder, or one that cannot be read; or a name that no table can hold.
    """
    names = sorted(entry.name for entry in visible_entries(folder) if is_image(entry))
    unheld = [printable(name) for name in names if not is_utf8(name)]
    if unheld:
        raise DataError(
            f"In {printable(folder)} there are names that are no UTF-8, which no table can hold: "
            f"{counted(unheld, 'image', 'images')}; rename them (convmv -t utf8), or unpack the "
            "data set again."
        )
    return names


def first_image(folder: Path) -> str | None:
    """The first image name of a folder, if there is one; never raises."""
    try:
        return next(iter(image_names(folder)), None)
    except DataError:
        return None


def person_folders(folder: Path) -> list[tuple[int, str]]:
    """(pid, name) of the folders named by a number, sorted by number; the others are ignored.

    Raises:
        DataError: Not a folder, or one that cannot be read.
    """
    return sorted(
        (int(entry.name), entry.name)
        for entry in visible_entries(folder)
        if entry.name.isascii() and entry.name.isdigit() and (folder / entry.name).is_dir()
    )


def listed_images(path: Path) -> list[ListedImage]:
    """The lines `<path> <label>` of a list file, in their order.

    Raises:
        DataError: Missing, not text, empty, or a line that does not parse.
    """
    found = []
    for number, line in text_lines(path):
        name, _, label = line.rpartition(" ")
        name = name.strip().replace("\\", "/").removeprefix("./").lstrip("/")
        try:
            found.append(ListedImage(path=name, label=int(label), where=f"{path} line {number}"))
            if not name:
                raise ValueError
        except ValueError:
            raise DataError(
                f"{path} line {number} is {line!r}, expected `<path> <number>`; "
                "copy the list again from the data set's archive."
            ) from None
    if not found:
        raise DataError(f"{path} lists no image; copy the list again from the data set's archive.")
    return found


def text_lines(path: Path) -> list[tuple[int, str]]:
    """(number from 1, text) of the lines that are not blank, stripped.

    Raises:
        DataError: Missing or not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(
            f"The list {path} is missing; it belongs to the data set: copy it from its archive."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"The list {path} cannot be read as text ({error}); copy it again from its archive."
        ) from error
    lines = [line.strip().replace("\t", " ") for line in text.splitlines()]
    return [(number, line) for number, line in enumerate(lines, start=1) if line]


def require_listed(root: Path, paths: Iterable[str], listing: Path) -> None:
    """Makes sure that every listed image is on disk; reads each folder once.

    Raises:
        DataError: Some are not; the first are named.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        pure = PurePosixPath(path)
        by_folder[str(pure.parent)].append(pure.name)
    missing = []
    for folder, names in by_folder.items():
        present = _names(root / folder)
        missing += [f"{folder}/{name}" for name in names if name not in present]
    if missing:
        raise DataError(
            f"Listed in {listing} but not under {root}: {counted(missing, 'image', 'images')}; "
            "unpack the data set again, completely."
        )


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError:
        return set()
