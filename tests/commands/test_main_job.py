"""The main job as a user runs it: make, check, show, train, evaluate, report, score."""

import json
import shutil
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crosslight import cli
from crosslight.data.table import SampleTable
from crosslight.evaluation.features import load_features
from crosslight.evaluation.protocols import get_protocol
from crosslight.evaluation.reranking import KReciprocal, QueryExpansion
from crosslight.experiments.evaluation import load_evaluation

PROTOCOLS = {
    "sysu-mm01/all/1",
    "sysu-mm01/all/10",
    "sysu-mm01/indoor/1",
    "sysu-mm01/indoor/10",
}
SCORES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def test_data_check_counts_what_was_made(promenade, capsys):
    cli.main(["data", "check", "sysu-mm01", str(promenade)])
    said = capsys.readouterr().out
    images = sum(1 for _ in promenade.glob("cam*/*/*.jpg"))
    assert f"{images} images decoded" in said
    assert "errors: 0" in said


@pytest.mark.parametrize("named", [False, True])
def test_data_show_draws_a_row_per_person(promenade, tmp_path, named):
    out = tmp_path / "pictures" / "sheet.png"
    root = f"sysu-mm01:{promenade}" if named else str(promenade)
    cli.main(["data", "show", root, "--out", str(out), "--people", "3"])
    with Image.open(out) as sheet:
        assert sheet.height > 3 * 256
        assert sheet.width > 6 * 128


