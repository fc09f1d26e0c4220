"""Runs beside each other: equal ones cannot be told apart, a better one can."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crosslight import cli
from crosslight.errors import ConfigError
from crosslight.evaluation.features import load_features, save_features
from crosslight.evaluation.protocols.bootstrap import paired_difference
from crosslight.experiments.comparing import compare


@pytest.fixture(scope="module")
def runs(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same evaluation twice, and one with features that know everybody."""
    from dataclasses import replace

    folder = tmp_path_factory.mktemp("compared")
    for name in ("first", "second", "better"):
        shutil.copytree(trained, folder / name)
    place = folder / "better" / "evaluation" / "features.npz"
    features = load_features(place)
    feats = (features.pids[:, None] == np.unique(features.pids)).astype(np.float32)
    save_features(place, replace(features, feats=feats))
    return folder


def test_the_better_run_leads_and_equal_ones_are_equally_far_behind(runs: Path):
    found = compare([runs])
    assert [run.name for run in found.runs] == ["better", "first", "second"]
    better, first, second = found.runs
    for protocol, best in found.best.items():
        assert best == "better"
        assert better.scores[protocol]["mAP"] == pytest.approx(1)
        assert first.scores == second.scores
        assert first.behind == second.behind
        gap = first.behind[protocol]["mAP"]
        assert gap.low <= gap.mean <= gap.high
        assert gap.told_apart
    assert better.behind == {}


def test_equal_runs_cannot_be_told_apart(runs: Path):
    found = compare([runs / "first", runs / "second"], protocols=["sysu-mm01/all/1"])
    (gap,) = [run.behind["sysu-mm01/all/1"]["rank1"] for run in found.runs if run.behind]
    assert (gap.mean, gap.low, gap.high) == (0, 0, 0)
    assert not gap.told_apart


def test_the_command_prints_and_keeps_the_table(runs: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    cli.main(["compare", str(runs), "--protocol", "sysu-mm01/all/1", "--out", str(out)])
    said = capsys.readouterr().out
    assert "| better | 100.0 | 100.0 |" in said
    assert "chance" in said
    assert (out / "comparison.md").read_text() in said
    assert set(json.loads((out / "comparison.json").read_text())["best"]) == {"sysu-mm01/all/1"}
    assert (out / "comparison.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "0 evaluated runs; give two"),
        (["first"], "1 evaluated run in"),
        (["first", "first"], "is given twice"),
        (["x"], "0 eval"),
        (["first", "second", "third"], "third is no folder, and holds none"),
        (["first", "second", "first/evaluation"], "evaluation is no evaluated run, and holds none"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(runs: Path, given: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        compare([runs / name for name in given])


def test_other_images_or_protocols_are_named(runs: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="no protocol among market1501 by which all"):
        compare([runs], protocols=["market1501"])
    other = tmp_path / "other"
    shutil.copytree(runs / "first", other)
    from crosslight.data.table import read_table

    place = other / "evaluation" / "table.parquet"
    read_table(place).frame[1:].write_parquet(place)
    features = load_features(other / "evaluation" / "features.npz")
    from dataclasses import replace

    fewer = replace(
        features,
        feats=features.feats[1:],
        pids=features.pids[1:],
        cams=features.cams[1:],
        modality=features.modality[1:],
        split=None if features.split is None else features.split[1:],
        paths=None if features.paths is None else features.paths[1:],
    )
    save_features(other / "evaluation" / "features.npz", fewer)
    with pytest.raises(ConfigError, match="compare runs on the same images"):
        compare([runs / "first", other])


@pytest.mark.parametrize("changed", ["title", "cam"])
def test_other_images_of_the_same_names_are_refused(runs: Path, tmp_path: Path, changed: str):
    """As of a Promenade of another light, whose files bear the same names."""
    other = tmp_path / "other"
    shutil.copytree(runs / "first", other)
    place = other / "evaluation"
    if changed == "title":
        text = (place / "settings.json").read_text()
        (place / "settings.json").write_text(text.replace("near-infrared", "thermal"))
    else:
        table = pl.read_parquet(place / "table.parquet")
        cams = pl.col("cam").replace({1: 2, 2: 1})
        table.with_columns(cams).write_parquet(place / "table.parquet")
    with pytest.raises(ConfigError, match="compare runs on the same images"):
        compare([runs / "first", other])


def test_an_evaluation_never_takes_the_place_of_another_runs(
    trained: Path, promenade: Path, runs: Path, tmp_path: Path
):
    other = tmp_path / "other"
    shutil.copytree(runs / "better", other)
    kept = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
    words = ["--data", f"sysu-mm01:{promenade}", "--protocol", "sysu-mm01/all/1", "--workers", "0"]
    with pytest.raises(SystemExit):
        cli.main(["evaluate", str(trained), *words, "--out", str(other)])
    assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == kept
    cli.main(["evaluate", str(other), *words, "--out", str(other)])
    assert (other / "metrics.json").read_bytes() != kept[other / "metrics.json"]


def test_runs_that_were_scored_in_another_way_are_named_or_refused(
    trained: Path, promenade: Path, tmp_path: Path, capsys
):
    def evaluated(name: str, *more: str) -> Path:
        words = ["--data", f"sysu-mm01:{promenade}", "--protocol", "sysu-mm01/all/1"]
        cli.main(["evaluate", str(trained), *words, "--out", str(tmp_path / name), *more])
        return tmp_path / name

    kept = (trained / "metrics.json").read_bytes()
    plain, flipped = evaluated("plain"), evaluated("flipped", "--flip")
    said = capsys.readouterr().out
    assert "cosine distance, seeded galleries" in said
    assert "cosine distance, mirror images added, seeded galleries" in said
    assert (trained / "metrics.json").read_bytes() == kept
    cli.main(["compare", str(plain), str(flipped)])
    told = "flipped: cosine distance, mirror images added, seeded galleries"
    assert told in capsys.readouterr().out
    cli.main(["compare", str(plain), str(evaluated("again"))])
    assert "different ways" not in capsys.readouterr().out
    settings = flipped / "evaluation" / "settings.json"
    settings.write_text(settings.read_text().replace('"seeded"', '"official"'))
    with pytest.raises(ConfigError, match="on seeded galleries, flipped on official"):
        compare([plain, flipped])


def test_the_interval_is_that_of_the_mean_of_people():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(400), 5)
    gaps = rng.normal(0.1, 1, 400)[people]  # the queries of a person are one and the same
    found = paired_difference(gaps, np.zeros(2000), people)
    error = gaps[::5].std() / np.sqrt(400)
    assert found.mean == pytest.approx(gaps.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    alone = paired_difference(gaps, np.zeros(2000), np.arange(2000))
    assert alone.high - alone.low < 0.6 * (found.high - found.low)


def test_where_nothing_was_resampled_nothing_is_told_apart():
    same = paired_difference(np.ones(20), np.ones(20), np.arange(20)).around(0.0005)
    assert same.mean == 0.0005
    assert not same.told_apart
    one = paired_difference(np.full(5, 0.9), np.full(5, 0.2), np.zeros(5)).around(-0.3)
    assert not one.told_apart
    each = paired_difference(np.ones(20), np.zeros(20), np.arange(20)).around(0.98)
    assert each.told_apart
