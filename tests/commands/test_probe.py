"""`crosslight probe` as a user runs it: tables, pictures, the report, and what cannot be asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from tests.random_inception import write_inception

from crosslight import cli
from crosslight.data.promenade.dataset import load_world
from crosslight.experiments import probing
from crosslight.experiments.board_rows import probes_of
from crosslight.experiments.options import Probing
from crosslight.experiments.probing import INCEPTION, PARTS, PIXELS, TRUTH, read_probed
from crosslight.experiments.run import Run
from crosslight.methods.dgnet_vi import DGNetVI
from crosslight.probing.people import draw_people
from crosslight.report.standings import Probes
from crosslight.types import Modality

LIGHTS = ("visible", "infrared")

RECIPE = yaml.safe_dump(
    {
        "method": "dgnet-vi",
        "config": {
            **{key: list(v) if isinstance(v, tuple) else v for key, v in DGNetVI.small.items()},
            "teacher_iterations": 2,
            "iterations": 2,
            "ramp_start": 1,
        },
        "data": {
            "height": 64,
            "width": 32,
            "validation": "none",
            "sampling": "light-pairs",
            "ids_per_batch": 4,
            "workers": 0,
        },
    }
)
SMALL = ["--people", "12", "--draws", "2", "--pairs", "3", "--changed", "2", "--crowd", "8"]
FEWER = ["--people", "8", *SMALL[2:]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, promenade: Path) -> Path:
    """A run that was probed and evaluated."""
    folder = tmp_path_factory.mktemp("probed")
    (folder / "recipe.yaml").write_text(RECIPE)
    run, data = folder / "run", f"sysu-mm01:{promenade}"
    cli.main(["train", str(folder / "recipe.yaml"), "--data", data, "--out", str(run)])
    cli.main(["evaluate", str(run), "--data", data, "--workers", "0"])
    cli.main(["probe", str(run), "--data", data, *SMALL])
    return run


def test_every_part_is_measured_with_a_figure_of_every_draw(run):
    probed = read_probed(run)
    assert probed is not None
    assert set(probed.parts) == set(PARTS) - {"translations"}
    assert probed.missing == {"translations": "dgnet-vi does not translate."}
    codes = {"appearance", "structure", "primary", "fine", "teacher"}
    for light in ("visible", "infrared"):
        assert set(probed.parts["movements"][light]) == codes
        assert probed.parts["movements"][light]["appearance"]["light"][1:]
    scores = probed.parts["leakage"]["scores"]
    assert set(scores) == codes | {PIXELS, TRUTH} | {f"untrained {code}" for code in codes}
    assert len(scores["structure"]["camera"]["linear"]) == 2
    assert scores[TRUTH]["light"]["linear"] == [1.0, 1.0]
    assert len(probed.parts["swaps"]) == 4
    judged = probed.parts["swaps"]["infrared on visible"]["judged"]
    assert sum(judged[w][0] for w in ("appearance", "structure", "somebody else")) == (
        pytest.approx(100)
    )
    assert set(probed.parts["realism"]) >= {"swaps, visible", "real visible", "real infrared"}


@pytest.mark.parametrize("kind", ["realism", INCEPTION])
def test_nobody_who_draws_is_nearer_to_real_images_than_other_real_images(
    run, promenade, inception, tmp_path, monkeypatch, kind
):
    """A drawer that hands its input on draws the very images that the floor is made of."""
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "probe" / "realism.json").unlink()
    monkeypatch.setattr(probing, "FEWEST", 4)
    monkeypatch.setattr(probing._Probe, "swap", lambda self, looks, _: self.shown(looks))
    more = ["--inception", str(inception)] if kind == INCEPTION else []
    cli.main(["probe", str(copy), "--data", f"sysu-mm01:{promenade}", *SMALL, *more])
    found = read_probed(copy).parts[kind]
    for light in LIGHTS:
        assert found[f"swaps, {light}"] == found[f"real {light}"]


def test_a_leaderboard_takes_one_figure_of_swaps_and_one_of_leakage(run):
    parts = read_probed(run).parts
    found, places = probes_of(parts), []
    for pair in parts["swaps"].values():
        rows = {name: row["ssim person"] for name, row in pair.items() if "ssim person" in row}
        drawn, ceiling, _ = (rows.pop(name) for name in ("drawn", "taken again", "scaled"))
        floor = np.max(list(rows.values()), axis=0)
        places.append((np.array(drawn) - floor) / (np.array(ceiling) - floor))
    assert len(places) == 4
    assert found.swaps == pytest.approx(np.mean(places), abs=1e-3)
    known = parts["leakage"]["disentanglement"].values()
    assert found.leakage == pytest.approx(1 - sum(known) / len(known), abs=1e-3)
    assert probes_of({"movements": {}}) == Probes(swaps=None, leakage=None)


def test_tables_and_heat_maps_lie_beside_the_figures_and_in_the_report(run):
    tables = (run / "probe" / "probe.md").read_text()
    assert "## Swaps, visible on infrared" in tables
    assert "Translations: not measured. dgnet-vi does not translate." in tables
    assert len(list((run / "probe").glob("heat-map-*.png"))) == 3
    cli.main(["report", str(run)])
    page = (run / "report.html").read_text()
    assert "What the codes know" in page
    assert page.count("moves when one factor changes") >= 2


def test_probes_of_runs_that_are_compared_stand_beside_each_other(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "twin")
    cli.main(["compare", str(run), str(tmp_path / "twin"), "--out", str(tmp_path)])
    table = (tmp_path / "probes.md").read_text()
    assert table in capsys.readouterr().out
    rows = [line for line in table.splitlines() if line.startswith("| twin: structure |")]
    assert len(rows) == 3
    size = read_probed(run).parts["leakage"]["sizes"]["structure"]
    assert rows[2].startswith(f"| twin: structure | {size:,} |")
    assert table.count("| twin | infrared on visible, swapped |") == 1
    assert table.count("| raw pixels |") == 1


def test_what_is_measured_is_not_measured_again(run, promenade, capsys):
    before = (run / "probe" / "swaps.json").stat().st_mtime_ns
    cli.main(["probe", str(run), "--data", f"sysu-mm01:{promenade}", *SMALL])
    assert "drawing" not in capsys.readouterr().out
    assert (run / "probe" / "swaps.json").stat().st_mtime_ns == before


def test_one_part_that_is_lost_or_of_other_settings_is_measured_again(run, promenade, capsys):
    use = run / "probe" / "use.json"
    figures = json.loads(use.read_text())
    use.write_text("{")
    cli.main(["probe", str(run), "--data", f"sysu-mm01:{promenade}", *SMALL])
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line in PARTS] == ["use"]
    assert json.loads(use.read_text()) == figures


def test_codes_stay_beside_the_figures_with_their_peoples_factors_and_are_not_made_again(
    run, promenade, capsys
):
    with np.load(run / "probe" / "codes.npz") as file:
        codes = {name: file[name] for name in file.files}
    people = pl.read_parquet(run / "probe" / "people.parquet")
    assert {"pid", "cam", "modality", "body_height", "pose_phase"} <= set(people.columns)
    assert {len(codes[name]) for name in ("appearance", "structure")} == {len(people)}
    # The codes are of the people that the table names: drawn and encoded anew, they come again.
    anew = draw_people(load_world(promenade), 12)
    assert people["pid"].to_list() == anew.pids.tolist()
    assert people["body_height"].to_list() == [row["body_height"] for row in anew.rows]
    lights = [Modality(int(light)) for light in anew.modality]
    again = Run(run).codes(list(anew.images), modality=lights)
    np.testing.assert_array_equal(codes["structure"], again["structure"])

    for part in ("use", "leakage"):
        (run / "probe" / f"{part}.json").unlink()
    figures = read_probed(run).parts["use"]
    cli.main(["probe", str(run), "--data", f"sysu-mm01:{promenade}", *SMALL])
    said = capsys.readouterr().out
    assert "reading structure" in said
    assert "codes of" not in said
    assert read_probed(run).parts["use"] == figures


def test_codes_of_other_people_or_a_damaged_file_are_made_again(run, promenade, tmp_path, capsys):
    ours = shutil.copytree(run, tmp_path / "ours")
    (ours / "probe" / "use.json").unlink()
    data = f"sysu-mm01:{promenade}"
    cli.main(["probe", str(ours), "--data", data, *FEWER])
    assert "codes of" in capsys.readouterr().out
    kept = ours / "probe" / "codes.npz"
    kept.write_bytes(kept.read_bytes()[:1000])
    (ours / "probe" / "use.json").unlink()
    cli.main(["probe", str(ours), "--data", data, *FEWER])
    assert "codes of" in capsys.readouterr().out
    (ours / "probe" / "use.json").unlink()
    cli.main(["probe", str(ours), "--data", data, *FEWER])
    assert "codes of" not in capsys.readouterr().out


def test_drawn_pictures_lie_beside_the_true_ones_and_in_the_report(run):
    sheets = sorted(path.name for path in (run / "probe").glob("swaps-*.png"))
    lights = ("infrared", "visible")
    assert sheets == [f"swaps-{one}-on-{other}.png" for one in lights for other in lights]
    cli.main(["report", str(run)])
    page = (run / "report.html").read_text()
    assert "Swaps infrared on visible, and the truth." in page


def test_a_sheet_takes_the_images_that_it_shows_and_no_others(
    run, promenade, tmp_path, monkeypatch
):
    how = Probing(people=12)
    probe = probing._Probe(Run(run), "sysu-mm01", promenade, how, {}, tmp_path, lambda _: None)
    taken, shown = [], probe.shown
    monkeypatch.setattr(probe, "shown", lambda images: taken.append(images) or shown(images))
    rows = np.arange(len(probe.people))[::-1]
    drawn = np.zeros((len(rows), 64, 32, 3))
    probe._keep_sheet("some", {"image of": rows}, {"drawn": drawn})
    (images,) = taken
    np.testing.assert_array_equal(images, probe.people.images[rows[: probing.SHEET_ROWS]])
    assert (tmp_path / "some.png").is_file()


def test_a_method_without_codes_and_pictures_is_named(trained, promenade, capsys):
    with pytest.raises(SystemExit):
        cli.main(["probe", str(trained), "--data", f"sysu-mm01:{promenade}"])
    said = capsys.readouterr().err
    assert "The method agw" in said
    assert "neither codes nor pictures" in said


def test_of_photographs_what_needs_no_truth_is_measured(run, promenade, tmp_path, capsys):
    rows = pl.read_parquet(promenade / "factors.parquet").select("path", "pid", "camera")
    rows = rows.filter(pl.col("pid") <= 6).with_columns(
        cam="camera",
        modality=pl.when(pl.col("camera").is_in([3, 6]))
        .then(pl.lit("infrared"))
        .otherwise(pl.lit("visible")),
        split=pl.lit("test"),
    )
    for path in rows["path"]:
        (tmp_path / "real" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(promenade / path, tmp_path / "real" / path)
    rows.drop("camera").write_csv(tmp_path / "real" / "table.csv")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "probe")
    cli.main(["probe", str(copy), "--data", f"table:{tmp_path / 'real' / 'table.csv'}", *SMALL])
    probed = read_probed(copy)
    assert probed is not None
    assert set(probed.parts) == {"leakage", "use", "realism"}
    assert set(probed.parts["leakage"]["chance"]) == {"camera", "light"}
    assert "no Promenade" in probed.missing["swaps"]
    assert "not measured" in capsys.readouterr().out


@pytest.fixture(scope="module")
def inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inception(tmp_path_factory.mktemp("inception") / "pt_inception.pth")


def test_a_file_of_inception_adds_its_distances_and_changes_no_other(
    run, promenade, inception, tmp_path, monkeypatch, capsys
):
    copy, data = tmp_path / "run", f"sysu-mm01:{promenade}"
    shutil.copytree(run, copy)
    monkeypatch.setattr(probing, "FEWEST", 4)
    before = read_probed(copy)
    cli.main(["probe", str(copy), "--data", data, *SMALL, "--inception", str(inception)])
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line in (*PARTS, INCEPTION)] == [INCEPTION]
    assert "| pictures | FID (Inception) | KID (Inception) |" in said
    probed = read_probed(copy)
    assert {part: probed.parts[part] for part in before.parts} == before.parts
    found = probed.parts[INCEPTION]
    assert set(found) == {f"swaps, {light}" for light in LIGHTS} | {
        f"real {light}" for light in LIGHTS
    }
    for light in LIGHTS:
        drawn = found[f"swaps, {light}"]["FID (Inception)"]
        assert len(drawn) == 2
        assert min(drawn) > max(found[f"real {light}"]["FID (Inception)"])
    cli.main(["probe", str(copy), "--data", data, *SMALL])
    assert read_probed(copy) == before


def test_too_few_pictures_for_inception_is_said_and_the_rest_goes_on(
    run, promenade, inception, tmp_path, capsys
):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    data = ["--data", f"sysu-mm01:{promenade}", *SMALL]
    cli.main(["probe", str(copy), *data, "--inception", str(inception)])
    assert read_probed(copy).missing[INCEPTION].startswith("8 pictures of a light are too few")
    assert "Inception: not measured. 8 pictures" in capsys.readouterr().out
