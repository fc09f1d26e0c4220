"""Marks of results, right or wrong: kept, listed, exported."""

from __future__ import annotations

import json
from pathlib import Path

from crosslight.errors import ConfigError
from crosslight.files import printable, require_place, sha256_of, write_text
from crosslight.gallery.audit import COMMAND, audit_of, this_user
from crosslight.gallery.people.marks import (
    COLUMNS,
    Judgement,
    Query,
    count_marks,
    every_mark,
    keep_mark,
)
from crosslight.gallery.spreadsheet import as_csv
from crosslight.gallery.stores.opening import open_store


def mark(store: str, query: str, row: str, judgement: Judgement | None) -> None:
    """Keeps a mark, or takes it away.

    Raises:
        ConfigError: No such file or row.
    """
    path = Path(query)
    if path.is_file():
        asked = Query(sha256=sha256_of(path), file=printable(path.name))
    else:
        asked = Query(row=printable(query))
    with open_store(store) as opened:
        if asked.row is not None and not opened.present([asked.row]):
            raise ConfigError(
                f"{query} is neither an image file nor a row of {store}; give one of them."
            )
        keep_mark(opened, asked, printable(row), judgement, by=this_user())
        print(_told(count_marks(opened)))


def marks(store: str, *, csv: Path | None, as_json: bool, audit: Path | None) -> None:
    """Prints all marks, or writes them."""
    if csv is not None:
        require_place(csv)
    log = audit_of(audit)
    with open_store(store) as opened:
        found, counts = every_mark(opened), count_marks(opened)
    if log is not None:
        what = {"store": printable(store), "marks": True}
        log.write("export", who=this_user(), origin=COMMAND, what=what, rows=len(found))
    if csv is not None:
        write_text(csv, as_csv(COLUMNS, found))
        print(f"{len(found)} marks in {csv}.")
        return
    if as_json:
        print(json.dumps({"marks": found, **counts}))
        return
    for one in found:
        query = one["query_row"] or one["query_file"] or one["query_sha256"]
        by = f", by {one['marked_by']}" if one["marked_by"] else ""
        print(f"{one['mark']:5}  {one['row']}  for {query}, {one['marked_at']}{by}")
    print(_told(counts))


def _told(counts: dict[str, int]) -> str:
    return f"{counts['right']} right, {counts['wrong']} wrong."
