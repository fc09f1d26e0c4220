"""Released files as a user brings them: import, then whatever takes a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.experiments.test_importing import PEOPLE, originals, overrides, saved, trained

from crosslight import cli
from crosslight.data.layouts import read_layout


def imported(system: str, folder: Path, *, without: str = "nothing") -> Path:
    _, method = trained(system)
    files = [path for path in saved(folder, originals(system, method)) if without not in path.name]
    changes = [part for text in overrides(system) for part in ("--set", text)]
    out = folder / "run"
    cli.main(["import", system, *map(str, files), "--out", str(out), *changes])
    return out


def test_an_imported_run_is_evaluated_drawn_and_enrolled_as_any(
    promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = imported("dgnet", tmp_path)
    said = capsys.readouterr().out
    assert f"as dgnet, {PEOPLE} people, images of 64 x 32 pixels" in said
    assert f"Next: crosslight evaluate {run} --data LAYOUT:ROOT" in said
    assert sorted(path.name for path in run.iterdir()) == [
        "card.json",
        "config.yaml",
        "model.safetensors",
    ]

    cli.main(["evaluate", str(run), "--data", f"sysu-mm01:{promenade}", "--workers", "0"])
    assert json.loads((run / "metrics.json").read_text())
    image = str(read_layout("sysu-mm01", promenade).split("test").paths[0])
    grid = tmp_path / "grid.png"
    cli.main(["swap", str(run), "--appearance", image, "--structure", image, "--out", str(grid)])
    assert grid.is_file()
    store = str(tmp_path / "people.exact")
    cli.main(["gallery", "create", store, "--model", str(run)])
    cli.main(["gallery", "add", store, image])
    assert "now holds 1." in capsys.readouterr().out


def test_parts_that_are_left_out_and_untrained_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    imported("hicmd", tmp_path, without="dis")
    said = capsys.readouterr().out
    assert "In no file, so untrained: critics, which training further would need." in said
    assert "untrained: illumination_running_mean, which translating would need." in said


def test_what_embeds_nothing_is_not_enrolled_with(tmp_path: Path, fails) -> None:
    run = imported("d2rl", tmp_path)
    said = fails("gallery", "create", tmp_path / "people.exact", "--model", run)
    assert "not trained for embedding" in said
    assert "is a folder" in fails("import", "dgnet", tmp_path, "--out", tmp_path / "other")
