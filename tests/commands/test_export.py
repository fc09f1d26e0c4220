"""Runs exported, compared, refused where they are worse, and used as runs are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_parts import bare

import crosslight as cl
from crosslight import cli
from crosslight.data.images import read_image
from crosslight.errors import CheckpointError, ConfigError, DataError
from crosslight.experiments import exporting
from crosslight.types import Modality

HEAVY = ("torch", "torchvision", "timm", "lightning_fabric", "polars", "yaml", "scipy", "numba")
WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {heavy!r}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
import numpy as np
import crosslight as cl
model, out, *images = sys.argv[1:]
np.save(out, cl.load_run(model).embed(images))
try:
    import torch
except ModuleNotFoundError:
    print("no torch")
"""


@pytest.fixture(scope="module")
def data(promenade: Path) -> str:
    return f"sysu-mm01:{promenade}"


@pytest.fixture(scope="module")
def exported(trained: Path, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run as ONNX; not to be changed."""
    out = tmp_path_factory.mktemp("exported") / "model"
    cli.main(["export", str(trained), "--data", data, "--out", str(out), "--workers", "0"])
    return out


@pytest.fixture
def traced(exported: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Saves tracing the run anew: its graphs are those of `exported`, of these lights."""

    def take(lights: tuple[str, str] = ("visible", "infrared")) -> None:
        def copied(_: Any, folder: Path, *__: Any, **___: Any) -> dict[Modality, Path]:
            paths = {light: folder / f"{light.name.lower()}.onnx" for light in Modality}
            for light, name in zip(Modality, lights, strict=True):
                shutil.copyfile(exported / f"{name}.onnx", paths[light])
            return paths

        monkeypatch.setattr(exporting, "write_graphs", copied)

    return take


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def pictures(promenade: Path) -> tuple[list[Path], list[int]]:
    table = cl.read_layout("sysu-mm01", promenade).split("test")
    rows = np.concatenate([np.flatnonzero(table.modality == light)[:4] for light in Modality])
    return [table.paths[row] for row in rows], table.modality[rows].tolist()


@pytest.mark.parametrize(
    ("lights", "said"), [([7, 0], "7 is no light"), ([0], "1 lights are given for 2 images")]
)
def test_lights_that_do_not_fit_the_pictures_are_told(
    exported: Path, promenade: Path, lights: list[int], said: str
) -> None:
    picture = read_image(pictures(promenade)[0][0])
    with pytest.raises(DataError, match=said):
        cl.Exported(exported).embed_pictures([picture, picture], lights)


def test_the_card_says_what_it_is_and_how_near_it_came(exported: Path, trained: Path) -> None:
    assert sorted(p.name for p in exported.iterdir()) == [
        "export.json",
        "infrared.onnx",
        "visible.onnx",
    ]
    card = json.loads((exported / "export.json").read_text())
    assert (card["height"], card["width"], card["interpolation"]) == (32, 16, "bilinear")
    assert card["input"]["shape"] == ["N", 32, 16, 3]
    assert (card["method"], card["distance"], card["unit"]) == ("agw", "cosine", True)
    assert card["run_sha256"] == exporting.sha256_of(trained / "model.safetensors")
    assert card["compared"]["largest"] < 1e-5
    assert card["compared"]["agreement"] > 0.99
    ran = json.loads((trained / "metrics.json").read_text())
    assert set(card["compared"]["mAP"]) == set(ran)
    for name, pair in card["compared"]["mAP"].items():
        assert pair["run"] == pytest.approx(ran[name]["mAP"])
        assert pair["model"] == pytest.approx(pair["run"], abs=1e-3)


def test_it_embeds_as_the_run_does(exported: Path, trained: Path, promenade: Path) -> None:
    paths, lights = pictures(promenade)
    model, run = cl.load_run(exported), cl.load_run(trained)
    assert isinstance(model, cl.Exported)
    found, wanted = (one.embed(paths, modality=lights) for one in (model, run))
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    swapped = model.embed(paths, modality=[1 - light for light in lights])
    assert np.abs(swapped - found).max() > 1e-4
    guessed = model.embed(paths)
    assert np.array_equal(guessed, model.embed(paths, modality=lights))
    one_by_one = np.concatenate([model.embed(path) for path in paths])
    np.testing.assert_allclose(one_by_one, found, atol=1e-6)


def test_it_embeds_where_torch_is_not(exported: Path, promenade: Path, tmp_path: Path) -> None:
    paths, _ = pictures(promenade)
    out = tmp_path / "found.npy"
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(heavy=HEAVY), exported, out, *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "no torch\n"
    assert np.array_equal(np.load(out), cl.load_run(exported).embed(paths))


def test_it_is_evaluated_and_enrolled_with_as_a_run(
    copied: Path,
    promenade: Path,
    data: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fails: Callable[..., str],
) -> None:
    cli.main(["evaluate", str(copied), "--data", data])
    found, ran = (json.loads((p / "metrics.json").read_text()) for p in (copied, trained))
    for name in ran:
        assert found[name]["mAP"] == pytest.approx(ran[name]["mAP"], abs=1e-3)
    assert "exported without --flip" in fails("evaluate", copied, "--data", data, "--flip")
    assert "has no codes" in fails("evaluate", copied, "--data", data, "--code", "x")

    store = str(tmp_path / "people.exact")
    cli.main(["gallery", "create", store, "--model", str(copied)])
    cli.main(["gallery", "add", store, *map(str, pictures(promenade)[0])])
    image = str(pictures(promenade)[0][2])
    capsys.readouterr()
    cli.main(["gallery", "search", store, image, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert Path(image).name in json.dumps(found["results"][0])
    said = fails("gallery", "search", store, image, "--model", trained)
    assert "another model" in said or "fingerprint" in said or "filled" in said


def test_openvino_is_as_near(
    traced: Callable[..., None], trained: Path, data: str, tmp_path: Path
) -> None:
    traced()
    made = cl.export(trained, tmp_path / "model", format="openvino", data=data, workers=0)
    assert made.parity.largest < 1e-5
    assert {path.suffix for path in made.model.path.iterdir()} == {".json", ".xml", ".bin"}
    weights = (made.model.path / "visible.bin").stat().st_size
    stored = (trained / "model.safetensors").stat().st_size
    assert weights > 0.8 * stored, "not in 16 bits unless asked for"
    half = cl.export(trained, tmp_path / "half", format="openvino", fp16=True, data=data, workers=0)
    assert (half.model.path / "visible.bin").stat().st_size < weights
    assert half.model.card.precision == "fp16"
    with pytest.raises(ConfigError, match="OpenVINO computes on CPU here, not on 'TPU'"):
        cl.load_run(made.model.path, device="tpu")


@pytest.mark.parametrize(
    ("kind", "file", "sign"),
    [("openvino", "visible.xml", b"i8"), ("onnx", "visible.onnx", b"QuantizeLinear")],
)
def test_int8_is_fitted_and_scored_or_refused_with_the_figures(
    kind: str,
    file: str,
    sign: bytes,
    traced: Callable[..., None],
    trained: Path,
    data: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
) -> None:
    traced()
    how = ["--format", kind, "--int8", "--calibrate", data, "--crops", "8", "--workers", "0"]
    monkeypatch.setattr(exporting, "MOST_LOST", 1.0)
    cli.main(["export", str(trained), *how, "--out", str(tmp_path / "int8")])
    card = cl.load_run(tmp_path / "int8").card
    assert card.precision == "int8"
    assert card.calibrated == {"data": data, "images": 16}
    assert 1e-5 < card.compared["largest"] < 0.5
    assert sign in (tmp_path / "int8" / file).read_bytes()

    monkeypatch.setattr(exporting, "MOST_LOST", -1.0)
    said = fails("export", trained, *how, "--out", tmp_path / "worse")
    assert "mAP falls from" in said
    assert "export without --int8" in said
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]


def test_graphs_that_mix_up_the_lights_are_refused(
    traced: Callable[..., None], trained: Path, data: str, tmp_path: Path, fails: Callable[..., str]
) -> None:
    traced(("infrared", "visible"))
    for flags in ((), ("--data", data)):
        said = fails("export", trained, "--out", tmp_path / "model", *flags, "--workers", "0")
        assert "nothing was kept" in said
        assert not list(tmp_path.iterdir())


def test_what_is_interrupted_leaves_nothing(
    traced: Callable[..., None], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced()

    def interrupted(*_: Any) -> None:
        assert list(tmp_path.iterdir()), "graphs are there by now"
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cl.export(trained, tmp_path / "model", workers=0)
    assert not list(tmp_path.iterdir())


def test_changed_and_strange_files_are_refused(copied: Path) -> None:
    graph, card = copied / "visible.onnx", copied / "export.json"
    content, told = graph.read_bytes(), card.read_text()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"visible\.onnx is not the file that was exported"):
        cl.load_run(copied)
    graph.unlink()
    with pytest.raises(CheckpointError, match=r"visible\.onnx cannot be read"):
        cl.load_run(copied)
    graph.write_bytes(b"no graph")
    digest = exporting.sha256_of(graph)
    forged = json.loads(told)
    forged["files"]["visible.onnx"] = digest
    card.write_text(json.dumps(forged))
    with pytest.raises(CheckpointError, match="is no graph that can be computed here"):
        cl.load_run(copied)
    for key, value in (
        ("format", "pickle"),
        ("dim", -1),
        ("files", {"../visible.onnx": digest}),
        ("graphs", {"visible": "visible.onnx", "infrared": "other.onnx"}),
        ("unknown", 1),
    ):
        card.write_text(json.dumps({**json.loads(told), key: value}))
        with pytest.raises(CheckpointError, match="is not a card of crosslight export"):
            cl.load_run(copied)
    for text in ("", "[]", "{}"):
        card.write_text(text)
        with pytest.raises(CheckpointError, match="is not a card of crosslight export"):
            cl.load_run(copied)


def test_another_number_of_values_than_the_card_says_is_refused(copied: Path) -> None:
    card = copied / "export.json"
    told = json.loads(card.read_text())
    card.write_text(json.dumps({**told, "dim": told["dim"] + 1}))
    with pytest.raises(CheckpointError, match="but its card says"):
        cl.load_run(copied).embed(np.zeros((40, 20, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--int8",), "say --calibrate LAYOUT:ROOT"),
        (("--calibrate", "sysu-mm01:x"), "add --int8"),
        (("--unit-views",), "add --flip"),
        (("--fp16",), "say --format openvino"),
        (("--format", "openvino", "--fp16"), "say --data LAYOUT:ROOT"),
        (("--data", "sysu-mm01:none"), "none"),
    ],
)
def test_flags_that_contradict_each_other(
    flags: tuple[str, ...], sentence: str, trained: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert sentence in fails("export", trained, "--out", tmp_path / "model", *flags)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_says_so(
    trained: Path, exported: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert "is there already" in fails("export", trained, "--out", exported)
    assert "is no run folder" in fails("export", tmp_path, "--out", tmp_path / "model")
    said = fails("export", "promenade", "--out", tmp_path / "model")
    assert "no images to compare the export of promenade with" in said
    damaged = Path(shutil.copytree(trained, tmp_path / "damaged"))
    (damaged / "model.safetensors").write_bytes(b"")
    assert "model.safetensors is damaged" in fails("export", damaged, "--out", tmp_path / "model")
    with pytest.raises(ConfigError, match="is not an exported model, and a run computes"):
        cl.load_run(trained, arithmetic="bf16")
    with pytest.raises(ConfigError, match=r"computes .* in float32"):
        cl.load_run(exported, arithmetic="bf16")


def test_crops_of_one_light_are_not_enough(
    trained: Path, promenade: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    table = cl.read_layout("sysu-mm01", promenade)
    rows = [f"{p},{i},{c},{m},{s}" for p, i, c, m, s in zip(
        table.paths, table.pids, table.cams, table.modality, table.splits, strict=True
    ) if s == "test" or m == Modality.VISIBLE]  # fmt: skip
    (tmp_path / "table.csv").write_text("\n".join(["path,pid,cam,modality,split", *rows]))
    how = ("--int8", "--calibrate", f"table:{tmp_path}/table.csv", "--workers", "0")
    assert "has no infrared image" in fails("export", trained, "--out", tmp_path / "model", *how)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_what_an_exported_model_cannot_do_says_that_it_is_one(
    exported: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for command in (
        ["report", str(exported)],
        ["export", str(exported), "--out", str(tmp_path / "again")],
    ):
        with pytest.raises(SystemExit):
            cli.main(command)
        assert f"{exported} is an exported model" in capsys.readouterr().err


def test_its_gallery_is_calibrated(
    exported: Path, data: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    store = str(tmp_path / "people.exact")
    cli.main(["gallery", "create", store, "--model", str(exported)])
    rate = ["--false-match-rate", "0.05"]
    cli.main(["gallery", "calibrate", store, "--data", data, "--split", "train", *rate])
    assert "calibrated on" in capsys.readouterr().out


def test_a_wrong_folder_is_told_where_torch_is_not(tmp_path: Path) -> None:
    code = WITHOUT_TORCH.format(heavy=HEAVY)
    asked = [sys.executable, "-c", code, str(tmp_path / "nowhere"), str(tmp_path / "x.npy")]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "nowhere is no exported model (no export.json), and a run needs torch" in ended.stderr


def test_one_image_is_enough_to_compare(trained: Path, data: str, tmp_path: Path) -> None:
    made = cl.export(trained, tmp_path / "one", images=1, workers=0)
    assert made.parity.images == 2, "one of each light"


def test_the_missing_tools_are_named(trained: Path, exported: Path, tmp_path: Path) -> None:
    ran = bare("export", trained, "--out", tmp_path / "model", "--workers", 0)
    assert ran.returncode == 1
    assert "pip install 'crosslight[onnx]'" in ran.stderr
    assert not list(tmp_path.iterdir())
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH.format(heavy=(*HEAVY, "onnxruntime")), exported, "x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MissingPartError: This needs onnxruntime, which is not installed; say: " in ran.stderr
