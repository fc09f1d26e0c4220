"""A run's way of resizing images holds wherever the run is used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from crosslight import cli
from crosslight.data import transforms
from crosslight.experiments.embedder import fingerprint_of
from crosslight.training.weights import load_weights

SIZE = "height: 64\n  width: 32\n  interpolation: bicubic\n  workers: 0"
CROSS_MODAL = "ids_per_batch: 2\n  visible_per_id: 2\n  infrared_per_id: 2"
RECIPES = {
    "d2rl": f"""
method: d2rl
config:
  {{width: 4, blocks: 1, critic_width: 4, critic_layers: 2, critic_scales: 2, weights: none,
    backbone: resnet10-quarter, dim: 16, metric_dim: 8, image_iterations: 2,
    feature_iterations: 2, joint_iterations: 2, lr_steps: []}}
data:
  {SIZE}
  {CROSS_MODAL}
  validation: val
training: {{preview_every: 2}}
""",
    "unet": f"""
method: unet-disentangle
config: {{widths: [4, 4], identity: 4, rest: 4, epochs: 1}}
data:
  {SIZE}
  {CROSS_MODAL}
  validation: none
  iterations_per_epoch: 1
""",
    "embedding": f"""
method: embedding-disentangle
config:
  bdtr: {{backbone: resnet10-quarter, weights: none, dim: 8, epochs: 1}}
  classifier_epochs: 1
  disentangle_epochs: 1
  code: 4
  encoder_widths: [4]
  decoder_widths: [4]
  classifier_width: 4
data:
  {SIZE}
  {CROSS_MODAL}
  validation: none
  iterations_per_epoch: 1
""",
}


def _run(*arguments: object) -> None:
    cli.main([str(argument) for argument in arguments])


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the images were resized that models have seen."""
    found: list[str] = []
    resized = transforms._resized

    def recorded(image, size, interpolation):
        found.append(interpolation)
        return resized(image, size, interpolation)

    monkeypatch.setattr(transforms, "_resized", recorded)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, promenade: Path) -> Path:
    """A run of D2RL with bicubic images; not to be changed."""
    place = tmp_path_factory.mktemp("bicubic")
    (place / "d2rl.yaml").write_text(RECIPES["d2rl"])
    _run("train", place / "d2rl.yaml", "--data", f"sysu-mm01:{promenade}", "--out", place / "run")
    return place / "run"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_training_validation_previews_and_stored_codes(
    name: str, promenade: Path, tmp_path: Path, asked: list[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPES[name])
    out = tmp_path / "run"
    _run("train", tmp_path / "recipe.yaml", "--data", f"sysu-mm01:{promenade}", "--out", out)
    assert set(asked) == {"bicubic"}
    assert load_weights(out / "model.safetensors")[0].interpolation == "bicubic"
    if name == "unet":
        asked.clear()
        arguments = ("--appearance", promenade / "cam1", "--structure", promenade / "cam3")
        _run("swap", out, *arguments, "--out", tmp_path / "a.png", "--limit", "2")
        assert set(asked) == {"bicubic"}
        asked.clear()
        cases = ("--cases", f"sysu-mm01:{promenade}", "--limit", "1")
        _run("swap", out, *cases, "--out", tmp_path / "b.png")
        assert set(asked) == {"bicubic"}


def test_evaluation_translation_and_the_gallery(
    run: Path, promenade: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, store = f"sysu-mm01:{promenade}", tmp_path / "people.exact"
    rate = ("--false-match-rate", "0.1")
    image = next((promenade / "cam3").rglob("*.jpg"))
    for command in (
        ("evaluate", run, "--data", data, "--workers", "0"),
        ("translate", run, "--images", image, "--to", "visible", "--out", tmp_path / "fakes"),
        ("gallery", "create", store, "--model", run),
        ("gallery", "add", store, data, "--split", "test"),
        ("gallery", "search", store, image),
        ("gallery", "calibrate", store, "--data", data, "--split", "train", *rate),
    ):
        asked.clear()
        _run(*command)
        assert set(asked) == {"bicubic"}, command
    capsys.readouterr()
    _run("gallery", "stats", store, "--json")
    assert json.loads(capsys.readouterr().out)["interpolation"] == "bicubic"


def _with_interpolation(run: Path, place: Path, value: str | None) -> Path:
    shutil.copytree(run, place)
    content = yaml.safe_load((place / "config.yaml").read_text())
    del content["data"]["interpolation"]
    if value is not None:
        content["data"]["interpolation"] = value
    (place / "config.yaml").write_text(yaml.safe_dump(content))
    return place


def test_a_run_that_does_not_say_embeds_bilinear(
    run: Path, promenade: Path, tmp_path: Path
) -> None:
    found = {}
    for value in (None, "bilinear", "bicubic"):
        place = _with_interpolation(run, tmp_path / str(value), value)
        _run("evaluate", place, "--data", f"sysu-mm01:{promenade}", "--workers", "0")
        with np.load(place / "evaluation" / "features.npz") as stored:
            found[value] = fingerprint_of(place), stored["feats"]
    assert found[None][0] == found["bilinear"][0] != found["bicubic"][0]
    assert np.array_equal(found[None][1], found["bilinear"][1])
    assert not np.array_equal(found["bicubic"][1], found["bilinear"][1])
