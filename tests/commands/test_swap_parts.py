"""Runs that take people apart in named parts swap each of them alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosslight import cli
from crosslight.data.images import read_image
from crosslight.data.transforms import InferenceTransform
from crosslight.methods.contract import ExchangesParts
from crosslight.training.run import RunFolder

RECIPE = """
method: hicmd
config:
  {backbone: resnet10-quarter, weights: none, structure_width: 2, dilations: [1, 2, 3],
    adain_width: 8, critic_width: 2, critic_scales: 1, dim: 8, triplet_dim: 8, iterations: 1}
data:
  height: 64
  width: 32
  validation: none
  ids_per_batch: 2
  visible_per_id: 1
  infrared_per_id: 1
  workers: 0
training: {preview_every: 0}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, promenade: Path) -> Path:
    place = tmp_path_factory.mktemp("parts")
    (place / "hicmd.yaml").write_text(RECIPE)
    data = f"sysu-mm01:{promenade}"
    cli.main(["train", str(place / "hicmd.yaml"), "--data", data, "--out", str(place / "run")])
    return place / "run"


def test_each_part_is_swapped_alone(run: Path, promenade: Path, tmp_path: Path) -> None:
    clothes, body = (next((promenade / cam).rglob("*.jpg")) for cam in ("cam1", "cam3"))
    method = RunFolder.open(run).load_method().eval()
    assert isinstance(method, ExchangesParts)
    pixels = [InferenceTransform(64, 32, "bilinear")(read_image(x))[None] for x in (clothes, body)]
    chosen: list[tuple[str, ...]] = [*((part,) for part in method.parts), method.parts[:2], ()]
    found = []
    for parts in chosen:
        flags = ["--parts", *parts] if parts else []
        places = ["--out", str(tmp_path / "grid.png"), "--each", str(tmp_path / "each")]
        given = ["--appearance", str(clothes), "--structure", str(body)]
        cli.main(["swap", str(run), *given, *flags, *places])
        (file,) = (tmp_path / "each").glob("*.png")
        with Image.open(file) as picture:
            drawn = np.asarray(picture)
        with torch.inference_mode():
            expected = method.exchange(*pixels, parts or ("style",))[0]
        wanted = (expected * 255).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(drawn, wanted)
        found.append(drawn.tobytes())
    assert len(set(found)) == len(chosen) - 1, "style is what a swap takes unless told otherwise"


def test_cases_take_parts_too(run: Path, promenade: Path, tmp_path: Path) -> None:
    flags = ["--cases", f"sysu-mm01:{promenade}", "--limit", "1", "--parts", "pose"]
    cli.main(["swap", str(run), *flags, "--out", str(tmp_path / "cases.png")])
    assert (tmp_path / "cases.png").is_file()


def test_parts_that_make_no_sense_are_refused(
    run: Path, trained: Path, promenade: Path, tmp_path: Path, fails
) -> None:
    image = next((promenade / "cam1").rglob("*.jpg"))
    given = ("--appearance", image, "--structure", image, "--out", tmp_path / "x.png")
    said = fails("swap", run, *given, "--parts", "hat")
    assert "no part 'hat'; name some of prototype, style, pose, illumination" in said
    said = fails("swap", run, *given, "--parts", "pose", "--interpolate", "2")
    assert "leave one of the two out" in said
    assert "does not draw people" in fails("swap", trained, *given, "--parts", "style")
