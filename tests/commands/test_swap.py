"""DG-Net as a user runs it: train both stages, cut and continue inside the ramp, score, swap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from crosslight import cli
from crosslight.data.promenade import make
from crosslight.drawing.swapping import Sitter, heading_of, labels_of, looks_of
from crosslight.training import session

RECIPE = """
method: dgnet
config:
  backbone: resnet10-quarter
  weights: none
  dim: 16
  structure_width: 2
  adain_width: 8
  critic_width: 2
  dilations: [1, 2, 3]
  teacher_iterations: 2
  iterations: 6
  ramp_start: 1
  ramp_step: 0.1
  lr_steps: []
data:
  height: 64
  width: 32
  train_splits: [train]
  validation: none
  sampling: pairs
  ids_per_batch: 4
  workers: 0
  augmentation: {pad_px: 2, pad_mode: edge}
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("market") / "data"
    make(root, preset="tiny", layout="market1501", height=32, width=16, progress=False)
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "dgnet.yaml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, people: Path, recipe: Path) -> Path:
    out = tmp_path_factory.mktemp("dgnet") / "run"
    cli.main(["train", str(recipe), "--data", f"market1501:{people}", "--out", str(out)])
    return out


@pytest.mark.parametrize("cut", [4, 7])
def test_continued_inside_the_ramp_it_ends_in_the_same_weights(
    run: Path, people: Path, recipe: Path, tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0
    iterate = session.Training._iterate

    def interrupted(self: session.Training, *arguments: object) -> None:
        nonlocal done
        done += 1
        if done == cut:
            self._interruption.received = 15
        iterate(self, *arguments)  # type: ignore[arg-type]

    arguments = ["train", str(recipe), "--data", f"market1501:{people}", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(session.Training, "_iterate", interrupted)
        with pytest.raises(SystemExit):
            cli.main(arguments)
    cli.main(arguments)
    expected = load_file(run / "model.safetensors")
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == expected.keys()
    assert all(found[name].equal(value) for name, value in expected.items())


def test_the_teacher_is_scored_beside_the_joint_feature(run: Path, people: Path) -> None:
    data = ["--data", f"market1501:{people}", "--workers", "0"]
    cli.main(["evaluate", str(run), *data])
    cli.main(["evaluate", str(run), *data, "--code", "teacher"])
    joint, teacher = (
        json.loads((run / name).read_text())["market1501"]
        for name in ("metrics.json", "metrics-teacher.json")
    )
    assert joint["mAP"] != teacher["mAP"]
    assert (run / "evaluation-teacher" / "features.npz").is_file()


def test_swap_draws_a_grid_and_single_images(
    run: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((people / "query").glob("*.jpg"))[:2]
    capsys.readouterr()
    cli.main(
        [
            *("swap", str(run), "--appearance", *map(str, files)),
            *("--structure", str(people / "bounding_box_test"), "--limit", "3"),
            *("--out", str(tmp_path / "new" / "grid.png"), "--each", str(tmp_path / "each")),
            *("--interpolate", "2"),
        ]
    )
    gallery = people / "bounding_box_test"
    there = len(list(gallery.glob("*.jpg")))
    assert there > 3
    told = f"{gallery}: 3 of {there} images are drawn; --limit takes more."
    assert capsys.readouterr().out.splitlines()[0] == told
    drawn = sorted((tmp_path / "each").iterdir())
    assert len(drawn) == (2 + 2) * 3
    with Image.open(drawn[0]) as image:
        assert image.size == (32, 64)
    with Image.open(tmp_path / "new" / "grid.png") as grid:
        assert grid.width > 5 * 32
        assert grid.height > 4 * 64


def test_of_a_folder_that_is_drawn_whole_nothing_is_said(
    run: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = str(next((people / "query").glob("*.jpg")))
    there = len(list((people / "query").glob("*.jpg")))
    flags = ["--structure", str(people / "query"), "--limit", str(there)]
    capsys.readouterr()
    cli.main(["swap", str(run), "--appearance", one, *flags, "--out", str(tmp_path / "grid.png")])
    assert "--limit" not in capsys.readouterr().out


def test_images_are_labelled_by_person_and_file_and_told_apart() -> None:
    sysu = [Path(f"/d/cam{cam}/0007/0001.jpg") for cam in (1, 2)]
    assert labels_of([sysu[0], Path("/d/cam1/0008/0001.jpg")]) == {
        sysu[0]: ("person 7", "0007/0001"),
        Path("/d/cam1/0008/0001.jpg"): ("person 8", "0008/0001"),
    }
    assert list(labels_of(sysu).values()) == [
        ("person 7", "cam1/0007/0001"),
        ("person 7", "cam2/0007/0001"),
    ]
    market = [Path("/d/query/0012_c1s1_000451_03.jpg"), Path("/d/gallery/-1_c3s2_000451_03.jpg")]
    assert list(labels_of(market).values()) == [
        ("person 12", "query/0012_c1s1_000451_03"),
        ("nobody known", "gallery/-1_c3s2_000451_03"),
    ]
    assert list(labels_of([Path("/a.jpg"), Path("/b/a.png")]).values()) == [("a",), ("b/a",)]


def test_steps_between_clothes_say_between_whose() -> None:
    first, second = (
        Sitter(name=name, label=(f"person {name}", f"{name}/0001"), pixels=torch.zeros(3, 4, 2))
        for name in ("7", "8")
    )
    own, step, other = looks_of([first, second], steps=1)
    headings = [heading_of(look).lines for look in (own, step, other)]
    assert headings == [
        ("person 7", "7/0001"),
        ("50% of the way", "from", "person 7", "to", "person 8"),
        ("person 8", "8/0001"),
    ]


def test_swap_explains_what_it_cannot_do(
    run: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = str(people / "query")
    one = str(next((people / "query").glob("*.jpg")))
    (tmp_path / "empty").mkdir()
    for flags, sentence in (
        (["--appearance", str(tmp_path / "empty"), "--structure", query], "holds no image"),
        (["--appearance", one, "--structure", query, "--interpolate", "1"], "two or more"),
        (["--appearance", one, "--structure", query, "--limit", "0"], "--limit is 0"),
        (["--appearance", "nowhere.jpg", "--structure", query], "no image at nowhere.jpg"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["swap", str(run), *flags, "--out", str(tmp_path / "grid.png")])
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "grid.png").exists()


def test_an_unknown_code_is_named(
    run: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(
            [
                *("evaluate", str(run), "--data", f"market1501:{people}"),
                *("--workers", "0", "--code", "clothes"),
            ]
        )
    assert "its codes are appearance, structure" in capsys.readouterr().err
