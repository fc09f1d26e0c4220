"""What people judged: this result shows whom was searched for, or it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from crosslight.errors import ConfigError
from crosslight.gallery.people.names import names_of, place_of
from crosslight.gallery.stores.ledger import MARK, digest
from crosslight.gallery.stores.store import Store
from crosslight.types import Light, Modality

Judgement = Literal["right", "wrong"]

COLUMNS = (
    *("query_row", "query_file", "query_sha256", "query_modality"),
    *("row", "pid", "person", "cam", "camera", "modality", "time"),
    *("rank", "distance", "probability", "mark", "marked_at", "marked_by"),
)
"""Of a table of marks."""

_LONGEST_FILE_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Query:
    """What was searched for.

    Attributes:
        row: Of the gallery, where it was one.
        sha256: Of the file, where it was one; hexadecimal.
        file: Its name.
        modality: Its light.
    """

    row: str | None = None
    sha256: str | None = None
    file: str | None = None
    modality: Light | None = None

    @property
    def key(self) -> str:
        """What is the same for the same query."""
        return f"r:{self.row}" if self.row is not None else f"s:{self.sha256}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a search found a row.

    Attributes:
        rank: From 1.
        distance: To the query.
        probability: That it is the query's person.
    """

    rank: int | None = None
    distance: float | None = None
    probability: float | None = None


def keep_mark(
    store: Store,
    query: Query,
    row: str,
    judgement: Judgement | None,
    *,
    found: Found | None = None,
    by: str | None = None,
) -> None:
    """Keeps a judgement, in the place of the same person's before; None takes that away.

    Args:
        store: The store.
        query: What was searched for, a row or a file.
        row: The result.
        judgement: Whether it shows the same person.
        found: How it was found.
        by: Who says so; None where nobody has a name.

    Raises:
        ConfigError: The query is neither or both, or a row is not there.
    """
    if (query.row is None) == (query.sha256 is None):
        raise ConfigError("A mark is of one query: a row of the gallery, or a file by its SHA-256.")
    name, shared = _name(query, row, by), _name(query, row, None)
    with store.ledger.changing() as changes:
        # Inside, so that a removal either comes before, or forgets the mark as well.
        asked = {row, query.row} - {None}
        if missing := asked - store.present(sorted(map(str, asked))):
            raise ConfigError(f"{place_of(store)} has no row {missing.pop()!r}.")
        former = changes.get(MARK, [shared]).get(shared)
        if former is not None and former["marked_by"] is not None:  # one was kept for all users
            changes.drop(MARK, shared)
            changes.put(MARK, _name(query, row, former["marked_by"]), former)
        if judgement is None:
            changes.drop(MARK, name)
            return
        kept = {
            "query_row": query.row,
            "query_sha256": query.sha256,
            "query_file": _printable(query.file),
            "query_modality": query.modality,
            "row": row,
            **asdict(found or Found()),
            "mark": judgement,
            "marked_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "marked_by": by,
        }
        changes.put(MARK, name, kept)


def marks_of(
    store: Store, query: Query, rows: Iterable[str], by: str | None = None
) -> dict[str, Judgement]:
    """What somebody judged of results of a query; None: whoever has no name."""
    names = {_name(query, row, who): row for row in rows for who in {None, by}}
    found = store.ledger.get(MARK, names)
    return {names[name]: mark["mark"] for name, mark in found.items() if mark["marked_by"] == by}


def count_marks(store: Store) -> dict[str, int]:
    """How many say right and wrong."""
    marks = [mark["mark"] for mark in store.ledger.every(MARK).values()]
    return {"right": marks.count("right"), "wrong": marks.count("wrong")}


def clear_marks(store: Store, by: str | None) -> int:
    """Takes away the marks of somebody, None for those of whoever has no name; gives how many."""
    with store.ledger.changing() as changes:
        theirs = [name for name, mark in changes.every(MARK).items() if mark["marked_by"] == by]
        for name in theirs:
            changes.drop(MARK, name)
        return len(theirs)


def every_mark(store: Store) -> list[dict[str, Any]]:
    """All marks, oldest first, with the names in `COLUMNS`."""
    marks = sorted(store.ledger.every(MARK).values(), key=lambda mark: str(mark["marked_at"]))
    rows = {row["id"]: row for row in store.labels([mark["row"] for mark in marks]).to_dicts()}
    names = names_of(store, [row["pid"] for row in rows.values()])
    told = []
    for mark in marks:
        row = rows.get(mark["row"])
        if row is not None:
            about = {
                "pid": row["pid"],
                "person": names.people.get(row["pid"]),
                "cam": row["cam"],
                "camera": names.cameras.get(row["cam"]),
                "modality": Modality(row["modality"]).name.lower(),
                "time": row["time"],
            }
            told.append({column: (mark | about).get(column) for column in COLUMNS})
    return told


def _name(query: Query, row: str, by: str | None) -> str:
    return digest(query.key, row) if by is None else digest(query.key, row, by)


def _printable(name: str | None) -> str | None:
    if name is None:
        return None
    kept = "".join(character if character.isprintable() else "?" for character in name)
    return kept[:_LONGEST_FILE_NAME]
