"""D2RL as a user runs it: train three stages, cut at their boundaries, continue, translate."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from crosslight import cli
from crosslight.methods.d2rl import D2RL
from crosslight.training import session

RECIPE = """
method: d2rl
config:
  width: 4
  blocks: 1
  critic_width: 4
  critic_layers: 2
  critic_scales: 1
  image_iterations: 2
  feature_iterations: 2
  joint_iterations: 2
  backbone: resnet10-quarter
  weights: none
  dim: 16
  metric_dim: 8
data:
  height: 32
  width: 16
  validation: none
  ids_per_batch: 2
  visible_per_id: 2
  infrared_per_id: 2
  workers: 0
"""


@pytest.fixture(scope="module")
def d2rl_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "d2rl.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, promenade: Path, d2rl_recipe: Path) -> Path:
    out = tmp_path_factory.mktemp("d2rl") / "run"
    cli.main(["train", str(d2rl_recipe), "--data", f"sysu-mm01:{promenade}", "--out", str(out)])
    return out


@pytest.mark.parametrize("cut", [2, 3, 4, 5])
def test_cut_at_and_beside_the_stages_boundaries_it_ends_in_the_same_weights(
    run: Path,
    promenade: Path,
    d2rl_recipe: Path,
    tmp_path: Path,
    cut: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = 0
    iterate = session.Training._iterate

    def interrupted(self: session.Training, *arguments: object) -> None:
        nonlocal done
        done += 1
        if done == cut:
            self._interruption.received = 15
        iterate(self, *arguments)  # type: ignore[arg-type]

    data = ["--data", f"sysu-mm01:{promenade}"]
    arguments = ["train", str(d2rl_recipe), *data, "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(session.Training, "_iterate", interrupted)
        with pytest.raises(SystemExit):
            cli.main(arguments)
    cli.main(arguments)
    expected = load_file(run / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())


def test_another_training_takes_over_the_image_level(
    run: Path, promenade: Path, d2rl_recipe: Path, tmp_path: Path
) -> None:
    weights = run / "model.safetensors"
    cli.main(
        [
            *("train", str(d2rl_recipe), "--data", f"sysu-mm01:{promenade}"),
            *("--out", str(tmp_path / "run"), "--set", f"config.image_weights={weights}"),
            *("--set", "config.joint=false", "--set", "config.unify=infrared"),
        ]
    )
    before, after = load_file(weights), load_file(tmp_path / "run" / "model.safetensors")
    image_level = [name for name in after if name.startswith("image_level.")]
    assert image_level
    assert all(torch.equal(before[name], after[name]) for name in image_level)


def test_the_report_shows_the_distances_before_and_after_each_level(
    run: Path, promenade: Path, fails
) -> None:
    said = {}
    for code in ("pixels", None):
        flags = ["--code", code] if code else []
        data = ["--data", f"sysu-mm01:{promenade}", "--protocol", "sysu-mm01/all/1"]
        cli.main(["evaluate", str(run), *data, "--workers", "0", *flags])
        cli.main(["report", str(run), *flags])
        page = run / (f"report-{code}.html" if code else "report.html")
        said[code] = re.findall(r"overlap ([\d.]+) %", page.read_text(encoding="utf-8"))
    assert "Drawn during training" in page.read_text(encoding="utf-8")
    assert len(said["pixels"]) >= 3, "within visible, within infrared, across"
    assert said["pixels"] != said[None]
    assert "--code metric" in fails("report", run, "--code", "metric")


def test_previews_are_drawn_on_the_way_and_change_nothing(
    run: Path, promenade: Path, d2rl_recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    cli.main(
        [
            *("train", str(d2rl_recipe), "--data", f"sysu-mm01:{promenade}", "--out", str(out)),
            *("--set", "training.preview_every=2"),
        ]
    )
    assert [p.stem for p in sorted((out / "previews").iterdir())] == [
        *("0000002", "0000004", "0000006")
    ]
    assert [p.stem for p in (run / "previews").iterdir()] == ["0000006"]
    expected, found = (load_file(path / "model.safetensors") for path in (run, out))
    assert all(found[name].equal(value) for name, value in expected.items())


def test_what_generates_nothing_has_no_previews(
    promenade: Path, d2rl_recipe: Path, tmp_path: Path
) -> None:
    cli.main(
        [
            *("train", str(d2rl_recipe), "--data", f"sysu-mm01:{promenade}"),
            *("--out", str(tmp_path / "run"), "--set", "config.unify=none"),
        ]
    )
    assert not (tmp_path / "run" / "previews").exists()


def _translate(run: Path, images: Path, to: str, out: Path, *flags: str) -> None:
    cli.main(
        ["translate", str(run), "--images", str(images), "--to", to, "--out", str(out), *flags]
    )


def test_promenade_is_drawn_beside_the_truth_and_scored(
    run: Path, promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _translate(run, promenade, "infrared", tmp_path, "--rows", "3")
    said = capsys.readouterr().out
    visible = [p for cam in (1, 2, 4, 5) for p in (promenade / f"cam{cam}").rglob("*.jpg")]
    infrared = [p for cam in (3, 6) for p in (promenade / f"cam{cam}").rglob("*.jpg")]
    assert f"{len(infrared)} images that are infrared already are left out" in said
    assert "plain gray input" in said
    content = json.loads((tmp_path / "scores.json").read_text())
    names = {p.relative_to(promenade).with_suffix("").as_posix() for p in visible}
    assert set(content["images"]) == names
    assert {
        p.relative_to(tmp_path / "images").with_suffix("").as_posix()
        for p in (tmp_path / "images").rglob("*.png")
    } == names
    values = [s["psnr"] for s in content["images"].values()]
    assert content["mean"]["psnr"] == pytest.approx(np.mean(values))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * 64
        assert 3 * 128 < sheet.height < 3 * (128 + 64)  # with names below each row
    drawn = np.asarray(Image.open(next((tmp_path / "images").rglob("*.png"))))
    assert drawn.shape == (32, 16, 3)
    assert (drawn[..., 0] == drawn[..., 2]).all()


def test_the_truth_is_what_the_other_camera_sees(
    run: Path, promenade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A translation that happens to be the input itself scores what the plain input scores."""

    def unchanged(_: D2RL, images: Tensor, source: int, target: int) -> Tensor:
        return images[:, :1].expand(-1, 3, -1, -1)

    monkeypatch.setattr(D2RL, "translate", unchanged)
    _translate(run, promenade / "cam3", "visible", tmp_path)
    mean = json.loads((tmp_path / "scores.json").read_text())["mean"]
    assert mean["psnr"] == pytest.approx(mean["plain_psnr"])
    assert mean["gray_correlation"] == pytest.approx(1)
    assert abs(mean["plain_correlation"]) < 0.999


