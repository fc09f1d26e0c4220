"""What a gallery holds: rows, the filters that choose among them, and the hits of a search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.types import Modality

COLUMNS: dict[str, Any] = {
    "id": pl.String,
    "pid": pl.Int64,
    "cam": pl.Int64,
    "modality": pl.UInt8,
    "time": pl.Float64,
    "track": pl.String,
    "path": pl.String,
    "model": pl.String,
}
"""Everything about a row that is small, in the order in which every store keeps it."""

THUMBNAIL = "thumbnail"
SCHEMA: dict[str, Any] = {**COLUMNS, THUMBNAIL: pl.Binary}

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """N rows of a gallery.

    Attributes:
        frame: Columns of `SCHEMA`. `id` is unique in a store; `pid` is null where nobody knows who
            it is; `cam` is -1 where unknown; `modality` is a `Modality`; `time` (seconds) and
            `track` may be null; `path` is where the image came from, for people to read;
            `thumbnail` is a small JPEG of the person, or null; `model` is the fingerprint of the
            model that made the vector.
        vectors: (N, D) float32, finite.
    """

    frame: pl.DataFrame
    vectors: Vectors

    def __post_init__(self) -> None:
        if self.frame.columns != list(SCHEMA):
            raise ValueError(f"rows have the columns {self.frame.columns}, not {list(SCHEMA)}")
        if self.vectors.ndim != 2 or len(self.vectors) != self.frame.height:
            raise ValueError(f"{self.frame.height} rows and vectors {self.vectors.shape}")

    def __len__(self) -> int:
        return self.frame.height

    @property
    def ids(self) -> list[str]:
        """The id of each row."""
        return self.frame["id"].to_list()

    def take(self, positions: Sequence[int] | NDArray[np.integer[Any]]) -> Rows:
        """The rows at these positions, in this order."""
        index = np.asarray(positions, dtype=np.int64)
        return Rows(frame=self.frame[index], vectors=self.vectors[index])


def build_rows(columns: dict[str, Any], vectors: NDArray[Any], *, model: str) -> Rows:
    """Rows from columns; missing ones get null, an unknown camera and visible light.

    Args:
        columns: At least `id`; the other names of `SCHEMA` as far as they are known.
        vectors: (N, D).
        model: Fingerprint of the model that made the vectors.

    Raises:
        GalleryError: A vector is not finite.
    """
    count = len(vectors)
    defaults: dict[str, Any] = {"cam": -1, "modality": int(Modality.VISIBLE), "path": ""}
    full = {
        name: columns.get(name, [defaults.get(name)] * count) for name in SCHEMA if name != "model"
    }
    frame = pl.DataFrame(
        {**full, "model": [model] * count}, schema_overrides=SCHEMA, strict=False
    ).select(list(SCHEMA))
    kept = np.ascontiguousarray(vectors, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(kept).all(axis=1)) if kept.size else np.array([])
    if broken.size:
        raise GalleryError(
            f"The embedding of {frame['path'][int(broken[0])] or frame['id'][int(broken[0])]} is "
            "not finite; train the model again or use other weights."
        )
    return Rows(frame=frame, vectors=kept)


def require_number(number: int, name: str) -> None:
    """Refuses a number of a camera or a person that no store can keep.

    Raises:
        GalleryError: Outside of 64 bits.
    """
    if not -(2**63) < number < 2**63:
        raise GalleryError(
            f"{name} holds {number}, and numbers of cameras and people have 64 bits; give one "
            f"between {-(2**63) + 1} and {2**63 - 1}."
        )


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which rows to look at: those that meet every condition that is given.

    Attributes:
        cams: Cameras, None for all.
        modalities: `Modality` values, None for all.
        since: Earliest time in seconds, itself included; rows without a time are left out.
        until: Latest time in seconds, itself included; rows without a time are left out.
        pids: People, None for all.
        not_ids: Rows to leave out, such as the one that a search starts from.
    """

    cams: frozenset[int] | None = None
    modalities: frozenset[int] | None = None
    since: float | None = None
    until: float | None = None
    pids: frozenset[int] | None = None
    not_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, numbers in (("cams", self.cams), ("pids", self.pids)):
            for number in numbers or ():
                require_number(number, name)
        for name, time in (("since", self.since), ("until", self.until)):
            if time is not None and not math.isfinite(time):
                raise GalleryError(f"{name} is {time}, which is no time; give finite seconds.")

    @property
    def everything(self) -> bool:
        """Whether no row is left out."""
        return self == Filter()

    def without(self, row: str) -> Filter:
        """The same, and not this row."""
        return replace(self, not_ids=self.not_ids | {row})

    def of_light(self, modality: int) -> Filter:
        """The same, of rows of this light alone."""
        return replace(self, modalities=frozenset({modality}))

    def expression(self) -> pl.Expr:
        """The same as a condition of polars, true or false for every row."""
        conditions: list[pl.Expr] = []
        if self.cams is not None:
            conditions.append(pl.col("cam").is_in(sorted(self.cams)))
        if self.modalities is not None:
            conditions.append(pl.col("modality").is_in(sorted(self.modalities)))
        if self.pids is not None:
            conditions.append(pl.col("pid").is_in(sorted(self.pids)))
        if self.since is not None:
            conditions.append(pl.col("time") >= self.since)
        if self.until is not None:
            conditions.append(pl.col("time") <= self.until)
        if self.not_ids:
            conditions.append(~pl.col("id").is_in(sorted(self.not_ids)))
        return pl.all_horizontal(conditions).fill_null(False) if conditions else pl.lit(True)


EVERYTHING = Filter()


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A row that a search found.

    Attributes:
        id: Of the row.
        distance: To the query; smaller is nearer, in the store's distance.
        pid: Person, None where nobody knows.
        cam: Camera, -1 where unknown.
        modality: `Modality`.
        time: Seconds, or None.
        track: Name of the track, or None.
        path: Where the image came from.
    """

    id: str
    distance: float
    pid: int | None
    cam: int
    modality: int
    time: float | None
    track: str | None
    path: str


def hits_from(rows: Iterable[dict[str, Any]], distances: Iterable[float]) -> list[Hit]:
    """Hits from rows as dictionaries and their distances."""
    return [
        Hit(
            id=row["id"],
            distance=float(distance),
            pid=row["pid"],
            cam=row["cam"],
            modality=row["modality"],
            time=row["time"],
            track=row["track"],
            path=row["path"],
        )
        for row, distance in zip(rows, distances, strict=True)
    ]
