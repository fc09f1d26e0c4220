"""Learning rates of a leaderboard: tried by validation people, before or after there are rows."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.commands.boards import row_of
from tests.conftest import RECIPE

from crosslight.errors import ConfigError
from crosslight.experiments.leaderboard import leaderboard
from crosslight.experiments.options import Filling


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
    tried, lost = (row_of(tmp_path, "tiny", f"rate-{factor}") for factor in ("1", "1e+08"))
    runs = tmp_path / "runs" / "sysu-mm01" / "tiny"
    assert (runs / "rate-1" / "log.jsonl").exists()
    assert not (runs / "rate-1" / "checkpoints").exists(), "nothing continues a try"
    assert not (runs / "seed-0" / "checkpoints").exists(), "nor a finished training"
    assert (runs / "seed-0" / "model.safetensors").exists()
    assert (tried["images"], tried["people"], tried["protocol"]) == (32, 2, "sysu-mm01/all/1")
    assert 0 < tried["score"] <= 1
    assert "became" in lost["fault"]
    row = row_of(tmp_path, "tiny")
    assert row["lr_factor"] == row["config"]["training"]["lr_factor"] == 1
    table = (tmp_path / "leaderboard.md").read_text()
    assert "2 tries for each system, 1, 1e+08 times its recipe's, each with 50% of" in table
    assert f"| **{100 * tried['score']:.1f}** | failed |" in table


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
        row = row_of(folder, "tiny")
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
        rows[name] = [row_of(folder, "tiny", f"seed-{seed}") for seed in (0, 1)]
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
    score, other = (row_of(tmp_path / name, "tiny", "rate-1")["score"] for name in rows)
    assert score == other


def _begun(folder: Path, data: list[str], system: str) -> str:
    """The state of a row that was made before any rate was tried."""
    how = Filling(systems=(system,), seeds=(0,), images=64, width=16)
    return [row.state for row in leaderboard(folder, data, how)][-1]


def test_where_no_rate_can_be_tried_good_rows_stay(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    data = [f"sysu-mm01:{promenade}"]
    assert _begun(tmp_path, data, str(recipe)) == "done"
    before = row_of(tmp_path, "tiny")
    rows = {row.name: row.state for row in leaderboard(tmp_path, data, Filling(rates=(1e8, 1e9)))}
    assert [*rows.values()] == ["was done", "failed", "failed", "was done"]
    assert row_of(tmp_path, "tiny") == before
    table = (tmp_path / "leaderboard.md").read_text()
    assert "tiny, learning rate x 1e+08: loss " in table
    assert "Not yet with a rate chosen so: all on" in table


def test_a_system_that_failed_is_made_again_with_a_rate_that_works(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    data = [f"sysu-mm01:{promenade}"]
    assert _begun(tmp_path, data, f"{recipe}+lost:config.lr=1e5") == "failed"
    rows = {row.name: row.state for row in leaderboard(tmp_path, data, Filling(rates=(1.0, 1e-9)))}
    assert [*rows.values()] == ["was done", "failed", "done", "done"]
    assert row_of(tmp_path, "tiny+lost")["lr_factor"] == 1e-9
    assert [row.state for row in leaderboard(tmp_path, data)][-1] == "was done"


def test_a_good_row_is_put_aside_when_its_better_rate_fails(
    recipe: Path, promenade: Path, tmp_path: Path
) -> None:
    data = [f"sysu-mm01:{promenade}"]
    assert _begun(tmp_path, data, str(recipe)) == "done"
    before = row_of(tmp_path, "tiny")
    rates = Filling(rates=(1.0, 1e8))
    theirs = leaderboard(tmp_path, data, rates)
    while (row := next(theirs)).name != "tiny on sysu-mm01, learning rate x 1":
        pass
    assert (row.state, next(theirs).state) == ("begins", "done")
    path = tmp_path / "rows" / "sysu-mm01" / "tiny" / "rate-1.json"
    tried = json.loads(path.read_text())
    path.write_text(json.dumps({**tried, "score": 0.0}))
    path.with_name("rate-1e+08.json").write_text(
        json.dumps({**tried, "score": 0.9, "lr_factor": 1e8, "config": {}})
    )
    assert [row.state for row in theirs][-1] == "failed"
    aside = row_of(tmp_path, "tiny", "before-seed-0-at-rate-1")
    assert aside == before
    again = [row.state for row in leaderboard(tmp_path, data)]
    assert again[-1] == "was done", "a failure with the chosen rate is not made for ever"


def test_rates_belong_to_the_recipe_they_were_tried_for(promenade: Path, tmp_path: Path) -> None:
    data, mine = [f"sysu-mm01:{promenade}"], tmp_path / "mine.yaml"
    mine.write_text(RECIPE)
    how = Filling(systems=(str(mine),), seeds=(0,), images=64, rates=(1.0, 0.1))
    theirs = leaderboard(tmp_path / "b", data, how)
    while next(theirs).name != "mine on sysu-mm01, learning rate x 0.1":
        pass
    theirs.close()
    mine.write_text(RECIPE + "training: {clip_norm: 1.0}\n")
    rows = tmp_path / "b" / "rows" / "sysu-mm01" / "mine"
    said = rf"rate-1.json was made with training.clip_norm = None.* remove {rows} and .*/mine, or"
    with pytest.raises(ConfigError, match=said):
        next(leaderboard(tmp_path / "b", data, how))
