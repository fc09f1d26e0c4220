"""From the words of the command line to a filter."""

from __future__ import annotations

from collections.abc import Sequence

from crosslight.commands.flag_numbers import LARGEST, LARGEST_PERSON, require_from_to
from crosslight.errors import ConfigError
from crosslight.gallery.rows import Filter
from crosslight.times import seconds_from
from crosslight.types import LIGHTS, UNKNOWN_CAM


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
        ConfigError: A time that is not one, or a number out of range.
    """
    for camera in cameras:
        require_from_to("camera", camera, UNKNOWN_CAM, LARGEST)
    for person in people:
        require_from_to("person", person, 0, LARGEST_PERSON)
    return Filter(
        cams=frozenset(cameras) if cameras else None,
        modalities=frozenset({int(LIGHTS[modality])}) if modality else None,
        since=None if since is None else time_from(since),
        until=None if until is None else time_from(until),
        pids=frozenset(people) if people else None,
    )


def light_named(name: str | None) -> int | None:
    """The `Modality` of a flag; None where nothing is said."""
    return None if name is None else int(LIGHTS[name])


def time_from(text: str) -> float:
    """As `crosslight.times.seconds_from`, of a flag.

    Raises:
        ConfigError: No time.
    """
    try:
        return seconds_from(text)
    except ValueError as error:
        raise ConfigError(str(error)) from error
