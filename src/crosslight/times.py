"""Times of samples: seconds, which count from 1970 (UTC) or from the start of a recording."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

CALENDAR_FROM_S = 1e8
"""Times from here on (March 1973) are dates; smaller ones count from the start of a recording."""

LATEST_S = 7_258_118_400.0
"""2200-01-01. Whatever is later was given in milliseconds, as a rule."""

TOO_LATE = (
    "after the year 2200; give seconds where these are milliseconds, and nothing where nobody "
    "knows the time"
)
"""What is wrong with later ones, for error messages."""

FORMS = "seconds, like 3600, or a date, like 2026-05-01T14:30 (UTC) or 2026-05-01T14:30+09:00"
"""How a time is written, for error messages."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF_MS = timedelta(microseconds=500)
_BARE = re.compile(r"((?:19|20|21)\d\d)(?:(\d\d)(\d\d))?", re.ASCII)


def seconds_from(text: str) -> float:
    """As `seconds_or_none`, where a bare number may have been meant as a date, as in a flag.

    Raises:
        ValueError: No time, one after the year 2200, or a number like 2026 or 20261102, which may
            be both; the message is a sentence.
    """
    seconds = seconds_or_none(text)
    if seconds is None:
        raise ValueError(f"{text!r} is no time; write {FORMS}.")
    require_meant(text, seconds)
    return seconds


def seconds_or_none(text: str) -> float | None:
    """Seconds: a number as it is, or an ISO date as seconds since 1970; None: neither, or infinite.

    A date that names no zone is UTC, whatever the zone of the machine.
    """
    written = text.strip()
    try:
        seconds = float(written)
    except ValueError:
        seconds = _since_1970(written)
    return seconds if math.isfinite(seconds) else None


def require_meant(text: str, seconds: float) -> None:
    """Lets a time pass that was not meant otherwise.

    Args:
        text: As it was written.
        seconds: As it was read.

    Raises:
        ValueError: It is after the year 2200, or reads as seconds and as a year or a date; the
            message is a sentence.
    """
    if seconds > LATEST_S:
        raise ValueError(f"{text!r} is {TOO_LATE}.")
    written = text.strip()
    found = _BARE.fullmatch(written)
    if found is None:
        return
    date = "-".join(part or "01" for part in found.groups())
    if not math.isnan(_since_1970(date)):
        raise ValueError(
            f"{written} may be a date or seconds; write {date} for the date, or {written}.0 for "
            "the seconds."
        )


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
