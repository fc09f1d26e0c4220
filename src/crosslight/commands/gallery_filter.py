"""From the words of the command line to a filter."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crosslight.errors import ConfigError
from crosslight.gallery.rows import Filter
from crosslight.types import Modality

LIGHTS = {"visible": Modality.VISIBLE, "infrared": Modality.INFRARED}


def filter_from(
    *,
    cameras: Sequence[int] = (),
    modality: str | None = None,
    since: str | None = None,
    until: str | None = None,
    people: Sequence[int] = (),
) -> Filter:
    """The filter; nothing given: every row.

    Raises:
        ConfigError: A time that is not one.
    """
    return Filter(
        cams=frozenset(cameras) if cameras else None,
        modalities=frozenset({int(LIGHTS[modality])}) if modality else None,
        since=None if since is None else seconds_from(since),
        until=None if until is None else seconds_from(until),
        pids=frozenset(people) if people else None,
    )


def seconds_from(text: str) -> float:
    """Seconds: a number as it is, or an ISO date and time as seconds since 1970.

    Raises:
        ConfigError: Neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no time; write seconds, like 3600, or a date, like 2026-05-01T14:30."
        ) from error
