"""From the words of the command line to a filter."""

from __future__ import annotations

from crosslight.errors import ConfigError
from crosslight.gallery.options import Where, WhereOrWho
from crosslight.gallery.people.names import Kind, number_of, number_or_name
from crosslight.gallery.stores.rows import Filter
from crosslight.gallery.stores.store import Store
from crosslight.times import seconds_from
from crosslight.types import LIGHTS


def filter_from(where: Where, store: Store) -> Filter:
    """The filter; nothing said: every row.

    Args:
        where: As a user says it.
        store: Knows who is called how.

    Raises:
        ConfigError: A time that is not one, a number out of range, or a name that nobody has.
    """
    people = where.person if isinstance(where, WhereOrWho) else ()

    def numbers(given: tuple[str, ...], kind: Kind) -> frozenset[int] | None:
        found = {number_of(store, number_or_name(one, kind), kind) for one in given}
        return frozenset(found) or None

    return Filter(
        cams=numbers(where.camera, "camera"),
        modalities=None if where.modality is None else frozenset({int(LIGHTS[where.modality])}),
        since=None if where.since is None else time_from(where.since),
        until=None if where.until is None else time_from(where.until),
        pids=numbers(people, "person"),
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
