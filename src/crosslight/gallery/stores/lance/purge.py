"""Takes what was removed from a LanceDB table out of its files.

LanceDB marks removed rows in a list of deletions and leaves them where they are, in older versions
and in the newest; it moves the others away from them only where they are many. Here the rows beside
them are written again, whatever their number, and no older version stays.
"""

from __future__ import annotations

import re
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

from crosslight.errors import GalleryError
from crosslight.gallery.stores.lance.index import OF_FRAGMENT, make_again

_DELETIONS = "_deletions"
_FRAGMENT = re.compile(r"(\d+)-\d+-\d+\.(?:arrow|bin)")
_ROUNDS = 3


def purge(table: Any, folder: Path) -> None:
    """Takes every row out of the files that is in no result any more, and every older version.

    Whoever reads an older version meanwhile must ask again.

    Args:
        table: Of which nobody else writes.
        folder: Of the store.

    Raises:
        GalleryError: LanceDB leaves some of it.
    """
    for _ in range(_ROUNDS):
        # The newest version would say which rows the removal named.
        table.delete("1 = 0")
        _without_older(table, folder)
        fragments = _with_removed(folder)
        if not fragments:
            break
        for fragment in fragments:
            first, end = fragment << OF_FRAGMENT, (fragment + 1) << OF_FRAGMENT
            where = f"_rowid >= {first} AND _rowid < {end}"
            table.update(where=where, values_sql={"cam": "cam"})
    else:
        raise GalleryError(
            f"The rows are removed, and no search finds them, but files of {folder} still hold "
            "some; copy the store with crosslight gallery copy, and remove this one's folder."
        )
    if table.list_indices():
        make_again(table, folder)
        for _ in range(2):  # what an index was before is an older version too
            _without_older(table, folder)


def _without_older(table: Any, folder: Path) -> None:
    _clean(table)
    # LanceDB spares versions of a time to come, which a clock that was set back leaves.
    spared = [path for path, version in _versions(folder).items() if version < table.version]
    for path in spared:
        path.unlink()
    if spared:
        _clean(table)


def _clean(table: Any) -> None:
    with warnings.catch_warnings():
        # It warns of readers; they ask again.
        warnings.simplefilter("ignore", UserWarning)
        table.optimize(cleanup_older_than=timedelta(0), delete_unverified=True)


def _versions(folder: Path) -> dict[Path, int]:
    """The files that describe a version, and its number, which newer names count backwards."""
    found = folder.glob("*.lance/_versions/*.manifest")
    numbers = {path: int(path.stem) for path in found if path.stem.isdigit()}
    return {path: n if n < 2**63 else 2**64 - 1 - n for path, n in numbers.items()}


def _with_removed(folder: Path) -> list[int]:
    """Fragments that hold rows which are removed."""
    found: set[int] = set()
    for path in folder.glob(f"*.lance/{_DELETIONS}/*"):
        name = _FRAGMENT.fullmatch(path.name)
        if name is None:
            raise GalleryError(
                f"{path} has a name that this crosslight does not know; update crosslight, and "
                "run the same command again."
            )
        found.add(int(name[1]))
    return sorted(found)
