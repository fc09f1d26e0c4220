"""From the words of the command line to a filter."""

from __future__ import annotations

from crosslight.commands.flag_numbers import LARGEST, LARGEST_PERSON, require_from_to
from crosslight.errors import ConfigError
from crosslight.gallery.options import Where, WhereOrWho
from crosslight.gallery.rows import Filter
from crosslight.times import seconds_from
from crosslight.types import LIGHTS, UNKNOWN_CAM


def filter_from(where: Where) -> Filter:
    """The filter; nothing said: every row.

    Raises:
        ConfigError: A time that is not one, or a number out of range.
    """
    people = where.person if isinstance(where, WhereOrWho) else ()
    for camera in where.camera:
        require_from_to("camera", camera, UNKNOWN_CAM, LARGEST)
    for person in people:
        require_from_to("person", person, 0, LARGEST_PERSON)
    return Filter(
        cams=frozenset(where.camera) or None,
        modalities=None if where.modality is None else frozenset({int(LIGHTS[where.modality])}),
        since=None if where.since is None else time_from(where.since),
        until=None if where.until is None else time_from(where.until),
        pids=frozenset(people) or None,
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
