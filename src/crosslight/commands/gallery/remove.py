"""Takes rows out of a store for good: those that are named, or those that are old."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from crosslight.commands.gallery.filter import filter_from
from crosslight.commands.gallery.stores import print_rows
from crosslight.errors import ConfigError
from crosslight.files import printable
from crosslight.gallery.audit import COMMAND, Audit, audit_of, filter_told, this_user
from crosslight.gallery.options import WhereOrWho
from crosslight.gallery.people.names import names_of
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.rows import Filter
from crosslight.gallery.stores.store import Store
from crosslight.times import CALENDAR_FROM_S, text_of

ASKED_FROM = 10
"""More people than this are not removed without a question."""


def remove(
    store: str,
    meant: WhereOrWho,
    *,
    ids: Sequence[str],
    everything: bool,
    dry_run: bool,
    yes: bool,
    audit: Path | None = None,
) -> None:
    """Removes rows by id or by filter, after a question where that takes many people.

    Raises:
        ConfigError: Not said which, many people and nobody to ask, or rows that came meanwhile.
    """
    if bool(ids) + meant.is_said + everything != 1:
        raise ConfigError(
            "Say which rows to remove in one way: with --id, with filters such as --camera or "
            "--person, or with --all."
        )
    log = audit_of(audit)
    with open_store(store) as opened:
        where = filter_from(meant, opened)
        rows = _meant(opened, ids, where)
        if dry_run:
            _tell(rows, opened)
            return
        asks = not yes and (people := _people(rows)) > ASKED_FROM
        if asks:
            _ask(f"{len(rows)} rows of {people} people", opened)
        # Only now, so that cameras go on while somebody thinks.
        opened.begin_writing()
        told, rows = rows, _meant(opened, ids, where)
        if asks and (more := len(set(rows["id"]) - set(told["id"]))):
            raise ConfigError(
                f"Nothing was removed: {more} rows came while you were asked; give the command "
                "again, or say --yes, which takes what is there then."
            )
        if log is not None:
            how = {"ids": rows["id"].to_list()} if ids else filter_told(where)
            _log(log, opened, how, len(rows))
        before = names_of(opened, where.pids or ()).people
        count = opened.remove_ids(rows["id"].to_list()) if ids else opened.remove(where)
        _told(opened, count)
        if not count:
            kept = names_of(opened, before).people
            for name in (name for pid, name in before.items() if pid not in kept):
                print(f"{name} had no image here; the name is forgotten.")


def retain(store: str, *, days: int, dry_run: bool, audit: Path | None = None) -> None:
    """Removes what was taken more than so many days ago."""
    log = audit_of(audit)
    now = datetime.now(UTC).replace(microsecond=0)
    limit = (now - timedelta(days=days)).timestamp()
    with open_store(store) as opened:
        old = Filter(since=CALENDAR_FROM_S, until=limit)
        undated = opened.count() - opened.count(Filter(since=CALENDAR_FROM_S))
        later = opened.count(Filter(since=now.timestamp()))
        print(f"Kept is what was taken after {text_of(limit)}.")
        if undated:
            print(f"{undated} rows have no time of capture, or one before 1973: they are kept too.")
        if later:
            at = text_of(now.timestamp())
            print(
                f"{later} rows have a time after {at}, which is now: they are kept too; gallery "
                f"list {store} --since {at} names them."
            )
        if dry_run:
            _tell(opened.frame(old), opened)
            return
        opened.begin_writing()
        if log is not None:
            _log(log, opened, {"days": days, **filter_told(old)}, opened.count(old))
        _told(opened, opened.remove(old))


def _meant(store: Store, ids: Sequence[str], where: Filter) -> pl.DataFrame:
    return store.labels([printable(i) for i in ids]).sort("id") if ids else store.frame(where)


def _log(log: Audit, store: Store, how: Mapping[str, Any], rows: int) -> None:
    """Before anything goes, and when nobody else can write.

    A removal that is killed is finished by whoever comes next; one that cannot begin is not told.
    """
    what = {"store": printable(store.location), **how}
    log.write("remove", who=this_user(), origin=COMMAND, what=what, rows=rows)


def _told(store: Store, count: int) -> None:
    print(f"{count} removed; {store.location} now holds {store.count()}.")


def _tell(rows: pl.DataFrame, store: Store) -> None:
    print_rows(rows, names_of(store, rows["pid"].unique().to_list()))
    print(f"{len(rows)} of {store.count()} rows would go, {_people(rows)} people; none is removed.")


def _ask(what: str, store: Store) -> None:
    """Whether to go on.

    Raises:
        ConfigError: No, or nobody can answer.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            f"This would remove {what} from {store.location}; say --yes, or look at them with "
            "--dry-run."
        )
    try:
        answer = input(f"Remove {what} from {store.location}, for good? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise ConfigError("Nothing was removed.")


def _people(rows: pl.DataFrame) -> int:
    """Who is known; of the others each track, or row without one, is somebody."""
    unknown = rows.filter(pl.col("pid").is_null())
    alone = unknown["track"].null_count()
    tracks = unknown["track"].drop_nulls().n_unique()
    return rows["pid"].drop_nulls().n_unique() + tracks + alone
