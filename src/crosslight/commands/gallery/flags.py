"""Flags of the gallery's commands, checked before a model's libraries are loaded."""

from __future__ import annotations

from collections.abc import Sequence

from crosslight.config import require_range
from crosslight.errors import ConfigError
from crosslight.types import DeepRange


def require_adding(sources: Sequence[str], deep_range: DeepRange | None) -> None:
    """Checks what `gallery add` was told.

    Raises:
        ConfigError: Nothing to add, or a number that makes no sense.
    """
    if not sources:
        raise ConfigError(
            "Nothing to add; give a folder of images, a table, a video or LAYOUT:ROOT."
        )
    require_range(deep_range, "--deep-range")
