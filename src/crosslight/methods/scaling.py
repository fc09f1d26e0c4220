"""A method's configuration, and the same training on another number of images.

What a field counts is said by its type: `Iterations` (a length, or a place in it; `MaybeIterations`
where there may be none), `Steps` (several places), `PerIteration` (a growth), `Epochs`
(`EpochCount`: at least one) and `EpochSteps`. An epoch itself becomes longer or shorter; their
number moves only where epochs have so few batches that their length cannot.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Self

from crosslight.ranges import Count


class Counts(Enum):
    """What a field of a configuration counts, written into its type."""

    ITERATIONS = "iterations"
    PER_ITERATION = "growth in each iteration"
    EPOCHS = "epochs"


Iterations = Annotated[int, Counts.ITERATIONS]
MaybeIterations = Annotated[int | None, Counts.ITERATIONS]
Steps = Annotated[tuple[int, ...], Counts.ITERATIONS]
PerIteration = Annotated[float, Counts.PER_ITERATION]
Epochs = Annotated[int, Counts.EPOCHS]
EpochCount = Annotated[Count, Counts.EPOCHS]
EpochSteps = Annotated[tuple[int, ...], Counts.EPOCHS]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What the `Config` of every method extends."""

    def scaled(self, factor: float, *, epochs: float = 1.0) -> Self:
        """The same training on `factor` times as many images.

        Lengths, ramps, steps and warm-ups that count iterations move together, those of nested
        configurations too; none becomes 0 that was not. Epochs stay as many, so whoever scales a
        training makes each of them `factor` times as long (`data.iterations_per_epoch`).

        Args:
            factor: Above 0.
            epochs: How many times as many epochs, for whoever cannot make them so long; above 0.
        """
        changed: dict[str, Any] = {}
        for name, count in counted(type(self)).items():
            value = getattr(self, name)
            if value is None:
                continue
            times = epochs if count is Counts.EPOCHS else factor
            if count is Counts.PER_ITERATION:
                changed[name] = value / factor
            elif isinstance(value, tuple):
                changed[name] = tuple(_scaled(place, times) for place in value)
            else:
                changed[name] = _scaled(value, times)
        for field in dataclasses.fields(self):
            inner = getattr(self, field.name)
            if isinstance(inner, MethodConfig):
                changed[field.name] = inner.scaled(factor, epochs=epochs)
        return dataclasses.replace(self, **changed)


def counted(config: type[Any]) -> dict[str, Counts]:
    """Name → what it counts, of the fields that say so."""
    hints = typing.get_type_hints(config, include_extras=True)
    marks = {
        name: next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Counts)), None)
        for name, hint in hints.items()
    }
    return {name: mark for name, mark in marks.items() if mark is not None}


def _scaled(count: int, factor: float) -> int:
    return max(1, round(count * factor)) if count else 0
