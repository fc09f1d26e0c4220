"""What is known beside the rows of a store: names, notes, marks; small values under keys.

    ledger.get("person", ["7"])            # {"7": {"name": "Anna", ...}}; of those that are there
    ledger.every("camera")                 # all of a kind
    with ledger.changing() as changes:     # whole or not at all, durable when the block ends
        changes.put("camera", "3", {"name": "North"})
        changes.drop("person", "7")

A store in a folder keeps it in a file of SQLite there: a change of several keys survives a kill
and a power failure whole, the page can keep a mark while another process fills the store, and what
is dropped is overwritten (`secure_delete`; `tidy` writes the file anew). A Milvus server keeps it
in its second collection (milvus/ledger.py), where a crash may cut a change of many keys in two.

The kinds are stated here, because `forgetting` must know all of them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from crosslight.gallery.stores.complaints import told
from crosslight.gallery.stores.writing import StoreBusyError

PERSON: Final = "person"
"""Number of a person → `name`, `note`, `made` (whether the number is ours)."""
CAMERA: Final = "camera"
"""Number of a camera → `name`."""
TRACK = "track"
"""`digest` of a track → `track`, `beside`: the tracks that were seen in one frame with it."""
APART = "apart"
"""`digest` of two → `pair`: what somebody said to be two people."""
MARK = "mark"
"""`digest` of a query and a row → what was judged, see marks.py."""
MOVE = "move"
"""`digest` of rows → `ids`, `pid`: rows that are being given to a person, see relabelling.py."""
NEXT = "next"
"""`person` or `camera` → the number that the next one without a number gets."""

KINDS = (PERSON, CAMERA, TRACK, APART, MARK, MOVE, NEXT)

NAME = "people.sqlite"
_FILES_AT_ONCE = 3  # the database, its journal, their folder
_WAITS_S = 30.0
_NAMES_AT_ONCE = 500


class Changes(Protocol):
    """What a block of `Ledger.changing` may do; it sees what it has changed."""

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """As `Ledger.get`."""
        ...

    def every(self, kind: str) -> dict[str, Any]:
        """As `Ledger.every`."""
        ...

    def put(self, kind: str, name: str, value: Any) -> None:
        """Keeps a value, in the place of the one with this name."""
        ...

    def drop(self, kind: str, name: str) -> None:
        """Forgets a value, if it is there."""
        ...


class Ledger(Protocol):
    """See the module's docstring."""

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """The values of those of the names that are there."""
        ...

    def every(self, kind: str) -> dict[str, Any]:
        """All names of a kind and their values."""
        ...

    def changing(self) -> AbstractContextManager[Changes]:
        """A context that gives `Changes`; nobody else changes anything meanwhile."""
        ...

    def tidy(self) -> None:
        """Leaves nothing in the files of what was dropped."""
        ...


def digest(*parts: str) -> str:
    """A name of 40 hexadecimal digits for texts of any length."""
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "surrogatepass")).hexdigest()[:40]


class FileLedger:
    """A ledger in a folder; the file is made by the first change.

    Args:
        folder: Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._location = str(folder)

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        """As `Ledger.get`."""
        wanted = list(names)
        if not wanted or not self._exists():
            return {}
        with self._connected() as connection:
            return _get(connection, kind, wanted)

    def every(self, kind: str) -> dict[str, Any]:
        """As `Ledger.every`."""
        if not self._exists():
            return {}
        with self._connected() as connection:
            return _every(connection, kind)

    @contextmanager
    def changing(self) -> Iterator[Changes]:
        """As `Ledger.changing`."""
        with told(self._location):
            self._path.parent.stat()
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS kept (kind TEXT, name TEXT, value TEXT NOT NULL, "
                    "PRIMARY KEY (kind, name)) WITHOUT ROWID"
                )
                yield _FileChanges(connection)
            except BaseException:
                if connection.in_transaction:  # a full disk has ended it already
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def tidy(self) -> None:
        """As `Ledger.tidy`."""
        if self._exists():
            with self._connected() as connection:
                connection.execute("VACUUM")

    def _exists(self) -> bool:
        with told(self._location):
            try:
                self._path.stat()
            except FileNotFoundError:
                return False
        return True

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with told(self._location, sqlite3.Error, ValueError):
            try:
                # One for each question: a store that was moved away and back answers again.
                with closing(
                    sqlite3.connect(self._path, timeout=_WAITS_S, isolation_level=None)
                ) as connection:
                    connection.execute("PRAGMA secure_delete = ON")
                    # Also the folder's entries: a journal that came back would undo a change.
                    connection.execute("PRAGMA synchronous = EXTRA")
                    connection.execute("PRAGMA temp_store = MEMORY")
                    yield connection
            except sqlite3.Error as error:
                raise _known(error, self._path) from error


class _FileChanges:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, kind: str, names: Iterable[str]) -> dict[str, Any]:
        return _get(self._connection, kind, list(names))

    def every(self, kind: str) -> dict[str, Any]:
        return _every(self._connection, kind)

    def put(self, kind: str, name: str, value: Any) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (kind, name, json.dumps(value))
        )

    def drop(self, kind: str, name: str) -> None:
        self._connection.execute("DELETE FROM kept WHERE kind = ? AND name = ?", (kind, name))


def _get(connection: sqlite3.Connection, kind: str, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not _has_begun(connection):
        return found
    for start in range(0, len(names), _NAMES_AT_ONCE):
        part = names[start : start + _NAMES_AT_ONCE]
        places = ", ".join("?" * len(part))
        rows = connection.execute(
            f"SELECT name, value FROM kept WHERE kind = ? AND name IN ({places})", (kind, *part)
        )
        found.update((name, json.loads(value)) for name, value in rows)
    return found


def _has_begun(connection: sqlite3.Connection) -> bool:
    """False where a process was killed before its first change was whole."""
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept'").fetchall())


def _every(connection: sqlite3.Connection, kind: str) -> dict[str, Any]:
    if not _has_begun(connection):
        return {}
    rows = connection.execute("SELECT name, value FROM kept WHERE kind = ? ORDER BY name", (kind,))
    return {name: json.loads(value) for name, value in rows}


def _known(error: sqlite3.Error, path: Path) -> Exception:
    """What SQLite calls by names of its own."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusyError(
            f"Another process is writing names or marks of {path.parent}; wait until it is done."
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return _why_closed(path) or OSError(errno.EACCES, str(error))
    numbers = {
        sqlite3.SQLITE_FULL: errno.ENOSPC,
        sqlite3.SQLITE_READONLY: errno.EACCES,
        sqlite3.SQLITE_PERM: errno.EACCES,
    }
    return OSError(numbers[code], str(error)) if code in numbers else error


def _why_closed(path: Path) -> OSError | None:
    """What the system says where SQLite only says that it could not open a file."""
    opened: list[int] = []
    try:
        opened.extend(os.open(path, os.O_RDONLY) for _ in range(_FILES_AT_ONCE))
    except FileNotFoundError:
        return None
    except OSError as said:
        return said
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None
