"""Shares and probabilities as people type them: 0.05, 5%."""

from __future__ import annotations

from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from crosslight.errors import ConfigError
from crosslight.ranges import Chance


def share_from(text: str) -> float:
    """The number that is meant.

    Raises:
        ConfigError: None.
    """
    number, percent, after = text.strip().partition("%")
    try:
        if after.strip():
            raise ValueError(text)
        return float(number) / 100 if percent else float(number)
    except ValueError:
        raise ConfigError(
            f"{text!r} is no share; give a number between 0 and 1, like 0.05, or percent, like 5%."
        ) from None


ShareFlag = Annotated[
    Chance,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="SHARE",
        instance_from_str=lambda words: share_from(words[0]),
        is_instance=lambda given: isinstance(given, float),
        str_from_instance=lambda share: [str(share)],
    ),
]
"""The type of a flag."""
