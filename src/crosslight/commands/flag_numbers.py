"""Numbers of flags, before anything is done with them."""

from __future__ import annotations

from crosslight.errors import ConfigError

LARGEST = 2**31 - 1
"""Of the number of a camera, as in the service's API."""


def require_from_to(flag: str, value: float | None, least: float, most: float) -> None:
    """Refuses a number out of range, and what is no number.

    Args:
        flag: Without dashes.
        value: What was given; None: nothing.
        least: Smallest number that makes sense.
        most: Largest.

    Raises:
        ConfigError: `value` is not between them.
    """
    if value is not None and not least <= value <= most:
        raise ConfigError(f"--{flag} is {value}; give a number from {least} to {most}.")
