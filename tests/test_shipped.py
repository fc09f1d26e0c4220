"""The weights that ship: what they are, what they refuse, and that they know people."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import crosslight as cl
from crosslight import cli
from crosslight.errors import CheckpointError, ConfigError
from crosslight.experiments.packing import pack
from crosslight.nn.backbones import create_backbone
from crosslight.nn.two_stream import split_backbone
from crosslight.nn.weights import initial_weights_left_out
from crosslight.shipped import (
    CARD,
    MODEL,
    NANODET,
    PROMENADE,
    SHIPPED,
    WEIGHTS,
    shipped,
    shipped_detector,
)
from crosslight.types import Modality

MOST_BYTES = 14_000_000


def test_they_are_small_and_their_cards_say_what_they_are() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES
    for name in SHIPPED:
        card = json.loads((shipped(name).folder / CARD).read_text())
        assert card["licence"] == "Apache-2.0"
        assert card["made_with"]
        assert set(card["scores"]) == {"visible", "near-infrared", "thermal"}


def test_the_detector_says_whose_it_is_and_an_exchanged_one_is_refused(tmp_path: Path) -> None:
    card = json.loads((shipped_detector().parent / CARD).read_text())
    assert card["licence"] == "Apache-2.0"
    assert "github.com/RangiLyu/nanodet" in card["source"]
    shutil.copytree(WEIGHTS / NANODET, tmp_path / NANODET)
    assert "Copyright 2020-2021 RangiLyu" in (tmp_path / NANODET / "NOTICE").read_text()
    model = tmp_path / NANODET / MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    with pytest.raises(CheckpointError, match=r"are not those .* name another: --detector"):
        shipped_detector(tmp_path)
    model.unlink()
    with pytest.raises(CheckpointError, match="missing from this installation"):
        shipped_detector(tmp_path)


def test_licences_of_what_others_made_go_along_in_the_packages(tmp_path: Path) -> None:
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    root = Path(__file__).parents[1]
    theirs = {"LICENSE", "LICENSE-human-models", "NOTICE"}
    for builder in (SdistBuilder, WheelBuilder):
        (made,) = builder(str(root)).build(directory=str(tmp_path), versions=["standard"])
        if made.endswith(".whl"):
            with zipfile.ZipFile(made) as archive:
                names = archive.namelist()
            licences = [name for name in names if ".dist-info/licenses/" in name]
            assert {Path(name).name for name in licences} == theirs
        else:
            with tarfile.open(made) as archive:
                names = archive.getnames()
        beside = [name for name in names if "crosslight/weights/nanodet/" in name]
        assert theirs | {MODEL, CARD} <= {Path(name).name for name in beside}


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """People, and a world, that nothing was learnt from."""
    root = tmp_path_factory.mktemp("strangers") / "people"
    nobody = {"people": 0, "val_people": 0}
    size = {"test_people": 12, "images_per_camera": 2, "height": 128, "width": 64}
    cl.make_promenade(root, layout="table", seed=7, first_world=3, progress=False, **nobody, **size)
    return root


@pytest.mark.parametrize(
    ("light", "gain"), [("visible", 0.5), ("near-infrared", 0.08), ("thermal", 0.08)]
)
def test_a_run_by_their_name_knows_people_it_never_saw(
    strangers: Path, light: str, gain: float
) -> None:
    table = cl.read_layout("table", strangers / f"test-{light}.csv")
    features = cl.Features(
        feats=cl.load_run(PROMENADE).embed(table.paths, modality=table.modality),
        pids=table.pids,
        cams=table.cams,
        modality=table.modality,
        split=table.splits,
    )
    chance = cl.get_protocol("any-camera").chance(features)
    assert cl.evaluate(features, "any-camera").mAP > chance.mean["mAP"] + gain


def test_backbones_start_from_them() -> None:
    tensors = load_file(shipped(PROMENADE).model)
    backbone = create_backbone("resnet18-half", weights=PROMENADE)
    streams = split_backbone(create_backbone("resnet18-half", weights=PROMENADE))
    name = "conv1.0.weight"
    for light in Modality:
        expected = tensors[f"backbone.stems.{int(light)}.{name}"].float()
        assert torch.equal(streams.stems[light].get_parameter(name), expected)
    visible = tensors[f"backbone.stems.0.{name}"].float()
    assert torch.equal(backbone.network.get_parameter(name), visible)
    layer = "layer4.1.conv2.weight"
    assert torch.equal(
        backbone.network.get_parameter(layer), tensors[f"backbone.shared.{layer}"].float()
    )
    assert not any("infrared" in key for key in backbone.state_dict())
    gray = create_backbone("resnet18-half", weights=PROMENADE, in_channels=1)
    torch.testing.assert_close(gray.network.get_parameter(name), visible.sum(dim=1, keepdim=True))


def test_a_network_they_do_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="are of a resnet18-half, but backbone is resnet10-half"):
        create_backbone("resnet10-half", weights=PROMENADE)
    with pytest.raises(ConfigError, match="sha256 is given, but weights is promenade"):
        create_backbone("resnet18-half", weights=PROMENADE, sha256="0" * 64)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(WEIGHTS / PROMENADE, tmp_path / PROMENADE)
    return tmp_path


def test_an_exchanged_file_is_refused(copied: Path) -> None:
    assert shipped(PROMENADE, copied).backbone == "resnet18-half"
    shipped.cache_clear()
    model = copied / PROMENADE / MODEL
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"are not those that it came with .*install"):
        shipped(PROMENADE, copied)


@pytest.mark.parametrize("gone", [CARD, MODEL])
def test_an_installation_without_them_says_so(copied: Path, gone: str) -> None:
    (copied / PROMENADE / gone).unlink()
    with pytest.raises(CheckpointError, match=r"missing from this installation .*weights: none"):
        shipped(PROMENADE, copied)


def test_a_trained_run_needs_them_no_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("crosslight.nn.backbones.shipped", lambda name: shipped(name, tmp_path))
    with pytest.raises(CheckpointError):
        create_backbone("resnet18-half", weights=PROMENADE)
    with initial_weights_left_out():
        create_backbone("resnet18-half", weights=PROMENADE)


def test_a_gallery_takes_them_unless_told_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(tmp_path / "people.exact")
    cli.main(["gallery", "create", store])
    assert f"Model promenade: {shipped(PROMENADE).about}" in capsys.readouterr().out
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(3):
        pixels = rng.integers(0, 256, (96, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    cli.main(["gallery", "add", store, str(folder)])
    capsys.readouterr()
    cli.main(["gallery", "search", store, str(folder / "1.png"), "--json"])
    found = json.loads(capsys.readouterr().out)
    first = next(iter(found if isinstance(found, list) else found["results"]))
    assert "1.png" in json.dumps(first)
    cli.main(["gallery", "stats", store, "--json"])
    assert json.loads(capsys.readouterr().out)["run"] == PROMENADE


def test_results_of_their_evaluation_lie_where_they_were_asked_for(
    promenade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.main(["evaluate", PROMENADE, "--data", f"sysu-mm01:{promenade}"])
    first = (tmp_path / PROMENADE / "metrics.json").read_text()
    cli.main(["report", PROMENADE])
    assert (tmp_path / PROMENADE / "report.html").is_file()
    shutil.rmtree(tmp_path / PROMENADE)
    cl.load_run(PROMENADE).evaluate(f"sysu-mm01:{promenade}")
    assert (tmp_path / PROMENADE / "metrics.json").read_text() == first
    assert not list(shipped(PROMENADE).folder.glob("metrics*"))
    assert cl.load_run(PROMENADE).path == shipped(PROMENADE).folder, "no run is in that folder"


def test_packing_keeps_what_a_run_embeds(trained: Path, promenade: Path, tmp_path: Path) -> None:
    packed = pack(trained, tmp_path / "packed", about="A trial.", facts={"made_with": ["tests"]})
    card = json.loads((packed / CARD).read_text())
    assert (card["about"], card["made_with"]) == ("A trial.", ["tests"])
    paths = cl.read_layout("sysu-mm01", promenade).paths[:6]
    before, after = (cl.load_run(run).embed(paths) for run in (trained, packed))
    similar = torch.cosine_similarity(torch.as_tensor(before), torch.as_tensor(after))
    assert similar.min() > 0.999
    assert (packed / MODEL).stat().st_size < 0.6 * (trained / MODEL).stat().st_size
