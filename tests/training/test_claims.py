"""Two starts into one folder: whose it is, from the check of it to the end of the training."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, TrainingError
from crosslight.locking import FolderLock
from crosslight.training import claims
from crosslight.training.loop import fit
from crosslight.training.machines import Machines
from crosslight.training.run import RunFolder
from tests.last_resort import HANG_S
from tests.training.people import draw_people
from tests.training.states import state
from tests.training.tiny import build, open_run, recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def unnumbered(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in claims._RANKS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that another process has."""
    path = tmp_path / "run"
    path.mkdir()
    lock = FolderLock(path)
    lock.acquire()
    yield path
    lock.release()


def is_free(path: Path) -> bool:
    lock = FolderLock(path)
    try:
        lock.acquire()
    except BlockingIOError:
        return False
    lock.release()
    return True


def trained(run: RunFolder, table: SampleTable, seed: int = 0) -> int:
    config = recipe(seed=seed)
    fit(table, config, run, method=build(config, table), progress=False)
    found: int = state(run.path)["config"]["training"]["seed"]
    return found


def test_a_second_start_before_the_first_trains_is_refused_and_changes_nothing(
    table: SampleTable, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    run = RunFolder.create(path, recipe(), data={"fingerprint": table.fingerprint()}, train=table)
    before = {entry.name: entry.read_bytes() for entry in path.iterdir()}
    second = subprocess.run(
        [
            *(sys.executable, "-m", "tests.training.train_tiny", str(path)),
            json.dumps({"recipe": {"seed": 1}}),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert second.returncode == 1
    assert second.stderr.startswith(f"Another training writes to {path}; wait until it is done")
    assert {entry.name: entry.read_bytes() for entry in path.iterdir()} == before
    assert trained(run, table) == 0
    assert run.load_config().training.seed == 0


def test_a_folder_is_free_when_its_training_has_ended_or_never_will(
    table: SampleTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run"
    run = open_run(path, recipe(), table)
    assert not is_free(path)
    del run
    assert is_free(path), "nobody has it any more"
    run = open_run(path, recipe(), table)
    with pytest.raises(ConfigError, match="16-mixed") as refused:
        fit(table, recipe(precision="16-mixed"), run, machines=Machines(accelerator="cpu"))
    assert refused.value.__traceback__ is not None  # which keeps what the call had in hand
    assert is_free(path), "no such arithmetic on a processor"
    assert trained(run, table) == 0
    assert is_free(path), "done"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrainingError, match="No space left") as failed:
        open_run(tmp_path / "other", recipe(), table)
    assert failed.value.__traceback__ is not None
    assert is_free(tmp_path / "other")


def test_one_process_may_think_again_but_trains_what_the_folder_says(
    table: SampleTable, tmp_path: Path
) -> None:
    """As in a notebook, whose last error still refers to the training before."""
    before = open_run(tmp_path / "run", recipe(), table)
    run = open_run(tmp_path / "run", recipe(seed=1), table)
    del run
    assert not is_free(tmp_path / "run"), "it is still the other's"
    run = open_run(tmp_path / "run", recipe(seed=1), table)
    with pytest.raises(ConfigError, match=r"training\.seed = 1, but training\.seed = 0 was asked"):
        trained(before, table)
    assert trained(run, table, seed=1) == 1
    with pytest.raises(ConfigError, match=r"training\.seed = 1, but training\.seed = 0 was asked"):
        trained(before, table)


def test_a_training_on_other_rows_than_its_folder_says_is_refused(
    table: SampleTable, tmp_path: Path
) -> None:
    run = open_run(tmp_path / "run", recipe(), table)
    fewer = draw_people(tmp_path / "people", people=4)
    with pytest.raises(ConfigError, match="The training images are others than those"):
        fit(fewer, recipe(), run, method=build(recipe(), fewer), progress=False)


def test_a_folder_that_was_removed_and_made_again_is_claimed_again(
    table: SampleTable, tmp_path: Path
) -> None:
    before = open_run(tmp_path / "run", recipe(), table)
    shutil.rmtree(before.path)
    run = open_run(before.path, recipe(), table)
    assert not is_free(run.path)
    assert trained(run, table) == 0


def test_while_it_trains_its_own_process_is_refused_too(table: SampleTable, tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", recipe(), table)
    lock = claims.claim_for_training(run.path)
    for begin in (lambda: open_run(run.path, recipe(), table), lambda: trained(run, table)):
        with pytest.raises(ConfigError, match="Another training writes to"):
            begin()
    lock.release()
    assert trained(run, table) == 0


@pytest.mark.parametrize("rank", ["0", "1"])
@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_one_of_several_processes_leaves_a_claimed_folder_to_the_first(
    table: SampleTable,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    rank: str,
) -> None:
    """The lock may be that of a process beside it; the loop asks when it knows who is first."""
    monkeypatch.setenv(name, rank)
    run = open_run(elsewhere, recipe(), table)
    assert not run.config_path.exists()
    with pytest.raises(ConfigError, match="Another training writes to"):
        trained(run, table)


@pytest.mark.parametrize(("rank", "holds"), [("0", True), ("1", False)])
def test_of_several_processes_the_first_alone_keeps_the_folder(
    table: SampleTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str, holds: bool
) -> None:
    monkeypatch.setenv("SLURM_PROCID", rank)
    run = open_run(tmp_path / "run", recipe(), table)
    assert run.load_config() == recipe()
    assert is_free(run.path) is not holds
    assert trained(run, table) == 0, "a number alone makes no group"
