"""Filters in the words of LanceDB."""

from __future__ import annotations

from collections.abc import Iterable

from crosslight.gallery.stores.rows import Filter


def condition(where: Filter) -> str | None:
    """The filter as an SQL condition, None where every row fits."""
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
    if where.not_ids:
        parts.append(f"NOT ({among_ids(sorted(where.not_ids))})")
    return " AND ".join(parts) or None


def among_ids(ids: Iterable[str]) -> str:
    """That a row has one of these ids; at least one must be given."""
    return f"id IN ({', '.join(map(_quoted, ids))})"


def _among(column: str, values: Iterable[int]) -> str:
    numbers = ", ".join(str(int(value)) for value in sorted(values))
    return f"{column} IN ({numbers})" if numbers else "1 = 0"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
