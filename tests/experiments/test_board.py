"""What a board keeps of a call, and what later calls may add."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import save_file

from crosslight.data.promenade import make
from crosslight.errors import ConfigError
from crosslight.experiments import budget
from crosslight.experiments import leaderboard as experiments
from crosslight.experiments.board import asked_of, keep_board, read_board
from crosslight.experiments.board_works import planned
from crosslight.experiments.options import Filling
from crosslight.nn.backbones import create_backbone


def test_weights_of_a_file_are_known_by_their_digest_wherever_it_lies(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    file, board, data = tmp_path / "mine.safetensors", tmp_path / "b", [f"sysu-mm01:{promenade}"]
    save_file(create_backbone("resnet10-half").network.state_dict(), file)
    how = Filling(systems=(str(recipe),), seeds=(0,), images=16, weights=str(file))
    asked = asked_of(board, data, how)
    keep_board(board, asked, how)
    _, work = planned(board, tmp_path / "runs", asked, how)
    fitting = work.prepare()
    assert fitting is not None
    work.finish(fitting)
    row = board / "rows" / "sysu-mm01" / "tiny" / "seed-0.json"
    assert json.loads(row.read_text())["config"]["config"]["weights"] == "mine.safetensors"
    kept = {path.name for path in work.place.iterdir()}
    assert {"model.safetensors", "config.yaml", "metrics.json"} <= kept
    assert not fitting.run.checkpoints_path.exists()
    assert str(tmp_path) not in row.read_text()
    with pytest.raises(ConfigError, match=r"the file mine.safetensors .* --weights PATH"):
        asked_of(board, data, Filling())
    moved = Filling(weights=str(file.rename(tmp_path / "moved.safetensors")))
    asked = asked_of(board, data, moved)
    _, work = planned(board, tmp_path / "runs", asked, moved)
    assert work.was_done()
    with pytest.raises(ConfigError, match="which promenade is not"):
        asked_of(board, data, Filling(weights="promenade"))


def test_systems_seeds_and_data_sets_are_added_behind_those_before(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    board, data = tmp_path / "b", [f"sysu-mm01:{promenade}"]
    first = Filling(systems=(str(recipe),), seeds=(2, 1), images=64)
    keep_board(board, asked_of(board, data, first), first)
    text = (board / "board.yaml").read_text()
    asked = asked_of(board, data, Filling())
    assert (list(asked.systems), list(asked.seeds)) == (["tiny"], [2, 1])
    keep_board(board, asked, Filling())
    assert (board / "board.yaml").read_text() == text
    more = Filling(systems=(f"{recipe}+slow:config.lr=0.01",), seeds=(0,))
    asked = asked_of(board, data, more)
    assert (list(asked.systems), list(asked.seeds)) == (["tiny+slow"], [0]), "what it works on"
    keep_board(board, asked, more)
    kept = read_board(board)
    assert kept is not None
    assert list(kept.systems) == ["tiny", "tiny+slow"]
    assert kept.seeds == (2, 1, 0)
    assert kept.images == 64


def test_a_data_set_that_no_system_learns_from_is_not_added(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    board, market = tmp_path / "b", tmp_path / "market"
    make(market, preset="tiny", layout="market1501", height=32, width=16, progress=False)
    how, both = Filling(systems=(str(recipe),), images=64), f"sysu-mm01:{promenade}"
    keep_board(board, asked_of(board, [both], how), how)
    said = rf"{market} holds images in visible light alone, from which no system of .* {board} lea"
    for more in (Filling(), Filling(systems=(f"{recipe}+slow:config.lr=0.01",))):
        with pytest.raises(ConfigError, match=said):
            asked_of(board, [both, f"market1501:{market}"], more)
    asked = asked_of(board, [f"market1501:{market}"], Filling(systems=("baseline",)))
    assert (list(asked.systems), list(asked.board.data)) == (
        ["baseline"],
        ["sysu-mm01", "market1501"],
    )


def test_two_calls_that_begin_a_board_at_once_must_agree(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    board, data = tmp_path / "b", [f"sysu-mm01:{promenade}"]
    one, other = (Filling(systems=(str(recipe),), images=images) for images in (64, 128))
    asked = [asked_of(board, data, how) for how in (one, other)]
    keep_board(board, asked[0], one)
    with pytest.raises(ConfigError, match="has images 64, but --images 128"):
        keep_board(board, asked[1], other)
    assert yaml.safe_load((board / "board.yaml").read_text())["images"] == 64


def test_a_call_that_finds_a_board_begun_meanwhile_trains_under_its_budget(
    recipe: Path, promenade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes what no flag says from its own first system."""
    data, big = [f"sysu-mm01:{promenade}"], tmp_path / "big.yaml"
    big.write_text(recipe.read_text().replace("height: 32", "height: 48"))
    one = Filling(systems=(str(recipe),), images=64, rates=(0.5,))
    other = Filling(systems=(str(big),), seeds=(0,))
    slow = experiments.planned

    def overtaken(folder: Path, *rest: Any) -> Any:
        works = slow(folder, *rest)
        if not (folder / "board.yaml").exists():
            keep_board(folder, asked_of(folder, data, one), one)
        return works

    monkeypatch.setattr(experiments, "planned", overtaken)
    rows = experiments.leaderboard(tmp_path / "b", data, other)
    started = [row for row in rows if row.fitting is not None]
    assert [row.name for row in started] == [
        "start on sysu-mm01",
        "big on sysu-mm01, learning rate x 0.5",
        "big on sysu-mm01",
    ]
    assert {row.fitting.recipe.data.height for row in started if row.fitting} == {32}
    row = json.loads((tmp_path / "b" / "rows" / "sysu-mm01" / "big" / "seed-0.json").read_text())
    assert (row["images"], row["lr_factor"]) == (64, 0.5)


