"""Flags of the gallery's commands, checked before a model's libraries are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from crosslight.commands.flag_numbers import LARGEST, require_from_to
from crosslight.config import require_range
from crosslight.errors import ConfigError
from crosslight.gallery.options import Live, Watching
from crosslight.types import DeepRange

MOST_WORKERS = 1024


def require_adding(
    sources: Sequence[str], *, workers: int, watching: Watching, deep_range: DeepRange | None
) -> None:
    """Checks what `gallery add` was told.

    Raises:
        ConfigError: Nothing to add, or a number that makes no sense.
    """
    if not sources:
        raise ConfigError(
            "Nothing to add; give a folder of images, a table, a video or LAYOUT:ROOT."
        )
    require_range(deep_range, "--deep-range")
    require_from_to("workers", workers, 0, MOST_WORKERS)
    require_watching(watching)


def require_watching(watching: Watching | Live) -> None:
    """Checks how people are to be found.

    Raises:
        ConfigError: A number that makes no sense.
    """
    require_from_to("crops", watching.crops, 1, LARGEST)
    require_from_to("every", watching.every, 0, LARGEST)
    require_from_to("detector-threshold", watching.detector_threshold, 0, 1)
