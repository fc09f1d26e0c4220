"""What a store's engine, or the disk below it, complains about: as a sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from crosslight.errors import CrosslightError, GalleryError
from crosslight.files import printable
from crosslight.system import CLOSED, FULL, GONE, SCARCE, number_of, shortage

_SOURCE_PLACE = re.compile(r",? \S+\.rs:\d+(:\d+)?")


class StoreClosedError(GalleryError):
    """This user may not read or write a part of the store."""


@contextmanager
def told(location: str, *kinds: type[Exception]) -> Iterator[None]:
    """Around a question to an engine or to the disk.

    Args:
        location: Of the store.
        kinds: What the engine raises, beside OSError and a panic of native code.

    Raises:
        StoreClosedError: In place of those, where this user lacks a permission.
        GalleryError: In place of all others.
    """
    try:
        yield
    except CrosslightError:
        raise
    except BaseException as error:
        # Native code that panics, as it may on a damaged file, raises no `Exception`.
        if (
            isinstance(error, (OSError, UnicodeError, *kinds))
            or type(error).__name__ == "PanicException"
        ):
            raise complaint(location, error) from error
        raise


def complaint(location: str, error: BaseException) -> GalleryError:
    """What `told` raises for an error."""
    kind = StoreClosedError if number_of(error, _text(error)) in CLOSED else GalleryError
    return kind(sentence(location, error))


def sentence(location: str, error: BaseException) -> str:
    """What happened to a store, and what to do."""
    if isinstance(error, UnicodeEncodeError):
        return (
            f"{printable(location)} has a name that is no UTF-8, which this kind of store cannot "
            "use; give the store another name."
        )
    text = _text(error)
    number = number_of(error, text)
    if number in FULL:
        return (
            f"No space left on the disk ({location}); {shortage(number)} and run the same command "
            "again."
        )
    if number in CLOSED:
        return (
            f"{location} cannot be used ({os.strerror(number or 0)}); see that this user may read "
            "and write all of it."
        )
    if number in SCARCE:
        return (
            f"{location} could not be used just now ({os.strerror(number or 0)}), which says "
            f"nothing against the store; {shortage(number)}, and run the same command again."
        )
    if number in GONE or "Not found: " in text:
        return (
            f"A part of the store {location} is gone; put the whole folder back where it was, or "
            "create the store again."
        )
    reason = os.strerror(number) if number else _SOURCE_PLACE.sub("", text.splitlines()[0])
    return (
        f"The store {location} is damaged or its disk fails ({reason}); put back the whole folder "
        "from a copy, or create the store again."
    )


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error) or type(error).__name__
