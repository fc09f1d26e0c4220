"""Names that look alike and are spelt differently: `ü` as one character, or as u and two dots.

Spreadsheets write the first, macOS names files by the second, and Linux takes both for different
names.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from crosslight.data.folders import identity


def as_on_disk(root: Path, paths: Iterable[str]) -> list[str]:
    """The paths as the disk spells them; those that lead nowhere in any spelling as they are.

    Args:
        root: Folder that the paths are relative to.
        paths: With forward slashes.
    """
    names = lru_cache(maxsize=None)(_names)
    return [_found(root, path, names) for path in paths]


def same_files(root: Path, paths: Iterable[str]) -> list[list[str]]:
    """Paths that lead to one file, by groups of two or more, in their order.

    `a.jpg`, `./a.jpg`, a link to it and another name of the same content on the disk are one
    file; a path that is given twice counts twice.
    """
    groups: dict[object, list[str]] = {}
    for path in paths:
        place = root / path
        groups.setdefault(identity(place) or os.path.normpath(place), []).append(path)
    return [group for group in groups.values() if len(group) > 1]


def _found(root: Path, path: str, names: Callable[[Path], dict[str, str]]) -> str:
    if path.isascii() or os.path.lexists(root / path):
        return path
    place, parts = root, []
    for part in path.split("/"):
        spelt = part
        if not part.isascii() and not os.path.lexists(place / part):
            spelt = names(place).get(unicodedata.normalize("NFC", part), part)
        parts.append(spelt)
        place = place / spelt
    found = "/".join(parts)
    return found if os.path.lexists(root / found) else path


def _names(folder: Path) -> dict[str, str]:
    try:
        return {unicodedata.normalize("NFC", path.name): path.name for path in folder.iterdir()}
    except OSError:
        return {}
