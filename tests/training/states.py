"""What a run has left on the disk, and comparing it bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from crosslight.training.checkpoint import load_safely

_TIMES = {"images_per_s", "seconds"}
_FREE = {"seconds", "log_bytes", "workers", "checkpoint_every"}


def state(path: Path) -> dict[str, Any]:
    return load_safely(path / "checkpoints" / "last.pt")


def lines(path: Path) -> list[dict[str, Any]]:
    text = (path / "log.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def untimed(path: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in _TIMES} for line in lines(path)]


def assert_same_state(first: Any, second: Any, where: str = "") -> None:
    """Bit for bit, besides times and what may change while a training continues."""
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first.keys() - _FREE:
            assert_same_state(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same_state(one, other, f"{where}[{index}]")
    elif isinstance(first, Tensor):
        assert first.dtype == second.dtype, where
        assert first.numpy().tobytes() == second.numpy().tobytes(), where
    else:
        assert first == second, where
