"""The mark of a removal under way: whoever comes next finishes one that was cut off."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from crosslight.errors import GalleryError
from crosslight.files import sync_folder, write_text

NAME = "removal.json"
CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What must go, said in either way.

    Attributes:
        ids: Of the rows.
        where: What is true of them, in the words of the store's engine; None: the ids say it.
    """

    ids: tuple[str, ...] = ()
    where: str | None = None


def mark(folder: Path, going: Mark) -> None:
    """Before anything is removed from a store's folder."""
    write_text(folder / NAME, json.dumps({"ids": going.ids, "where": going.where}) + "\n")


def marked(folder: Path) -> Mark | None:
    """The removal that is under way, or was cut off; None where none is.

    Raises:
        GalleryError: Something else stands there.
    """
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ids, where = content["ids"], content.get("where")
        if not isinstance(ids, list) or not isinstance(where, str | None):
            raise TypeError(f"ids is {ids!r}, where is {where!r}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise GalleryError(
            f"{path} says that a removal was cut off, but not of which rows ({error}); delete "
            "that file, and remove the rows once more."
        ) from error
    return Mark(ids=tuple(map(str, ids)), where=where)


def tell_changed(folder: Path) -> None:
    """After rows were removed or replaced, for those who keep all in memory; see `state_of`."""
    write_text(folder / CHANGED, uuid.uuid4().hex + "\n")


def state_of(folder: Path) -> tuple[int, int] | None:
    """What is another after every removal or change; None before the first one."""
    try:
        found = (folder / CHANGED).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def sweep(folder: Path) -> None:
    """Removes what killed processes left half-written, where nobody else writes.

    It lies under names that nobody reads: ours end with `.part`, LanceDB's begin with `.tmp`.
    """
    for left in (*folder.rglob(".*.part"), *folder.rglob(".tmp*")):
        left.unlink()
        sync_folder(left.parent)


def unmark(folder: Path) -> None:
    """After the rows are gone, where nobody else writes: the rest of them goes first."""
    sweep(folder)  # the rows may stand in what it finds
    (folder / NAME).unlink()
    sync_folder(folder)
