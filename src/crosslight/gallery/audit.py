"""Who searched, removed and exported: a line of JSON each, never a picture or a name.

    audit = Audit(Path("audit.jsonl"))
    audit.write("search", who="anna", origin="10.0.0.7", what={"row": "ID"}, rows=20)

A line is on the disk before `write` returns. A file of `LARGEST_BYTES` becomes `audit.jsonl.1`,
that one `.2`, and so on; `KEPT` stay. Several processes may write to one file.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from crosslight.errors import ConfigError, GalleryError
from crosslight.files import followed, is_stream, require_place, sync_folder
from crosslight.gallery.stores.description import store_around
from crosslight.gallery.stores.rows import Filter
from crosslight.locking import FolderLock

Action = Literal["search", "compare", "remove", "export"]

LARGEST_BYTES = 10 * 2**20
KEPT = 10
COMMAND = "command"
"""Where a command comes from."""


class Audit:
    """See the module's docstring.

    Args:
        path: The newest file.

    Raises:
        ConfigError: It cannot be written, or lies inside a store, whose removals it would outlive.
    """

    def __init__(self, path: Path) -> None:
        if store_around(path) is not None:
            raise ConfigError(
                f"The audit log {path} would lie inside a store; name a place elsewhere."
            )
        if is_stream(path):
            raise ConfigError(
                f"The audit log {path} is a pipe or a device; name a file that stays."
            )
        require_place(path)
        self._path = followed(path)  # as it grows it is renamed, which a link must not be

    def write(
        self,
        action: Action,
        *,
        who: str | None,
        origin: str,
        what: Mapping[str, Any],
        rows: int | None,
    ) -> None:
        """Adds a line.

        Args:
            action: What was done.
            who: Name of a user; None where nobody has one.
            origin: Address of a client, or `COMMAND`.
            what: Ids, digests, numbers and filters.
            rows: How many were found, removed or exported.

        Raises:
            GalleryError: It cannot be written; what was asked for must not be answered.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": who,
            "from": origin,
            "action": action,
            "rows": rows,
            "what": {name: value for name, value in what.items() if value is not None},
        }
        text = json.dumps(line, ensure_ascii=True).encode() + b"\n"
        lock = FolderLock(self._path.parent, f".{self._path.name}.lock")
        try:
            lock.acquire_when_free()
            try:
                self._add(text)
            finally:
                lock.release()
        except OSError as error:
            raise GalleryError(
                f"The audit log {self._path} cannot be written ({error.strerror}), so nothing is "
                "answered; make room, or let this user write it."
            ) from error

    def _add(self, text: bytes) -> None:
        is_new = not self._path.exists()
        if not is_new and self._path.stat().st_size + len(text) > LARGEST_BYTES:
            self._rotate()
            is_new = True
        # For its owner alone: it says who looks for whom.
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if file.tell() and not self._ends_a_line():
                file.write(b"\n")  # somebody was killed in the middle of a line
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self._path.parent)

    def _ends_a_line(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _rotate(self) -> None:
        def numbered(number: int) -> Path:
            return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

        numbered(KEPT).unlink(missing_ok=True)
        for number in reversed(range(KEPT)):
            if numbered(number).exists():
                numbered(number).replace(numbered(number + 1))


def audit_of(path: Path | None) -> Audit | None:
    """The log that a flag names; None: none is kept.

    Raises:
        ConfigError: As `Audit`.
    """
    return None if path is None else Audit(path)


def this_user() -> str:
    """Who gives a command."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as containers have them
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def filter_told(where: Filter) -> dict[str, Any]:
    """A filter as a log keeps it."""
    return {
        "cams": sorted(where.cams) if where.cams else None,
        "modalities": sorted(where.modalities) if where.modalities else None,
        "since": where.since,
        "until": where.until,
        "pids": sorted(where.pids) if where.pids else None,
    }
