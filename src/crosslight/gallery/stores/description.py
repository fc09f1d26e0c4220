"""The description of a store that lives in a folder: `store.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crosslight.errors import GalleryError
from crosslight.files import folder_made_whole, write_text
from crosslight.gallery.stores.complaints import complaint, told
from crosslight.gallery.stores.store import StoreInfo

NAME = "store.json"
LITE_FILE = "rows.db"
"""In the folder of a Milvus Lite store, which describes itself there."""


def write_description(folder: Path, kind: str, info: StoreInfo) -> None:
    """Writes the description whole or not at all."""
    content = {"kind": kind, **info.to_plain()}
    write_text(folder / NAME, json.dumps(content, indent=2) + "\n")


class NoStoreError(GalleryError):
    """Nothing is there yet.

    Args:
        location: Where a store was looked for.
    """

    def __init__(self, location: str | Path) -> None:
        taken = ""
        with suppress(OSError):
            taken = _what_stands_at(Path(location))
        super().__init__(
            f"{location} is {taken}, not a store; check the name, or make a store of another name "
            "with crosslight gallery create."
            if taken
            else f"There is no store at {location}; make one with crosslight gallery create "
            f"{location} --model RUN."
        )


def read_description(folder: Path) -> tuple[str, StoreInfo]:
    """Kind and info of the store in a folder.

    Raises:
        NoStoreError: There is no store.
        GalleryError: Its description is damaged.
    """
    path = folder / NAME
    _require_text(folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        kind = content.pop("kind")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoStoreError(folder) from error
    except OSError as error:
        raise complaint(str(path), error) from error
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise GalleryError(
            f"{path} is damaged ({error}); put back the whole folder from a copy, or create the "
            "store again."
        ) from error
    return kind, StoreInfo.from_plain(content, where=str(folder))


class ReplacedError(GalleryError):
    """Another model's store has taken the place of one that is open."""


class Description:
    """The description of an open store, as it stands on the disk now; see `StoreInfo`.

    Args:
        folder: Of the store.
        kind: What the store must be.

    Raises:
        GalleryError: There is no store, it is of another kind, or its description is damaged.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._last = self._state(), self._read()

    @property
    def info(self) -> StoreInfo:
        """What it says now; what it said last, while it is gone or damaged: `Store.check` tells.

        Raises:
            ReplacedError: See there.
        """
        if self._state() not in (None, self._last[0]):
            try:
                return self.read()
            except ReplacedError:
                raise
            except GalleryError:
                pass
        return self._last[1]

    def read(self) -> StoreInfo:
        """What it says now.

        Raises:
            GalleryError: As above, or another model's store has taken its place.
        """
        state, info = self._state(), self._read()
        if _fixed(info) != _fixed(self._last[1]):
            raise ReplacedError(
                f"Another model's store has taken the place of {self._folder} since it was opened; "
                "put the old one back, or open it again."
            )
        self._last = state, info
        return info

    def write(self, change: Callable[[StoreInfo], StoreInfo]) -> None:
        """Changes what it says, whole or not at all, where nobody else writes.

        Raises:
            GalleryError: As `read`.
            OSError: It cannot be written.
        """
        write_description(self._folder, self._kind, change(self.read()))

    def _read(self) -> StoreInfo:
        kind, info = read_description(self._folder)
        if kind != self._kind:
            raise GalleryError(f"{self._folder} is a store of the kind {kind}, not {self._kind}.")
        return info

    def _state(self) -> tuple[int, ...] | None:
        try:
            found = (self._folder / NAME).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _fixed(info: StoreInfo) -> tuple[object, ...]:
    return info.model, info.dim, info.distance


@contextmanager
def new_folder(folder: Path, *engine: type[Exception]) -> Iterator[Path]:
    """The folder of a new store, to be filled; it has its name when the block has ended well.

    Args:
        folder: Of the store.
        engine: What the store's engine raises.

    Raises:
        GalleryError: As `require_new`, or the disk or the engine fails.
    """
    require_new(folder)
    with told(str(folder), *engine), folder_made_whole(folder) as part:
        yield part


def require_new(folder: Path) -> None:
    """Makes the folder of a new store, empty.

    Raises:
        GalleryError: Something is there already, or it would lie inside another store.
    """
    _require_text(folder)
    with told(str(folder)):
        taken = _what_stands_at(folder)
        if taken:
            raise GalleryError(f"{folder} is {taken}; give the new store another name.")
        outer = store_around(folder)
        if outer is not None:
            raise GalleryError(
                f"{folder} would lie inside the store {outer}, whose removals it would outlive; "
                "name a place elsewhere."
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise GalleryError(
                f"{folder} cannot be made ({error.strerror}); choose a folder that you may write."
            ) from error


def store_around(path: Path) -> Path | None:
    """The store that a path lies inside, if it does."""
    for folder in Path(os.path.realpath(path)).parents:
        if (folder / NAME).is_file() or (folder / LITE_FILE).is_dir():
            return folder
    return None


def _what_stands_at(place: Path) -> str:
    """In words, where a new store cannot be made because of it; else nothing.

    Raises:
        OSError: It cannot be looked at.
    """
    if place.is_dir():
        return "a folder that is not empty" if any(place.iterdir()) else ""
    if place.is_symlink() and not place.exists():
        return "a link to what is not there"
    return "a file" if place.exists() else ""


def _require_text(folder: Path) -> None:
    """LanceDB and polars take no names that are not UTF-8."""
    with told(str(folder)):
        str(folder).encode()
