"""`crosslight leaderboard`: systems under one budget, row by row, whoever is killed meanwhile."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.conftest import RECIPE

from crosslight import cli
from crosslight.errors import ConfigError
from crosslight.experiments.leaderboard import leaderboard, read_leaderboard
from crosslight.experiments.options import Filling
from crosslight.files import write_text
from crosslight.report.standings import Probes

SYSTEMS = ("", "+hard:config.triplet=hard", "+lost:config.lr=1e9", "+many:data.ids_per_batch=50")
METHOD = """
import os
import signal

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
        return super().embed(images, modality)
"""


def _words(board: Path, data: Path, *more: str) -> list[str]:
    return ["leaderboard", str(board), "--data", f"sysu-mm01:{data}", *more]


def _row(board: Path, system: str, name: str = "seed-0") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (board / "rows" / "sysu-mm01" / system / f"{name}.json").read_text()
    )
    return found


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, recipe: Path, promenade: Path) -> Path:
    """A finished one, with two systems that fail; not to be changed."""
    folder = tmp_path_factory.mktemp("boards") / "board"
    systems = [f"{recipe}{end}" for end in SYSTEMS]
    cli.main(_words(folder, promenade, "--systems", *systems, "--seeds", "0", "--images", "64"))
    return folder


def test_every_system_has_a_row_and_those_that_fail_a_sentence(board: Path) -> None:
    told = json.loads((board / "leaderboard.json").read_text())["data"]["sysu-mm01"]
    systems = {one["system"]: one for one in told["systems"]}
    assert set(systems) == {"tiny", "tiny+hard", "tiny+lost", "tiny+many"}
    assert told["compared_with"] == "tiny"
    for name in ("tiny", "tiny+hard"):
        one = systems[name]
        assert one["images"] == [64]
        assert one["parameters"] > one["embedding_parameters"] > 0
        assert one["training_cpu_s_per_1000_images"] > 0
        assert one["embedding_cpu_s_per_1000_images"] > 0
        assert set(one["scores"]) == {
            f"sysu-mm01/{search}/{shots}" for search in ("all", "indoor") for shots in (1, 10)
        }
    ahead = systems["tiny+hard"]["scores"]["sysu-mm01/all/1"]["mAP"]["ahead"]
    assert ahead["low"] <= ahead["mean"] <= ahead["high"]
    assert re.match(r"loss '.*' became (nan|inf|-inf)", systems["tiny+lost"]["failed"]["0"])
    assert "50" in systems["tiny+many"]["failed"]["0"]
    assert set(told["start"]["scores"]) == set(told["chance"])
    table = (board / "leaderboard.md").read_text()
    for cells in (r"tiny \| 0", r"tiny\+lost \| failed", r"the start, untrained \|", r"chance \|"):
        assert re.search(rf"^\| {cells}", table, re.MULTILINE), cells
    assert (board / "leaderboard.png").stat().st_size > 1000


def test_what_is_kept_names_no_place_on_this_machine(board: Path, promenade: Path) -> None:
    kept = [p for p in board.rglob("*") if p.is_file() and "runs" not in p.parts]
    kept = [path for path in kept if not path.name.startswith(".") and path.suffix != ".png"]
    assert len(kept) == 1 + 2 + 1 + len(SYSTEMS)  # the board, its table, the start
    for path in kept:
        text = path.read_text().replace("".join(_recipes(board)), "")
        assert str(promenade) not in text, path
        assert str(board) not in text, path
    assert (board / ".gitignore").read_text().splitlines() == ["runs/", ".*", "!.gitignore"]


def _recipes(board: Path) -> set[str]:
    systems = yaml.safe_load((board / "board.yaml").read_text())["systems"]
    return {preset["recipe"] for presets in systems.values() for preset in presets}


def test_the_same_command_finds_everything_done_and_needs_no_budget(
    board: Path, promenade: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in board.rglob("*.json")}
    cli.main(_words(board, promenade))
    said = capsys.readouterr().out
    assert said.count(" is finished.") == 3
    assert said.count("seed-0 failed: ") == 2
    changed = [p for p, when in before.items() if p.stat().st_mtime_ns != when]
    assert [path.name for path in changed] == ["leaderboard.json"]


def test_only_the_table_is_written_again_with_what_was_probed_since(
    board: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probed = {
        "settings": {},
        "missing": {},
        "parts": {
            "swaps": {
                "visible on visible": {"scaled": {"ssim person": [0.5, 0.7]}},
                "visible on infrared": {"scaled": {"ssim person": [0.2, 0.2]}},
            },
            "leakage": {"disentanglement": {"a": 0.5, "b": 0.2}},
        },
    }
    run = board / "runs" / "sysu-mm01" / "tiny" / "seed-0"
    write_text(run / "probe" / "probe.json", json.dumps(probed))
    cli.main(["leaderboard", str(board), "--only-table"])
    assert (board / "leaderboard.md").read_text() in capsys.readouterr().out
    assert re.search(r"^\| tiny \|.*\| 0\.40 \| 0\.65 \|$", *_lines(board))
    (run / "probe" / "probe.json").unlink()
    (own,) = read_leaderboard(board).standings
    rows = {row.system: row for one in own.systems for row in one.rows}
    assert rows["tiny"].probes == Probes(swaps=0.4, leakage=0.65), "the row keeps it"
    assert rows["tiny+hard"].probes is None


def _lines(board: Path) -> tuple[str, re.RegexFlag]:
    return (board / "leaderboard.md").read_text(), re.MULTILINE


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--images", "128"], "has images 64, but --images 128 was asked for; leave --images out"),
        (["--height", "64"], "has height 32, but --height 64"),
        (["--weights", "timm"], "has weights none, but --weights timm"),
        (["--set", "training.clip_norm=1"], "has set none, but --set training.clip_norm=1"),
        (["--seeds", "1", "2", "1"], "--seeds names 1 twice"),
        (["--systems", "agv"], "Unknown system 'agv'; did you mean 'agw'?"),
        (["--systems", "agw", "agw"], "--systems names agw twice"),
        (["--systems", "dgnet"], "The system dgnet learns from images in visible light alone"),
        (["--systems", "structure-id+grey"], "no switch 'grey'; did you mean 'gray'?"),
        (
            ["--systems", "agw+few:data.ids_per_batch=4"],
            "System agw+few: --images 64 is less than one batch for each stage",
        ),
        (["--only-table"], "--only-table looks at no data"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_contradiction_is_one_sentence(
    board: Path, promenade: Path, fails: Any, more: list[str], said: str
) -> None:
    before = (board / "board.yaml").read_text()
    assert said in fails(*_words(board, promenade, *more))
    assert (board / "board.yaml").read_text() == before


def test_another_data_set_or_recipe_is_not_mixed_in(
    board: Path, promenade: Path, recipe: Path, tmp_path: Path, fails: Any
) -> None:
    changed = tmp_path / "tiny.yaml"
    changed.write_text(RECIPE + "training: {clip_norm: 1.0}\n")
    assert "has another system called tiny" in fails(
        *_words(board, promenade, "--systems", str(changed))
    )
    before = recipe.read_text()
    recipe.write_text(before + "training: {clip_norm: 1.0}\n")
    said = fails(*_words(board, promenade, "--systems", str(recipe)))
    recipe.write_text(before)
    assert f"remove that file and {board / 'runs' / 'sysu-mm01' / 'tiny' / 'seed-0'}" in said
    assert "seed-0.json was made with training.clip_norm = None, but now tiny has 1.0" in said
    fewer = shutil.copytree(promenade, tmp_path / "fewer")
    next((fewer / "cam1" / "0001").iterdir()).unlink()
    assert "images of Promenade tiny" in fails(*_words(board, fewer))


def test_a_folder_that_holds_something_else_is_left_alone(
    promenade: Path, tmp_path: Path, fails: Any
) -> None:
    assert "holds no leaderboard" in fails("leaderboard", tmp_path / "none", "--only-table")
    assert "--data LAYOUT:ROOT" in fails("leaderboard", tmp_path / "none")
    assert "is less than one batch" in fails(
        *_words(tmp_path / "none", promenade, "--systems", "bdtr", "--images", "1",
                "--set", "data.ids_per_batch=2")
    )  # fmt: skip
    assert not (tmp_path / "none").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "is not empty and holds no leaderboard" in fails(*_words(tmp_path / "mine", promenade))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    (tmp_path / "board.yaml").write_text("systems: 3")
    assert "board.yaml" in fails(*_words(tmp_path, promenade))


def test_rates_are_tried_by_validation_people_and_the_best_is_kept(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    how = Filling(
        systems=(str(recipe),), seeds=(0,), images=64, rates=(1.0, 1e8), try_share=0.5, width=16
    )
    data = [f"sysu-mm01:{promenade}"]
    theirs = leaderboard(tmp_path, data, how)
    while (row := next(theirs)).name != "tiny on sysu-mm01, learning rate x 1":
        pass
    assert row.state == "begins"
    states = {row.name: row.state for row in leaderboard(tmp_path, data, Filling(seeds=(0,)))}
    assert states == {
        "start on sysu-mm01": "was done",
        "tiny on sysu-mm01, learning rate x 1": "elsewhere",
        "tiny on sysu-mm01, learning rate x 1e+08": "failed",
        "tiny on sysu-mm01": "waits",
    }
    assert [row.state for row in theirs][-1] == "done"
    tried, lost = (_row(tmp_path, "tiny", f"rate-{factor}") for factor in ("1", "1e+08"))
    runs = tmp_path / "runs" / "sysu-mm01" / "tiny"
    assert (runs / "rate-1" / "log.jsonl").exists()
    assert not (runs / "rate-1" / "checkpoints").exists(), "nothing continues a try"
    assert not (runs / "seed-0" / "checkpoints").exists(), "nor a finished training"
    assert (runs / "seed-0" / "model.safetensors").exists()
    assert (tried["images"], tried["people"], tried["protocol"]) == (32, 2, "sysu-mm01/all/1")
    assert 0 < tried["score"] <= 1
    assert "became" in lost["fault"]
    row = _row(tmp_path, "tiny")
    assert row["lr_factor"] == row["config"]["training"]["lr_factor"] == 1
    table = (tmp_path / "leaderboard.md").read_text()
    assert "2 tries for each system, 1, 1e+08 times its recipe's, each with 50% of" in table
    assert f"| **{100 * tried['score']:.1f}** | – |" in table


def test_a_board_may_begin_to_try_rates_and_keeps_the_rows_that_had_the_best(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    data = [f"sysu-mm01:{promenade}"]
    begun = Filling(systems=(str(recipe),), seeds=(0,), images=64, try_share=0.5, width=16)
    assert [row.state for row in leaderboard(tmp_path / "b", data, begun)][-1] == "done"
    shutil.copytree(tmp_path / "b", tmp_path / "other")
    for rates, state, factor in (((1.0, 1e8), "was done", 1.0), ((1e-6, 1e8), "done", 1e-6)):
        folder = tmp_path / ("b" if factor == 1 else "other")
        before = (folder / "rows" / "sysu-mm01" / "tiny" / "seed-0.json").read_text()
        rows = {row.name: row for row in leaderboard(folder, data, Filling(rates=rates))}
        assert rows["tiny on sysu-mm01"].state == state
        row = _row(folder, "tiny")
        assert row["lr_factor"] == row["config"]["training"]["lr_factor"] == factor
        assert (json.dumps(row) + "\n" == before) == (factor == 1)
        kept = {path.name for path in (folder / "runs" / "sysu-mm01" / "tiny").iterdir()}
        assert ("seed-0-at-rate-1" in kept) == (factor != 1), "nothing is lost"
        again = {row.name: row.state for row in leaderboard(folder, data)}
        assert again["tiny on sysu-mm01"] == "was done"
        assert "Not yet" not in (folder / "leaderboard.md").read_text()
        with pytest.raises(ConfigError, match=r"has rates .*, but --rates 2.0 was asked for"):
            next(leaderboard(folder, data, Filling(rates=(2.0,))))


def test_a_try_with_all_images_is_the_row(recipe: Path, promenade: Path, tmp_path: Path) -> None:
    data = [f"sysu-mm01:{promenade}"]
    how = Filling(systems=(str(recipe),), seeds=(0, 1), images=64, width=16)
    rows = {}
    for name, rates in (("untried", ()), ("tried", (1.0, 1e8))):
        folder = tmp_path / name
        done = [*leaderboard(folder, data, replace(how, rates=rates))]
        assert done[-1].state == "done"
        rows[name] = [_row(folder, "tiny", f"seed-{seed}") for seed in (0, 1)]
    for untried, tried in zip(*rows.values(), strict=True):
        assert untried["scores"] == tried["scores"]
        assert untried["config"] == tried["config"]
        assert untried["iterations"] == tried["iterations"]
        assert untried["cost"]["trained"] == tried["cost"]["trained"] == 64
    place = tmp_path / "tried" / "runs" / "sysu-mm01" / "tiny"
    spent = [(place / run / "training-cost.json").read_text() for run in ("rate-1", "seed-0")]
    assert spent[0] == spent[1], "it was not trained again"
    assert (place / "seed-1" / "training-cost.json").read_text() != spent[0]
    now = replace(how, rates=(1.0, 1e8))
    assert [row.state for row in leaderboard(tmp_path / "untried", data, now)][-1] == "was done"
    trained = tmp_path / "untried" / "runs" / "sysu-mm01" / "tiny" / "rate-1" / "model.safetensors"
    assert not trained.exists(), "the row is that try"
    score, other = (_row(tmp_path / name, "tiny", "rate-1")["score"] for name in rows)
    assert score == other


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
    words = _words(folder, promenade, "--systems", str(mortal), "--seeds", "0", "--images", "96")

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
    row = _row(folder, "mortal")
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
    words = _words(folder, promenade, "--systems", str(mortal), "--seeds", "0", "--images", "16")
    cli.main(words)
    assert _row(folder, "mortal")["fault"] == "IndexError: list index out of range"
    told = (folder / "runs" / "sysu-mm01" / "mortal" / "seed-0" / "fault.txt").read_text()
    assert "in embed" in told
    assert "mortal on" not in told
