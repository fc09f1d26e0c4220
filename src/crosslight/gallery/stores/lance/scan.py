"""The flat scan beside a LanceDB table: whether it is of the newest version, and its upkeep.

The writer carries it along with each commit. Where it was left behind (a writer was killed, another
program wrote, a part of the folder was put back) the next commit builds it again; until then, and
where anything of it is damaged, searches compare with the whole table.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crosslight.gallery.stores.lance import flat_scan, scan_files
from crosslight.gallery.stores.lance.flat_scan import FlatScan
from crosslight.gallery.stores.lance.scan_codes import is_possible
from crosslight.gallery.stores.lance.scan_files import Halves, NoScanError, StaleError
from crosslight.gallery.stores.rows import COLUMNS, Filter, Hit, Rows, Vectors
from crosslight.gallery.stores.store import StoreInfo

FOLDER = "scan"

SCANNED_FROM = 1_000
"""Rows from which a scan is kept. Measured there, with 512 numbers each, a search takes a quarter
of the processor time that the table takes; below, nobody waits for either."""

VECTOR = "vector"
_AT_ONCE = 8_192


class Versions:
    """Tells one state of a LanceDB table from every other.

    Args:
        table: Folder of the table.
    """

    def __init__(self, table: Path) -> None:
        self._folder = table / "_versions"
        self._last: tuple[str, str, tuple[int, ...], str] | None = None

    def stamp(self) -> str | None:
        """Digest of the newest manifest; None where it cannot be told.

        A manifest names the files of its version, and their names are never used again.
        """
        # Asked before every search, and the folder may hold thousands of versions.
        if self._last is not None:
            path, following, seen, digest = self._last
            with suppress(OSError):
                if not os.path.exists(following) and _seen(path) == seen:  # noqa: PTH110  quick
                    return digest
        try:
            number = max(_number(path.name) for path in self._folder.iterdir())
            path, following = self._manifest(number), self._manifest(number + 1)
            seen = _seen(path)
            digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        except (OSError, ValueError):
            return None
        self._last = path, following, seen, digest
        return digest

    def place(self) -> str | None:
        """As `stamp`, of these very files: in a copy of the folder it is another."""
        digest = self.stamp()
        if digest is None or self._last is None:
            return None
        return " ".join(map(str, (digest, *self._last[2])))

    def _manifest(self, number: int) -> str:
        return str(self._folder / f"{_LARGEST - number:020}.manifest")


_LARGEST = 2**64 - 1


def _seen(path: str) -> tuple[int, ...]:
    found = os.stat(path)  # noqa: PTH116  quick
    return found.st_ino, found.st_size, found.st_mtime_ns


def _number(name: str) -> int:
    """Of the version with this manifest; -1 for another file."""
    stem, _, ending = name.partition(".")
    return _LARGEST - int(stem) if ending == "manifest" and stem.isdecimal() else -1


class ScanBeside:
    """See the module's docstring.

    Args:
        folder: Of the store.
        table: LanceDB's, whose folder is in it.
        info: Of the store.
    """

    def __init__(self, folder: Path, table: Any, info: StoreInfo) -> None:
        self._folder = folder / FOLDER
        self._table = table
        self._dim, self._distance = info.dim, info.distance
        self._versions = Versions(folder / f"{table.name}.lance")
        self._guard = threading.Lock()
        self._opened: FlatScan | None = None
        self._opened_when: tuple[int, ...] | None = None
        self._refused: tuple[int, ...] | None = None

    def search(self, queries: Vectors, k: int, where: Filter) -> list[list[Hit]] | None:
        """As `Store.search`; None where the table must be asked."""
        with self._guard:
            scan, seen = self._current(), self._opened_when
        if scan is None:
            return None
        try:
            return scan.search(queries, k, where)
        except NoScanError:
            with self._guard:
                self._opened, self._refused = None, seen
            return None

    def state(self) -> str | None:
        """The stamp of the table where the scan is of it; for `carry`."""
        stamp = self._versions.stamp()
        return stamp if stamp and scan_files.is_of(self._folder, stamp) else None

    def carry(
        self, before: str | None, rows: Rows | None = None, *, replaced: bool = False
    ) -> None:
        """After a commit, and where nobody else writes.

        Args:
            before: What `state` gave before the commit.
            rows: Added by it, if any were.
            replaced: Whether they stand in the place of those with the same ids.
        """
        if not scan_files.exists(self._folder):
            return
        # The rows are in the table whatever becomes of the scan.
        with suppress(OSError, NoScanError):
            if not self._extended(before, rows, replaced=replaced):
                self._build()

    def make_again(self) -> None:
        """Of a table from which rows were removed; where it pays."""
        if self._pays() and is_possible(self._dim) is None:
            with suppress(OSError, NoScanError):
                self._build()

    def maintain(self, before: str | None) -> str:
        """Builds it, or builds it again where something is wrong or left over.

        Args:
            before: What `state` gave before the table was tidied.

        Returns:
            How searches go on, in half a sentence.
        """
        if not self._pays():
            self.drop()
            return "every search compares with all of them"
        missing = is_possible(self._dim)
        if missing:
            self.drop()
            return f"every search compares with all of them: {missing}"
        if not (self._is_tidy() and self._extended(before)):
            try:
                self._build()
            except NoScanError as error:
                return f"every search compares with all of them: {error}"
        return (
            f"a search compares the codes of all, and the vectors of the {flat_scan.CANDIDATES} "
            "nearest by code"
        )

    def drop(self) -> None:
        """Takes it off the disk."""
        scan_files.drop(self._folder)

    def _current(self) -> FlatScan | None:
        """Opened; None where it is missing, of another version, or known to be damaged."""
        stamp, seen = self._versions.stamp(), scan_files.seen(self._folder)
        if stamp is None or seen is None or seen == self._refused:
            self._opened = None
        elif self._opened is None or seen != self._opened_when or stamp != self._opened.stamp:
            try:
                if self._opened is None or not self._opened.follow(stamp):
                    self._opened = None  # before the next one takes as much memory
                    self._opened = FlatScan.opened(
                        self._folder, stamp=stamp, dim=self._dim, distance=self._distance
                    )
                self._opened_when = seen
            except StaleError:  # perhaps for a moment; it can be followed from where it is
                return None
            except NoScanError:
                self._opened, self._refused = None, seen
        return self._opened

    def _pays(self) -> bool:
        return int(self._table.count_rows()) >= SCANNED_FROM

    def _is_tidy(self) -> bool:
        try:
            return not flat_scan.check(self._folder, dim=self._dim, distance=self._distance)
        except NoScanError:
            return False

    def _extended(
        self, before: str | None, rows: Rows | None = None, *, replaced: bool = False
    ) -> bool:
        after = self._versions.stamp()
        if before is None or after is None:
            return False
        frame = pl.DataFrame(schema=COLUMNS) if rows is None else rows.frame
        vectors = np.empty((0, self._dim), np.float32) if rows is None else rows.vectors
        return flat_scan.extend(
            self._folder,
            frame,
            vectors.astype(np.float16),
            before=before,
            after=after,
            replaced=replaced,
        )

    def _build(self) -> None:
        stamp = self._versions.stamp()
        if stamp is None:
            raise NoScanError("the table's versions have names that this crosslight does not know")
        flat_scan.build(
            self._folder, self._parts(), dim=self._dim, distance=self._distance, stamp=stamp
        )

    def _parts(self) -> Iterator[tuple[pl.DataFrame, Halves]]:
        reader = self._table.search().select([*COLUMNS, VECTOR]).to_batches(_AT_ONCE)
        for batch in reader:
            if len(batch):
                flat = batch.column(VECTOR).flatten().to_numpy(zero_copy_only=False)
                frame = pl.DataFrame(pl.from_arrow(batch.drop_columns([VECTOR])))
                yield (
                    frame.select([pl.col(name).cast(kind) for name, kind in COLUMNS.items()]),
                    np.asarray(flat, np.float16).reshape(len(batch), self._dim),
                )
