"""The log of a run: JSON lines that are never doubled, and the same figures for TensorBoard.

Lines about training hold `stage`, `iteration` (done in that stage), `epoch` (done in that stage),
`losses` (means since the last line, plain), `weights` (of each loss in its update), `weighted`
(what they make of it), `lr` (of each optimizer that moved since then), `images_per_s`
and `seconds` (of training so far). Lines about a validation hold `stage`, `iteration`, `epoch`,
`validation`, `best` (whether these weights were kept) and `seconds`. A figure without a finite
value is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from crosslight.nn.distributed import world_size
from crosslight.training.run import RunFolder
from crosslight.training.weights import disk_faults_told


class RunLog:
    """Writes `log.jsonl` and `tensorboard/` of a run.

    Args:
        run: The run.
        size: Bytes of the log to keep; what stands behind them will be written again.
        step: Iterations over all stages that belong to those bytes.

    Raises:
        TrainingError: The disk is full or cannot be written.
    """

    def __init__(self, run: RunFolder, *, size: int, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._path = run.log_path
        with disk_faults_told(self._path):
            self._file = self._path.open("ab")
            if self._path.stat().st_size > size:
                self._file.truncate(size)
            self._board = SummaryWriter(str(run.tensorboard_path), purge_step=step + 1)

    def write(self, line: Mapping[str, Any], *, step: int) -> None:
        """Appends one line; `step` counts iterations over all stages.

        Raises:
            TrainingError: The disk is full or cannot be written.
        """
        plain = _finite(line)
        with disk_faults_told(self._path):
            self._file.write((json.dumps(plain) + "\n").encode())
            self._file.flush()
            for name, value in _scalars(line):
                self._board.add_scalar(name, value, step)

    def size(self) -> int:
        """Bytes written so far, all of them on the disk."""
        with disk_faults_told(self._path):
            self._file.flush()
            self._board.flush()
            return self._path.stat().st_size

    def close(self) -> None:
        """Ends writing."""
        self._file.close()
        self._board.close()


class Means:
    """Means of named figures since the last line of the log, and over the ranks.

    Every rank adds the same names and asks at the same time.

    Args:
        sums: Name → sum and count to start from.
        device: Where the figures are; they are read back only when asked for.
    """

    def __init__(self, sums: Mapping[str, tuple[float, int]], device: torch.device) -> None:
        # In float64 the sums of a few float32 losses are exact, so a mean does not depend on where
        # a training was cut. Apple's devices have no such numbers.
        kind = torch.float32 if device.type == "mps" else torch.float64
        self._sums = {
            name: (torch.tensor(total, device=device, dtype=kind), count)
            for name, (total, count) in sums.items()
        }
        self._zero = torch.zeros((), device=device, dtype=kind)

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Takes in one iteration."""
        for name, value in figures.items():
            total, count = self._sums.get(name, (self._zero, 0))
            self._sums[name] = (total + value.detach().to(total), count + 1)

    def sums(self) -> dict[str, tuple[float, int]]:
        """Name → sum and count."""
        if not self._sums:
            return {}
        totals = torch.stack([total for total, _ in self._sums.values()])
        if world_size() > 1:
            dist.all_reduce(totals)
            totals /= world_size()
        counted = zip(self._sums.items(), totals.tolist(), strict=True)
        return {name: (total, count) for (name, (_, count)), total in counted}

    def take(self) -> dict[str, float]:
        """The means, starting afresh."""
        means = {name: total / count for name, (total, count) in self.sums().items()}
        self._sums.clear()
        return means


def by_kind(means: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """`weights/NAME` and `weighted/NAME` apart from the losses and figures of that name."""
    found: dict[str, dict[str, float]] = {"losses": {}, "weights": {}, "weighted": {}}
    for name, mean in means.items():
        kind, _, loss = name.partition("/")
        if kind in ("weights", "weighted"):
            found[kind][loss] = mean
        else:
            found["losses"][name] = mean
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _scalars(line: Mapping[str, Any]) -> list[tuple[str, float]]:
    groups = ("losses", "weights", "weighted", "lr", "validation")
    scalars = [(f"{key}/{name}", v) for key in groups for name, v in line.get(key, {}).items()]
    if "images_per_s" in line:
        scalars.append(("images_per_s", line["images_per_s"]))
    return scalars
