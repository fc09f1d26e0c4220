"""What becomes of a leaderboard's rows when a process is killed, a system or the machine fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands.boards import call_of, row_of
from tests.conftest import RECIPE

from crosslight import cli
from crosslight.errors import ConfigError, ReadingError
from crosslight.experiments.leaderboard import leaderboard
from crosslight.experiments.options import Filling
from crosslight.locking import FolderLock

METHOD = """
import os
import signal
from pathlib import Path

import torch

from crosslight.files import require_folder
from crosslight.methods.agw import AGW


def die(place):
    if os.environ.get("DIE_AT") == place:
        os.kill(os.getpid(), signal.SIGKILL)


class Mortal(AGW):
    def training_step(self, batch, update):
        if update.progress.iteration == 3:
            die("iteration 3")
        return super().training_step(batch, update)

    def embed(self, images, modality):
        die("scoring")
        if os.environ.get("DIE_AT") == "a defect":
            raise IndexError("list index out of range")
        if os.environ.get("DIE_AT") == "no memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB")
        if os.environ.get("DIE_AT") == "no folder":
            require_folder(Path(__file__) / "below a file")
        return super().embed(images, modality)
"""


@pytest.fixture
def mortal(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(METHOD)
    path = tmp_path / "mortal.yaml"
    path.write_text(
        RECIPE.replace("method: agw", "method: mine.py:Mortal")
        + "training: {checkpoint_every: 1}\n"
    )
    return path


def test_a_killed_process_leaves_its_row_to_the_next(
    mortal: Path, promenade: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "board"
    words = call_of(folder, promenade, "--systems", str(mortal), "--seeds", "0", "--images", "96")

    def killed(at: str) -> None:
        command = [sys.executable, "-m", "crosslight", *words]
        gone = subprocess.run(
            command, env={**os.environ, "DIE_AT": at}, capture_output=True, check=False
        )
        assert gone.returncode == -signal.SIGKILL, gone.stderr
        cli.main(["leaderboard", str(folder), "--only-table"])
        assert not (folder / "rows" / "sysu-mm01" / "mortal" / "seed-0.json").exists()

    killed("iteration 3")
    killed("scoring")
    cli.main(words)
    row = row_of(folder, "mortal")
    assert row["fault"] is None
    assert row["iterations"] == 12
    # The first call was killed after three iterations; the second trained the rest.
    assert row["cost"]["trained"] == 96 * 9 // 12
    assert row["cost"]["training_s"] > 0
    assert str(tmp_path) not in json.dumps(row)


def test_a_defect_of_a_method_is_a_row_too_with_its_traceback(
    mortal: Path, promenade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIE_AT", "a defect")
    folder = tmp_path / "board"
    words = call_of(folder, promenade, "--systems", str(mortal), "--seeds", "0", "--images", "16")
    cli.main(words)
    assert row_of(folder, "mortal")["fault"] == "IndexError: list index out of range"
    traceback = folder / "runs" / "sysu-mm01" / "mortal" / "seed-0" / "fault.txt"
    told = traceback.read_text()
    assert "in embed" in told
    assert "mortal on" not in told

    monkeypatch.delenv("DIE_AT")
    (folder / "rows" / "sysu-mm01" / "mortal" / "seed-0.json").unlink()
    cli.main(call_of(folder, promenade))
    assert row_of(folder, "mortal")["fault"] is None
    assert not traceback.exists()


@pytest.mark.parametrize("moment", ["tiny on sysu-mm01, learning rate x 0.1", "tiny on sysu-mm01"])
def test_data_that_is_gone_ends_the_call_and_nobody_has_failed(
    recipe: Path, promenade: Path, tmp_path: Path, moment: str
) -> None:
    data, board = shutil.copytree(promenade, tmp_path / "data"), tmp_path / "board"
    how = Filling(systems=(str(recipe),), seeds=(0, 1), images=64, rates=(1.0, 0.1))

    def call() -> None:
        for row in leaderboard(board, [f"sysu-mm01:{data}"], how):
            if (row.state, row.name) == ("begins", moment):
                data.rename(tmp_path / "elsewhere")

    with pytest.raises(ReadingError, match=r"There is no (image|folder)"):
        call()
    (tmp_path / "elsewhere").rename(data)
    cli.main(call_of(board, data))
    kept = [json.loads(path.read_text()) for path in board.glob("rows/*/*/*.json")]
    assert [one["fault"] for one in kept] == [None] * (1 + 2 + 2)


def test_full_memory_or_a_folder_that_cannot_be_written_ends_the_call(
    recipe: Path,
    mortal: Path,
    promenade: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Any,
) -> None:
    board = tmp_path / "board"
    systems = ("--systems", str(recipe), str(mortal), "--images", "16")
    call = call_of(board, promenade, "--seeds", "0", *systems)
    monkeypatch.setenv("DIE_AT", "no memory")
    assert "mortal on sysu-mm01, seed 0: the memory is full (" in fails(*call)
    monkeypatch.setenv("DIE_AT", "no folder")
    assert "below a file cannot be written (Not a directory)" in fails(*call)
    assert not [*board.glob("rows/*/mortal/*.json")]
    monkeypatch.delenv("DIE_AT")
    cli.main(call)
    assert row_of(board, "mortal")["fault"] is None


def test_a_method_that_was_edited_is_not_mixed_with_its_rows_of_before(
    mortal: Path, promenade: Path, tmp_path: Path, fails: Any
) -> None:
    board, code = tmp_path / "board", tmp_path / "mine.py"
    words = ("--systems", str(mortal), "--images", "64", "--rates", "1", "--try-share", "0.5")
    cli.main(call_of(board, promenade, *words, "--seeds", "0"))
    trained = board / "runs" / "sysu-mm01" / "mortal" / "seed-0" / "config.yaml"
    for name in ("seed-0", "rate-1"):
        kept = row_of(board, "mortal", name)["code_sha256"]
        assert kept == yaml.safe_load(trained.read_text())["code_sha256"] is not None
    code.write_text(METHOD + "# another\n")
    rows = board / "rows" / "sysu-mm01" / "mortal"
    for name in ("rate-1.json", "seed-0.json"):
        said = fails(*call_of(board, promenade, "--seeds", "1"))
        assert f"row {rows / name} was made with other code than now stands in mine.py; to" in said
        assert f"again remove {rows} and {trained.parents[1]}, or give another folder" in said
        row = json.loads((rows / name).read_text())
        del row["code_sha256"]  # as one that was made before it was kept
        (rows / name).write_text(json.dumps(row))
    cli.main(call_of(board, promenade, "--seeds", "1"))
    assert row_of(board, "mortal", "seed-1")["fault"] is None


@pytest.mark.parametrize("edited", ["mine.py", "mortal.yaml"])
def test_what_is_edited_while_rows_are_trained_ends_the_call(
    mortal: Path, promenade: Path, tmp_path: Path, edited: str
) -> None:
    more = {"mine.py": "# another\n", "mortal.yaml": "  clip_norm: 1.0\n"}[edited]
    if edited == "mortal.yaml":
        mortal.write_text(mortal.read_text().replace("{checkpoint_every: 1}", "\n  log_every: 1"))
    how = Filling(systems=(str(mortal),), seeds=(0, 1), images=16)
    theirs = leaderboard(tmp_path / "board", [f"sysu-mm01:{promenade}"], how)
    while (row := next(theirs)).state != "done" or row.name != "mortal on sysu-mm01":
        pass
    with (tmp_path / edited).open("a") as file:
        file.write(more)
    with pytest.raises(ConfigError, match=r"seed-0.json was made with (other code|training.clip)"):
        next(theirs)
    assert not (tmp_path / "board" / "runs" / "sysu-mm01" / "mortal" / "seed-1").exists()


@pytest.mark.parametrize("mended", ["mine.py", "mortal.yaml"])
@pytest.mark.parametrize("cut_off", ["a defect", "no memory"])
def test_a_row_that_failed_or_was_cut_off_is_made_again_when_its_fault_is_mended(
    recipe: Path,
    mortal: Path,
    promenade: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Any,
    mended: str,
    cut_off: str,
) -> None:
    board = tmp_path / "board"
    systems = ("--systems", str(recipe), str(mortal), "--seeds", "0", "--images", "16")
    call = call_of(board, promenade, *systems)
    monkeypatch.setenv("DIE_AT", cut_off)
    row = board / "rows" / "sysu-mm01" / "mortal" / "seed-0.json"
    if cut_off == "a defect":
        cli.main(call)
        row.unlink()
    else:
        assert "the memory is full" in fails(*call)
    monkeypatch.delenv("DIE_AT")
    if mended == "mine.py":
        (tmp_path / mended).write_text(METHOD + "# mended\n")
    else:
        mortal.write_text(mortal.read_text().replace("{checkpoint", "{clip_norm: 1.0, checkpoint"))
    run = board / "runs" / "sysu-mm01" / "mortal" / "seed-0"
    before, kept = (run / "config.yaml").read_text(), sorted(path.name for path in run.iterdir())
    lock = FolderLock(run)
    lock.acquire()
    said = fails(*call)
    assert f"For the row {row} there is another training in {run}, and another process" in said
    lock.release()
    cli.main(call)
    assert row_of(board, "mortal")["fault"] is None
    assert (run / "config.yaml").read_text() != before
    aside = run.with_name("seed-0-before-1")
    assert (aside / "config.yaml").read_text() == before
    assert set(kept) <= {path.name for path in aside.iterdir()}, "nothing is lost"


def test_a_traceback_that_lies_where_no_run_was_begun_is_in_nobodys_way(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    board = tmp_path / "board"
    call = call_of(board, promenade, "--systems", str(recipe), "--seeds", "0", "--images", "16")
    cli.main(call)
    run = board / "runs" / "sysu-mm01" / "tiny" / "seed-0"
    for number in (1, 2):
        shutil.rmtree(run)
        run.mkdir(parents=True)
        (run / "fault.txt").write_text(f"ValueError {number}")
        (board / "rows" / "sysu-mm01" / "tiny" / "seed-0.json").unlink()
        cli.main(call)
        assert row_of(board, "tiny")["fault"] is None
        aside = run.with_name(f"seed-0-before-{number}") / "fault.txt"
        assert aside.read_text() == f"ValueError {number}"


def test_what_another_mistake_ends_puts_no_training_aside(
    mortal: Path, promenade: Path, tmp_path: Path
) -> None:
    how = Filling(systems=(str(mortal),), seeds=(0, 1), images=16)
    theirs = leaderboard(tmp_path / "board", [f"sysu-mm01:{promenade}"], how)
    assert next(theirs).name == "start on sysu-mm01"
    run = tmp_path / "board" / "runs" / "sysu-mm01" / "mortal" / "seed-0"
    run.mkdir(parents=True)
    (run / "mine.txt").touch()
    assert next(theirs).state == "done"
    (tmp_path / "mine.py").write_text(METHOD + "\n    fewest_ids = 4\n")
    with pytest.raises(ConfigError, match=r"ids_per_batch is 2, of which .* learns nothing"):
        next(theirs)
    assert "mine.txt" in [path.name for path in run.iterdir()]
    assert [path.name for path in run.parent.iterdir() if path.is_dir()] == ["seed-0"]
