"""A flag that is given twice, of which the parser would quietly keep the last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from crosslight.errors import ConfigError

EVERYWHERE = {"--set"}
BY_COMMAND = {name: {"--protocol"} for name in ("evaluate", "ablate", "compare")}
"""What may be repeated: the flags whose values are collected."""


def refuse_repeats(arguments: Sequence[str]) -> None:
    """Checks that no flag's earlier values would be lost.

    Args:
        arguments: As typed, the command first.

    Raises:
        ConfigError: One would.
    """
    collected = EVERYWHERE | BY_COMMAND.get(arguments[0] if arguments else "", set())
    given = Counter(
        argument.partition("=")[0].replace("_", "-")
        for argument in arguments
        if argument.startswith("--")
    )
    for flag, times in given.items():
        if times > 1 and flag not in collected:
            raise ConfigError(
                f"{flag} is given {times} times, and only the last would count; give it once, with "
                f"all its values behind it ({flag} A B) where it takes several."
            )
