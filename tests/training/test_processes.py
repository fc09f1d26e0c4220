"""Trainings in real processes: killed, asked to stop, and shared by two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.last_resort import HANG_S
from tests.training.states import assert_same_state, lines, state, untimed

ROOT = Path(__file__).parents[2]
# Sums must not depend on the number of processes: whole batches seen by all, no per-rank noise.
SHARED = {"batch_norm": False, "dropout": 0.0, "double": True}
BY_TWO: dict[str, Any] = {"config": SHARED, "recipe": {"clip_norm": 0.5}, "devices": 2}


def train(path: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.training.train_tiny", str(path), json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    path.parent.mkdir(exist_ok=True)
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uncut") / "run"
    done = train(path)
    assert done.returncode == 0, done.stderr
    return path


def test_a_killed_training_continues_bit_for_bit(tmp_path: Path, uncut: Path) -> None:
    path = tmp_path / "run"
    killed = train(path, signals={"10": [0, signal.SIGKILL]}, recipe={"workers": 2})
    assert killed.returncode == -signal.SIGKILL
    assert state(path)["position"]["iteration"] == 5
    assert len(lines(path)) == 5
    done = train(path, recipe={"workers": 1})
    assert done.returncode == 0, done.stderr
    assert_same_state(state(uncut), state(path))
    assert untimed(path) == untimed(uncut)


def test_sigterm_saves_and_exits_with_143(tmp_path: Path, uncut: Path) -> None:
    path = tmp_path / "run"
    asked = train(path, signals={"9": [0, signal.SIGTERM]}, recipe={"workers": 1})
    assert asked.returncode == 128 + signal.SIGTERM
    assert "interrupted and saved at iteration 7 of stage joint" in asked.stderr
    assert "run the same command again to continue" in asked.stderr
    assert "Traceback" not in asked.stderr
    assert train(path).returncode == 0
    assert_same_state(state(uncut), state(path))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes."""
    path = tmp_path_factory.mktemp("shared") / "run"
    done = train(path, **BY_TWO)
    assert done.returncode == 0, done.stderr
    return path


def test_two_processes_train_as_one(tmp_path: Path, shared: Path) -> None:
    one, two = tmp_path / "run", shared
    alone = train(one, **{**BY_TWO, "devices": 1})
    assert alone.returncode == 0, alone.stderr
    expected, found = state(one), state(two)
    for name, tensor in expected["method"].items():
        assert torch.allclose(found["method"][name], tensor, rtol=1e-9, atol=1e-12), name
    for line, other in zip(untimed(one), untimed(two), strict=True):
        for key in ("losses", "weighted"):
            assert other.pop(key) == pytest.approx(line.pop(key), rel=1e-5)
        assert other == line


def test_two_processes_stop_together_and_continue(tmp_path: Path, shared: Path) -> None:
    cut = tmp_path / "run"
    asked = train(cut, **BY_TWO, signals={"9": [1, signal.SIGTERM]})
    assert asked.returncode != 0
    assert "interrupted and saved at iteration 7 of stage joint" in asked.stderr
    done = train(cut, **BY_TWO)
    assert done.returncode == 0, done.stderr
    assert_same_state(state(shared), state(cut))
    assert untimed(shared) == untimed(cut)


def test_people_that_cannot_be_shared_out_are_one_sentence(tmp_path: Path) -> None:
    failed = train(tmp_path / "run", config=SHARED, devices=2, recipe={"ids": 3})
    assert failed.returncode != 0
    assert "set data.ids_per_batch to a multiple of 2" in failed.stderr