def test_evaluate_writes_every_score_with_its_chance(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert set(metrics) == PROTOCOLS
    for scores in metrics.values():
        for entry in (scores, scores["chance"]):
            assert len(entry["trials"]) == 10
            for key in SCORES:
                values = [trial[key] for trial in entry["trials"]]
                assert entry[key] == pytest.approx(np.mean(values), abs=1e-12)
                assert entry[f"{key}_sd"] == pytest.approx(np.std(values), abs=1e-12)
                assert 0 <= entry[key] <= 1


def test_score_gives_the_same_from_the_features_alone(trained, tmp_path, capsys):
    out = tmp_path / "scores.json"
    features = trained / "evaluation" / "features.npz"
    cli.main(["score", str(features), "--protocol", "sysu-mm01/all/1", "--json", str(out)])
    scores = json.loads(out.read_text())
    metrics = json.loads((trained / "metrics.json").read_text())["sysu-mm01/all/1"]
    assert {key: scores[key] for key in SCORES} == {key: metrics[key] for key in SCORES}
    assert scores["chance"] == metrics["chance"]
    _, plain, chance, *_ = capsys.readouterr().out.splitlines()
    assert plain.startswith("sysu-mm01/all/1")
    assert chance.split() == ["chance", *(f"{100 * scores['chance'][key]:.2f}" for key in SCORES)]


@pytest.fixture(scope="module")
def refined(trained, tmp_path_factory) -> dict[str, Any]:
    """Scores of the features of a run, with every flag that decides how they are computed."""
    out = tmp_path_factory.mktemp("refined") / "scores.json"
    cli.main(
        [
            *("score", str(trained / "evaluation" / "features.npz")),
            *("--protocol", "sysu-mm01/all/1", "--json", str(out)),
            *("--rerank", "--k1", "7", "--k2", "3", "--share", "0.2", "--expand", "4"),
            *("--block", "5"),
        ]
    )
    return json.loads(out.read_text())


def test_refined_scores_stand_beside_the_plain_ones(trained, refined):
    metrics = json.loads((trained / "metrics.json").read_text())["sysu-mm01/all/1"]
    assert {key: refined[key] for key in SCORES} == {key: metrics[key] for key in SCORES}
    assert refined["protocol"] == "sysu-mm01/all/1"
    assert metrics["path"] == "fp32+float64"
    assert refined["path"] == "fp32+float64"
    features = load_features(trained / "evaluation" / "features.npz")
    for entry, how in zip(
        refined["refined"],
        (KReciprocal(k1=7, k2=3, share=0.2), QueryExpansion(k=4)),
        strict=True,
    ):
        expected = get_protocol("sysu-mm01/all/1").evaluate(features, refinement=how)
        assert entry["protocol"] == f"sysu-mm01/all/1 + {how.text}"
        assert "+float64" in entry["path"]
        assert {key: entry[key] for key in SCORES} == {key: expected.mean[key] for key in SCORES}


def test_evaluate_refines_beside_the_plain_scores(trained, promenade, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    plain = json.loads((run / "metrics.json").read_text())["sysu-mm01/indoor/1"]
    capsys.readouterr()
    cli.main(
        [
            *("evaluate", str(run), "--data", f"sysu-mm01:{promenade}", "--workers", "0"),
            *("--protocol", "sysu-mm01/indoor/1", "--rerank", "--expand", "2"),
        ]
    )
    metrics = json.loads((run / "metrics.json").read_text())["sysu-mm01/indoor/1"]
    reranked, expanded = metrics.pop("refined")
    assert metrics == plain
    assert reranked["protocol"].endswith("k1=20, k2=6, lambda=0.3")
    assert expanded["protocol"].endswith("query expansion, k=2, power=3")
    table = capsys.readouterr().out
    assert f"{100 * reranked['mAP']:.2f} ± " in table
    assert table.count("  + ") == 2


def test_reranking_by_inner_products_is_refused_before_any_work(trained, promenade, fails):
    features = trained / "evaluation" / "features.npz"
    asked = ("--distance", "dot", "--rerank")
    assert "cosine or euclidean" in fails("score", features, "--protocol", "market1501", *asked)
    assert "cosine or euclidean" in fails(
        *("evaluate", trained, "--data", f"sysu-mm01:{promenade}", *asked)
    )


def test_the_official_permutations_are_found_beside_the_data(trained, promenade, tmp_path):
    seeded = load_evaluation(trained).results["sysu-mm01/all/1"]
    out = tmp_path / "scores.json"
    cli.main(
        [
            *("score", str(trained / "evaluation" / "features.npz")),
            *("--protocol", "sysu-mm01/all/1", "--sampler", "official"),
            *("--permutations", str(promenade), "--json", str(out)),
        ]
    )
    scores = json.loads(out.read_text())
    assert scores["sampler"] == "official"
    assert scores["trials"] != seeded.to_json()["trials"]


def test_only_test_people_are_scored(trained, promenade):
    features = load_features(trained / "evaluation" / "features.npz")
    listed = (promenade / "exp" / "test_id.txt").read_text().split(",")
    assert set(features.pids.tolist()) == {int(pid) for pid in listed}


def test_report_is_one_page_that_names_promenade(trained, tmp_path):
    out = tmp_path / "page.html"
    cli.main(["report", str(trained), "--out", str(out)])
    page = out.read_text()
    assert "Promenade tiny" in page
    assert "http://" not in page
    assert 'class="symbol">L<sub>wrt</sub>' in page, "losses are called as in their paper"


def test_the_same_command_again_changes_nothing(trained, promenade, recipe):
    before = (trained / "model.safetensors").read_bytes()
    data = f"sysu-mm01:{promenade}"
    cli.main(["train", str(recipe), "--data", data, "--out", str(trained)])
    assert (trained / "model.safetensors").read_bytes() == before


def test_a_table_of_ones_own_trains_and_scores(promenade, recipe, tmp_path):
    frame = pl.read_parquet(promenade / "factors.parquet", columns=["path", "pid", "camera"])
    pids = frame["pid"].unique().sort()
    test = pids[len(pids) // 2 :]
    rows = SampleTable(
        layout="table",
        root=promenade,
        frame=frame.select(
            path=pl.concat_str(pl.lit(f"{promenade}/"), "path"),
            pid="pid",
            cam="camera",
            modality=pl.when(pl.col("camera").is_in([3, 6])).then(1).otherwise(0).cast(pl.UInt8),
            split=pl.when(pl.col("pid").is_in(test.implode()))
            .then(pl.when(pl.col("camera").is_in([3, 6])).then(pl.lit("query"))
                  .otherwise(pl.lit("gallery")))
            .otherwise(pl.lit("train")),
        ),
    )  # fmt: skip
    rows.write(tmp_path / "people.csv")
    data, run = f"table:{tmp_path / 'people.csv'}", str(tmp_path / "run")
    cli.main(
        ["train", str(recipe), "--data", data, "--out", run, "--set", "data.validation=holdout",
         "--set", "data.holdout_fraction=0.3"]
    )  # fmt: skip
    cli.main(["evaluate", run, "--data", data, "--workers", "0"])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics) == {"any-camera"}