@pytest.mark.parametrize(("sign", "word"), [(1, "a copy"), (-1, "an inverted copy")])
def test_a_fake_that_is_only_gray_is_called_out(
    run: Path,
    promenade: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sign: int,
    word: str,
) -> None:
    def gray(_: D2RL, images: Tensor, source: int, target: int) -> Tensor:
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (0.5 + sign * 0.5 * ((images * weights).sum(1, keepdim=True) - 0.5)).expand(
            -1, 3, -1, -1
        )

    monkeypatch.setattr(D2RL, "translate", gray)
    _translate(run, promenade / "cam1", "infrared", tmp_path)
    assert (
        f"Warning: the drawn infrared is only {word} of the gray input" in capsys.readouterr().out
    )
    assert json.loads((tmp_path / "scores.json").read_text())["only_gray"] is True


def test_other_images_are_drawn_without_a_truth(
    run: Path, promenade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "mine"
    images.mkdir()
    for number, path in enumerate(sorted((promenade / "cam1").rglob("*.jpg"))[:2]):
        shutil.copy(path, images / f"{number}.jpg")
    _translate(run, images, "infrared", tmp_path / "all")
    _translate(run, images / "0.jpg", "infrared", tmp_path / "one")
    content = json.loads((tmp_path / "all" / "scores.json").read_text())
    assert set(content["images"]) == {"0", "1"}
    assert content["mean"]["psnr"] is None
    assert content["mean"]["gray_correlation"] is not None
    assert "PSNR" not in capsys.readouterr().out
    first, second = (tmp_path / name / "images" / "0.png" for name in ("all", "one"))
    assert first.read_bytes() == second.read_bytes()


def test_what_cannot_be_translated_is_said(
    run: Path, trained: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    (tmp_path / "empty").mkdir()
    cam1, out = promenade / "cam1", tmp_path / "out"
    for arguments, sentence in (
        ((trained, "--images", cam1), "does not draw people in the other light"),
        ((run, "--images", tmp_path / "empty"), "holds no image to translate"),
        ((run, "--images", promenade / "cam3"), "holds no image to translate"),
        ((run, "--images", tmp_path / "nowhere"), "There is no"),
        ((run, "--images", cam1, "--rows", 0), "--rows is 0"),
    ):
        assert sentence in fails("translate", *arguments, "--to", "infrared", "--out", out)
    assert not out.exists()
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "below"
    said = fails("translate", run, "--images", cam1, "--to", "infrared", "--out", below)
    assert f"{below} cannot be written" in said
