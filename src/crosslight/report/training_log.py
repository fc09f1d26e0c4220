"""Reading a run's log: one JSON object per line, about a training interval or a validation."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve over training.

    Attributes:
        iterations: (T,) float64, counted over all stages.
        values: (T,) float64, finite.
    """

    iterations: NDArray[np.float64]
    values: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrainingLog:
    """What a log says, by name; empty where it says nothing.

    Attributes:
        losses: Loss → its curve.
        weights: Loss → the curve of its weight.
        weighted: Loss → the curve of what the weight makes of it.
        learning_rates: Optimizer → its curve.
        validation: Figure of the validation → its curve.
        stage_starts: Stage → the iteration at which it began.
    """

    losses: Mapping[str, Series] = field(default_factory=dict)
    weights: Mapping[str, Series] = field(default_factory=dict)
    weighted: Mapping[str, Series] = field(default_factory=dict)
    learning_rates: Mapping[str, Series] = field(default_factory=dict)
    validation: Mapping[str, Series] = field(default_factory=dict)
    stage_starts: Mapping[str, float] = field(default_factory=dict)


def read_log(path: Path | None) -> TrainingLog:
    """Reads `log.jsonl`; a missing file gives an empty log, damaged lines are passed over.

    The lines are those that `crosslight.training.log` describes; deviations over trials (`_sd`)
    are not drawn.

    A run that was killed may leave half a line at the end; what stands before it is still true.
    """
    points: dict[str, dict[str, list[tuple[float, float]]]] = {
        key: defaultdict(list) for key in ("losses", "weights", "weighted", "lr", "validation")
    }
    starts: dict[str, float] = {}
    offset = last = 0.0
    for line in _lines(path):
        stage = str(line.get("stage", ""))
        if stage not in starts:
            offset = last
            starts[stage] = offset
        last = offset + float(line["iteration"])
        for key, curves in points.items():
            for name, value in _numbers(line.get(key)):
                curves[name].append((last, value))
    return TrainingLog(
        losses=_series(points["losses"]),
        weights=_series(points["weights"]),
        weighted=_series(points["weighted"]),
        learning_rates=_series(points["lr"]),
        validation=_series(points["validation"]),
        stage_starts=starts,
    )


def _lines(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.is_file():
        return []
    found = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and isinstance(line.get("iteration"), int | float):
            found.append(line)
    return found


def _numbers(group: Any) -> list[tuple[str, float]]:
    if not isinstance(group, Mapping):
        return []
    return [
        (str(name), float(value))
        for name, value in group.items()
        if isinstance(value, int | float) and math.isfinite(value) and not str(name).endswith("_sd")
    ]


def _series(curves: Mapping[str, list[tuple[float, float]]]) -> dict[str, Series]:
    return {
        name: Series(
            iterations=np.array([iteration for iteration, _ in points]),
            values=np.array([value for _, value in points]),
        )
        for name, points in curves.items()
    }
