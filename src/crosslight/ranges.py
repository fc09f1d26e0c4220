"""The numbers a setting may have: stated with its type, checked in one place.

A number of a configuration whose type states no range is finite, not below 0 and at most
`LARGEST`; see `misfit`.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import wraps
from typing import Annotated, Any, ParamSpec, TypeVar

from crosslight.errors import ConfigError

LARGEST = 10**9
_LARGEST_SEED = 2**63 - 1
_MOST_PROCESSES = 1024

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`.

    Attributes:
        low: The smallest, or what it must lie above.
        high: The largest.
        above: `low` itself is not allowed.
        below: `high` itself is not allowed.
    """

    low: float
    high: float = LARGEST
    above: bool = False
    below: bool = False

    def holds(self, number: float) -> bool:
        """Whether a number is among them; NaN never is."""
        is_above = self.low < number if self.above else self.low <= number
        return is_above and (number < self.high if self.below else number <= self.high)

    def __str__(self) -> str:
        """`from 0 to 1`, `above 0, up to 1` or `above 0 and below 1`, for a sentence."""
        low, high = (f"{end:,}" for end in (self.low, self.high))
        if self.below:
            return f"{'above' if self.above else 'from'} {low} and below {high}"
        return f"above {low}, up to {high}" if self.above else f"from {low} to {high}"


Count = Annotated[int, Range(1)]
"""At least one."""

Few = Annotated[int, Range(1, 64)]
"""Layers, blocks, scales, strides: what no memory holds thousands of."""

Width = Annotated[int, Range(1, 65536)]
"""Channels or numbers of a layer."""

Positive = Annotated[float, Range(0, above=True)]

Reading = Annotated[float, Range(-LARGEST)]
"""What a sensor may say: any finite number."""

Share = Annotated[float, Range(0, 1)]
"""A probability, or a part of something."""

Part = Annotated[float, Range(0, 1, above=True)]
"""Some of something, or all of it."""

Chance = Annotated[float, Range(0, 1, above=True, below=True)]
"""A probability that is neither 0 nor 1."""

Dropout = Annotated[float, Range(0, 0.99)]
"""Dropout that leaves something."""

Pixels = Annotated[int, Range(8, 8192)]
"""Height or width of an image."""

Workers = Annotated[int, Range(0, _MOST_PROCESSES)]
"""Loading processes; 0 loads in the process itself."""

Processes = Annotated[int, Range(1, _MOST_PROCESSES)]

Port = Annotated[int, Range(0, 65_535)]
"""Of a server; 0: any free one."""

Trial = Annotated[int, Range(1, 1000)]
"""Number of a split."""

Seed = Annotated[int, Range(0, _LARGEST_SEED)]


def misfit(hint: Any, value: Any) -> tuple[Any, Range] | None:
    """The first number in a value that its type does not allow, and what it allows.

    Args:
        hint: The type, with `Range` in `Annotated` where one is stated; parts of tuples and
            unions are looked at too.
        value: Of that type.
    """
    if typing.get_origin(hint) is Annotated:
        inner, *notes = typing.get_args(hint)
        stated = next((note for note in notes if isinstance(note, Range)), None)
        if stated is None or not _is_number(value):
            return misfit(inner, value)
        return None if stated.holds(value) else (value, stated)
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        found = (misfit(part, value) for part in parts if part is not type(None))
        return None if value is None else next((fault for fault in found if fault), None)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        fixed = parts and parts[-1] is not Ellipsis and len(parts) == len(value)
        each = parts if fixed else (parts[0] if parts else Any,) * len(value)
        faults = (misfit(part, one) for part, one in zip(each, value, strict=True))
        return next((fault for fault in faults if fault), None)
    if hint in (int, float) and _is_number(value) and not Range(0).holds(value):
        return value, Range(0)
    return None


def in_range(command: Callable[P, R]) -> Callable[P, R]:
    """Around a command: its flags are checked against the ranges that its types state.

    Those of an argument that is a dataclass are flags too.

    Raises:
        ConfigError: From the command, naming flag, value and range.
    """

    @wraps(command)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        _check(command, inspect.signature(command).bind(*args, **kwargs).arguments)
        return command(*args, **kwargs)

    return checked


class Checked:
    """A dataclass of options whose numbers are checked where it is made, not by a command alone.

    Raises:
        ConfigError: When made, naming flag, value and range.
    """

    def __post_init__(self) -> None:
        _check(type(self), vars(self))


def _check(stated: Any, given: Mapping[str, Any]) -> None:
    hints = typing.get_type_hints(stated, include_extras=True)
    for name, value in given.items():
        if is_dataclass(value):
            _check(type(value), vars(value))
            continue
        fault = misfit(hints[name], value)
        if fault is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} is {fault[0]}, expected a number {fault[1]}."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
