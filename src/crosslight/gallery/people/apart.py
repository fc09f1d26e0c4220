"""Who cannot be one person: tracks that were seen in one frame, and what somebody said.

Rows that belong together are a group: a person's, where it is known (`p:7`), else a track's
(`t:walk-1`), else a row alone (`r:ID`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import polars as pl

from crosslight.errors import ConfigError
from crosslight.gallery.stores.ledger import TRACK, digest
from crosslight.gallery.stores.store import Store

COLUMNS = ("id", "pid", "cam", "time", "track", "path")
"""What must be known of rows to tell."""


class TwoPeopleError(ConfigError):
    """Rows of two people cannot become one person's."""


@dataclass(frozen=True, kw_only=True)
class SeenTogether:
    """Two rows, or two tracks, that are two people.

    Attributes:
        first: Group of one of them.
        second: Group of the other.
        tracks: Of the two.
    """

    first: str
    second: str
    tracks: tuple[str, str]


def in_groups(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows with the column `group`."""
    person = "p:" + pl.col("pid").cast(pl.String)
    track, alone = "t:" + pl.col("track"), "r:" + pl.col("id")
    return rows.with_columns(pl.coalesce(person, track, alone).alias("group"))


def in_one_frame(rows: pl.DataFrame) -> list[list[str]]:
    """Tracks that were cut out of one frame, as their one path says.

    Args:
        rows: With the columns `track` and `path`.
    """
    framed = rows.filter(pl.col("track").is_not_null() & (pl.col("path") != ""))
    frames = framed.select("path", "track").unique().group_by("path", maintain_order=True)
    tracks = frames.agg(pl.col("track").sort())["track"]
    return tracks.filter(tracks.list.len() > 1).to_list()


def seen_together(store: Store, rows: pl.DataFrame) -> SeenTogether | None:
    """Two tracks, of different groups, that were seen in one frame; None where none were.

    Args:
        store: Of the rows; it knows in which other frames their tracks were seen.
        rows: `COLUMNS` of rows that somebody holds for one person.
    """
    tracked = in_groups(rows).filter(pl.col("track").is_not_null())
    if tracked["group"].n_unique() < 2:
        return None
    group_of = dict(tracked.select("track", "group").iter_rows())
    frames = store.frame(columns=("track", "path"))
    entries = store.ledger.get(TRACK, map(digest, group_of)).values()
    together = [
        *in_one_frame(frames.filter(pl.col("track").is_in(list(group_of)))),
        *([entry["track"], other] for entry in entries for other in entry["beside"]),
    ]
    for tracks in together:
        for first, second in combinations(tracks, 2):
            if second in group_of and group_of[first] != group_of[second]:
                return SeenTogether(
                    first=group_of[first], second=group_of[second], tracks=(first, second)
                )
    return None


def keys_of(rows: pl.DataFrame) -> set[str]:
    """Every way in which somebody may have spoken of these rows: people and tracks."""
    people = {f"p:{pid}" for pid in rows["pid"].drop_nulls().unique().to_list()}
    return people | {f"t:{track}" for track in rows["track"].drop_nulls().unique().to_list()}
