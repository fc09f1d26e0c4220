"""Times of samples: seconds, which count from 1970 (UTC) or from the start of a recording."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

CALENDAR_FROM_S = 1e8
"""Times from here on (March 1973) are dates; smaller ones count from the start of a recording."""

FORMS = "seconds, like 3600, or a date, like 2026-05-01T14:30 (UTC) or 2026-05-01T14:30+09:00"
"""How a time is written, for error messages."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_MS = timedelta(microseconds=500)


def seconds_from(text: str) -> float:
    """Seconds: a number as it is, or an ISO date as seconds since 1970.

    A date that names no zone is UTC, whatever the zone of the machine.

    Raises:
        ValueError: Neither, or not finite; the message is a sentence.
    """
    written = text.strip()
    try:
        seconds = float(written)
    except ValueError:
        seconds = _since_1970(written)
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is no time; write {FORMS}.")
    return seconds


def text_of(seconds: float) -> str:
    """A time for people to read: an ISO date in UTC, or seconds since a recording's start."""
    if seconds >= CALENDAR_FROM_S:
        try:
            date = _EPOCH + timedelta(seconds=seconds) + _HALF_MS
        except OverflowError:  # beyond the year 9999
            return f"{seconds:.1f} s"
        return (
            date.replace(tzinfo=None).isoformat(timespec="milliseconds").removesuffix(".000") + "Z"
        )
    return f"{seconds:.1f} s"


def _since_1970(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
        stated = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
        return (stated - _EPOCH).total_seconds()
    except (ValueError, OverflowError):
        return math.nan
