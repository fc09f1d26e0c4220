"""Numbers of flags, before anything is done with them."""

from __future__ import annotations

from crosslight.errors import ConfigError

LARGEST = 2**31 - 1
"""Of counts, seconds and places in a list."""


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


def require_share(flag: str, value: float | None) -> None:
    """Refuses what is no share: 0, 1, what lies beyond, and what is no number.

    Args:
        flag: Without dashes.
        value: What was given; None: nothing.

    Raises:
        ConfigError: `value` is not between 0 and 1.
    """
    if value is not None and not 0 < value < 1:
        raise ConfigError(f"--{flag} is {value:g}; give a share between 0 and 1, like 0.01.")
