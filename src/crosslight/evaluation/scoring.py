"""What a user may choose about scoring, with the usual choice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from crosslight.errors import ConfigError
from crosslight.types import Distance

Sampler = Literal["seeded", "official"]
AveragePrecision = Literal["rectangular", "trapezoid"]

TRIALS = 10
"""How many galleries are drawn, as every published table of SYSU-MM01 has it."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How features are scored.

    Attributes:
        distance: How features are compared; dot: larger is nearer.
        sampler: Gallery sampler of sysu-mm01.
        permutations: rand_perm_cam.mat for the official sampler.
        average_precision: Area under the precision-recall curve; rectangular is the usual one.
    """

    distance: Distance = "cosine"
    sampler: Sampler = "seeded"
    permutations: Path | None = None
    average_precision: AveragePrecision = "rectangular"


def check_distance(name: str) -> Distance:
    """The name itself, if it is one of the distances.

    Raises:
        ConfigError: It is not.
    """
    distance: Distance = _one_of("Distance", name, get_args(Distance))
    return distance


def check_sampler(name: str) -> Sampler:
    """The name itself, if it is one of the samplers.

    Raises:
        ConfigError: It is not.
    """
    sampler: Sampler = _one_of("Sampler", name, get_args(Sampler))
    return sampler


def check_average_precision(name: str) -> AveragePrecision:
    """The name itself, if it is one of the rules.

    Raises:
        ConfigError: It is not.
    """
    rule: AveragePrecision = _one_of("Average precision", name, get_args(AveragePrecision))
    return rule


def _one_of(what: str, name: str, names: tuple[str, ...]) -> Any:
    if name not in names:
        raise ConfigError(f"{what} '{name}' is unknown; choose one of {', '.join(names)}.")
    return name
