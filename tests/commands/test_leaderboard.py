"""`crosslight leaderboard`: systems under one budget, row by row, whoever is killed meanwhile."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands.boards import call_of
from tests.conftest import RECIPE

from crosslight import cli
from crosslight.errors import ConfigError
from crosslight.experiments.board import asked_of
from crosslight.experiments.board_works import planned
from crosslight.experiments.leaderboard import read_leaderboard
from crosslight.experiments.options import Filling
from crosslight.files import write_text
from crosslight.report.standings import Probes

SYSTEMS = ("", "+hard:config.triplet=hard", "+lost:config.lr=1e9", "+many:data.ids_per_batch=50")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, recipe: Path, promenade: Path) -> Path:
    """A finished one, with two systems that fail; not to be changed."""
    folder = tmp_path_factory.mktemp("boards") / "board"
    systems = [f"{recipe}{end}" for end in SYSTEMS]
    cli.main(call_of(folder, promenade, "--systems", *systems, "--seeds", "0", "--images", "64"))
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
    cli.main(call_of(board, promenade))
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


def test_probes_of_another_training_are_not_the_rows(board: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(board, tmp_path / "board")
    run = folder / "runs" / "sysu-mm01" / "tiny+hard" / "seed-0"
    probed = {"settings": {}, "missing": {}, "parts": {"leakage": {"disentanglement": {"a": 0.5}}}}
    write_text(run / "probe" / "probe.json", json.dumps(probed))
    trained = yaml.safe_load((run / "config.yaml").read_text())
    for factor, leakage in ((0.1, None), (1.0, 0.5)):
        trained["training"]["lr_factor"] = factor
        (run / "config.yaml").write_text(yaml.safe_dump(trained))
        (own,) = read_leaderboard(folder).standings
        probes = [row.probes for one in own.systems for row in one.rows if row.system[5:] == "hard"]
        assert probes == [Probes(swaps=None, leakage=leakage) if leakage else None]


def _lines(board: Path) -> tuple[str, re.RegexFlag]:
    return (board / "leaderboard.md").read_text(), re.MULTILINE


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--images", "128"], "has images 64, but --images 128 was asked for; leave --images out"),
        (["--height", "64"], "has height 32, but --height 64"),
        (["--weights", "timm"], "has weights none, but --weights timm"),
        (["--set", "training.clip_norm=1"], "has set none, but --set training.clip_norm=1"),
        (["--set", "data.validation=val"], "data.validation is not for a leaderboard: every"),
        (["--set", "training.seed=3"], "training.seed is not for a leaderboard: give --seeds"),
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
    assert said in fails(*call_of(board, promenade, *more))
    assert (board / "board.yaml").read_text() == before


def test_another_data_set_or_recipe_is_not_mixed_in(
    board: Path, promenade: Path, recipe: Path, tmp_path: Path, fails: Any
) -> None:
    changed = tmp_path / "tiny.yaml"
    changed.write_text(RECIPE + "training: {clip_norm: 1.0}\n")
    assert "has another system called tiny" in fails(
        *call_of(board, promenade, "--systems", str(changed))
    )
    before = recipe.read_text()
    recipe.write_text(before + "training: {clip_norm: 1.0}\n")
    said = fails(*call_of(board, promenade, "--systems", str(recipe)))
    recipe.write_text(before)
    own = Path("sysu-mm01") / "tiny"
    assert f"again remove {board / 'rows' / own} and {board / 'runs' / own}, or" in said
    assert "seed-0.json was made with training.clip_norm = None, but now tiny has 1.0" in said
    fewer = shutil.copytree(promenade, tmp_path / "fewer")
    next((fewer / "cam1" / "0001").iterdir()).unlink()
    assert "images of Promenade tiny" in fails(*call_of(board, fewer))
    harder = shutil.copytree(promenade, tmp_path / "harder")
    made = json.loads((harder / "promenade.json").read_text())
    (harder / "promenade.json").write_text(json.dumps(made | {"difficulty": "hard"}))
    assert "of Promenade tiny (hard, near-infrared" in fails(*call_of(board, harder))


def test_rows_of_seeds_that_a_call_does_not_name_are_compared_too(
    board: Path, promenade: Path, recipe: Path, fails: Any
) -> None:
    before = recipe.read_text()
    recipe.write_text(before + "training: {clip_norm: 1.0}\n")
    said = fails(*call_of(board, promenade, "--systems", str(recipe), "--seeds", "1"))
    recipe.write_text(before)
    assert "seed-0.json was made with training.clip_norm = None, but now tiny has 1.0" in said
    assert "seeds: [1]" not in (board / "board.yaml").read_text()
    assert not (board / "runs" / "sysu-mm01" / "tiny" / "seed-1").exists()


@pytest.mark.parametrize("name", ["seed-0", "rate-1"])
def test_rows_of_data_sets_that_a_call_does_not_name_are_compared_too(
    board: Path, promenade: Path, recipe: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(board, tmp_path / "board", ignore=shutil.ignore_patterns("runs"))
    content = yaml.safe_load((folder / "board.yaml").read_text())
    content["data"]["regdb"] = content["data"]["sysu-mm01"]
    (folder / "board.yaml").write_text(yaml.safe_dump(content))
    (folder / "rows" / "regdb").mkdir()
    row = (folder / "rows" / "sysu-mm01" / "tiny").rename(folder / "rows" / "regdb" / "tiny")
    kept = json.loads((row / "seed-0.json").read_text())
    if name == "rate-1":
        (row / "seed-0.json").unlink()
        keys = ("system", "data", "seed", "lr_factor", "images", "config", "made")
        kept = {key: kept[key] for key in keys}
        kept["config"]["data"]["validation"] = "val"
    # As many batches as the budget takes there, which nobody knows without its images.
    kept["config"]["data"]["iterations_per_epoch"] = 77
    (row / f"{name}.json").write_text(json.dumps(kept))
    data, how = [f"sysu-mm01:{promenade}"], Filling(systems=(str(recipe),), seeds=(1,))

    def plan() -> None:
        planned(folder, folder / "runs", asked_of(folder, data, how), how)

    plan()
    before = recipe.read_text()
    recipe.write_text(before + "training: {clip_norm: 1.0}\n")
    said = rf"regdb/tiny/{name}.json was made with training.clip_norm = None, but now tiny has 1"
    with pytest.raises(ConfigError, match=said):
        plan()
    recipe.write_text(before)


def test_a_folder_that_holds_something_else_is_left_alone(
    promenade: Path, tmp_path: Path, fails: Any
) -> None:
    assert "holds no leaderboard" in fails("leaderboard", tmp_path / "none", "--only-table")
    assert "--data LAYOUT:ROOT" in fails("leaderboard", tmp_path / "none")
    assert "is less than one batch" in fails(
        *call_of(tmp_path / "none", promenade, "--systems", "bdtr", "--images", "1",
                "--set", "data.ids_per_batch=2")
    )  # fmt: skip
    assert not (tmp_path / "none").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    assert "is not empty and holds no leaderboard" in fails(*call_of(tmp_path / "mine", promenade))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    (tmp_path / "board.yaml").write_text("systems: 3")
    assert "board.yaml" in fails(*call_of(tmp_path, promenade))