def test_the_start_is_that_of_the_first_system_that_has_one(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    how = Filling(
        systems=("unet-disentangle", str(recipe)),
        images=3000,
        backbone="resnet10-half",
        weights="none",
    )
    asked = asked_of(tmp_path / "b", [f"sysu-mm01:{promenade}"], how)
    start, *_ = planned(tmp_path / "b", tmp_path / "runs", asked, how)
    fitting = start.prepare()
    assert fitting is not None
    assert fitting.recipe.method == "agw"


def test_names_and_files_that_would_mislead_are_refused(
    recipe: Path, promenade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, data = tmp_path / "b", [f"sysu-mm01:{promenade}"]
    for name in ("start.yaml", "mine.yaml"):
        (tmp_path / name).write_text(recipe.read_text())
    with pytest.raises(ConfigError, match="A system cannot be called start"):
        asked_of(board, data, Filling(systems=(str(tmp_path / "start.yaml"),)))
    monkeypatch.chdir(tmp_path)
    how = Filling(systems=("mine.yaml",), images=64)
    keep_board(board, asked_of(board, data, how), how)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"system mine from the file mine.yaml, which is not in"):
        asked_of(board, data, Filling())


def test_planning_builds_the_networks_of_a_system_once(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    """For two seeds, two rates and a whole training; it took minutes of a long list."""
    budget._stages_of.cache_clear()
    systems = (str(recipe), f"{recipe}+slow:config.lr=0.01")
    how = Filling(systems=systems, seeds=(0, 1), rates=(0.5, 1), images=64)
    asked = asked_of(tmp_path / "b", [f"sysu-mm01:{promenade}"], how)
    works = planned(tmp_path / "b", tmp_path / "runs", asked, how)
    assert len(works) == 1 + 4 + 4
    assert budget._stages_of.cache_info().misses == 2


@pytest.mark.parametrize(
    ("system", "fewest"),
    [
        ("dgnet-vi", 4),
        ("proposed-2020", 4),
        ("hicmd", 2),
        ("unet-disentangle", 2),
        ("embedding-disentangle", 2),
    ],
)
def test_batches_that_a_system_cannot_learn_from_are_refused_before_any_training(
    system: str, fewest: int, promenade: Path, tmp_path: Path
) -> None:
    def plan(ids: int) -> None:
        how = Filling(
            systems=(system,),
            images=20_000,
            backbone="resnet18-half",
            weights="promenade",
            overrides=(f"data.ids_per_batch={ids}",),
        )
        asked = asked_of(tmp_path / "b", [f"sysu-mm01:{promenade}"], how)
        planned(tmp_path / "b", tmp_path / "runs", asked, how)

    plan(fewest)
    few = fewest // 2
    said = f"data.ids_per_batch is {few}, of which {system} learns nothing; set it to {fewest} or"
    with pytest.raises(ConfigError, match=said):
        plan(few)
