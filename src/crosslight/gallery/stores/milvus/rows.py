"""Rows and filters in the words of Milvus, which has no nulls and no bytes.

The primary key is a digest of the id, because Milvus compares keys inside conditions and an id
may hold any character. A missing person, time or track has a value that no real one has.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from crosslight.errors import GalleryError
from crosslight.gallery.stores.rows import COLUMNS, SCHEMA, Filter, Rows

KEY = "key"
VECTOR = "vector"
SMALL = ("name", "pid", "cam", "modality", "time", "track", "path", "model")

_NOBODY = -(2**63) + 1
_NEVER = -1e300
_LARGEST_THUMBNAIL = 48_000  # bytes; base64 makes four of three


def key_of(name: str) -> str:
    """The primary key of a row's id."""
    return hashlib.sha256(name.encode()).hexdigest()[:48]


def keys_among(ids: Iterable[str]) -> str:
    """The condition that a row has one of these ids."""
    return f"{KEY} in [{', '.join(_quoted(key_of(i)) for i in ids)}]"


def condition(where: Filter) -> str:
    """The filter as a condition, empty where every row fits."""
    parts = []
    if where.cams is not None:
        parts.append(_among("cam", where.cams))
    if where.modalities is not None:
        parts.append(_among("modality", where.modalities))
    if where.pids is not None:
        parts.append(_among("pid", where.pids))
    if where.since is not None:
        parts.append(f"time >= {float(where.since)!r}")
    if where.until is not None:
        parts.append(f"time <= {float(where.until)!r}")
    if where.since is not None or where.until is not None:
        parts.append(f"time > {_NEVER / 10!r}")
    if where.not_ids:
        parts.append(f"not ({keys_among(sorted(where.not_ids))})")
    return " and ".join(parts)


def to_milvus(rows: Rows) -> list[dict[str, Any]]:
    """Rows as Milvus takes them.

    Raises:
        GalleryError: A thumbnail is too large.
    """
    written = []
    for row, vector in zip(rows.frame.iter_rows(named=True), rows.vectors, strict=True):
        thumbnail = row["thumbnail"] or b""
        if len(thumbnail) > _LARGEST_THUMBNAIL:
            raise GalleryError(
                f"The thumbnail of {row['id']} has {len(thumbnail)} bytes; Milvus keeps "
                f"{_LARGEST_THUMBNAIL} at most: use smaller ones."
            )
        written.append(
            {
                KEY: key_of(row["id"]),
                "name": row["id"],
                "pid": _NOBODY if row["pid"] is None else row["pid"],
                "cam": row["cam"],
                "modality": row["modality"],
                "time": _NEVER if row["time"] is None else row["time"],
                # A mark before the name: an empty name is a name.
                "track": "" if row["track"] is None else f"={row['track']}",
                "path": row["path"],
                "model": row["model"],
                "thumbnail": base64.b64encode(thumbnail).decode(),
                VECTOR: vector.tolist(),
            }
        )
    return written


def small_from_milvus(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """`COLUMNS` of rows that Milvus gave."""
    return pl.DataFrame([_plain(row) for row in rows], schema=COLUMNS)


def from_milvus(rows: Sequence[Mapping[str, Any]], dim: int) -> Rows:
    """Whole rows that Milvus gave."""
    plain = [
        {**_plain(row), "thumbnail": base64.b64decode(row["thumbnail"]) or None} for row in rows
    ]
    vectors = np.array([row[VECTOR] for row in rows], dtype=np.float32).reshape(-1, dim)
    return Rows(frame=pl.DataFrame(plain, schema=SCHEMA), vectors=vectors)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": row["name"],
        "pid": None if row["pid"] == _NOBODY else row["pid"],
        "cam": row["cam"],
        "modality": row["modality"],
        "time": None if row["time"] <= _NEVER / 10 else row["time"],
        "track": row["track"][1:] if row["track"] else None,
        "path": row["path"],
        "model": row["model"],
    }


def _among(column: str, values: Iterable[int]) -> str:
    numbers = ", ".join(str(int(value)) for value in sorted(values))
    # Not `in []`: old servers refuse it.
    return f"{column} in [{numbers}]" if numbers else f'{KEY} == ""'


def _quoted(text: str) -> str:
    return f'"{text}"'
