"""A trained run in a researcher's hands."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import crosslight as cl
from crosslight.data.images import read_image
from crosslight.errors import ConfigError, CrosslightError, DataError
from crosslight.evaluation.features import load_features


@pytest.fixture(scope="module")
def run(trained: Path) -> cl.Run:
    return cl.load_run(trained)


@pytest.fixture(scope="module")
def table(promenade: Path):
    return cl.read_layout("sysu-mm01", promenade).split("test")


def test_it_embeds_files_as_evaluate_did(run, table, trained) -> None:
    features = load_features(trained / "evaluation" / "features.npz")
    rows = [0, len(table) // 2, len(table) - 1]
    lights = [cl.Modality(int(table.modality[row])) for row in rows]
    found = run.embed([table.paths[row] for row in rows], modality=lights)
    assert found.shape == (3, features.feats.shape[1])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, features.feats[rows], rtol=1e-4, atol=1e-5)


def test_one_image_is_one_row_and_its_form_does_not_matter(run, table) -> None:
    path = table.paths[0]
    picture = read_image(path)
    expected = run.embed(str(path), modality="visible")
    assert len(expected) == 1
    for given in (picture, np.asarray(picture), [path]):
        np.testing.assert_array_equal(run.embed(given, modality="visible"), expected)


def test_a_gray_image_is_taken_for_infrared(run, table) -> None:
    gray = read_image(table.paths[0]).convert("L")
    np.testing.assert_array_equal(run.embed(gray), run.embed(gray, modality="infrared"))
    assert not np.array_equal(run.embed(gray), run.embed(gray, modality="visible"))


def test_many_images_are_embedded_in_their_order(run, table) -> None:
    paths = [table.paths[n % 7] for n in range(130)]
    together = run.embed(paths)
    np.testing.assert_allclose(together[:7], together[126 - 7 : 126], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(together[129], run.embed(paths[129])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("modality", "said"),
    [("ultraviolet", "'ultraviolet' is no light"), (["visible"] * 2, "2 lights are given for 1")],
)
def test_a_wrong_light_is_said(run, modality, said) -> None:
    with pytest.raises(DataError, match=said):
        run.embed(Image.new("RGB", (8, 16)), modality=modality)


def test_a_run_without_codes_says_so(run) -> None:
    with pytest.raises(ConfigError, match=r"agw .* has no codes"):
        run.codes(Image.new("RGB", (8, 16)))


def test_no_run_no_traceback(tmp_path) -> None:
    with pytest.raises(CrosslightError, match="is no run folder"):
        cl.load_run(tmp_path)


def test_it_says_what_it_is(run, trained) -> None:
    assert repr(run) == f"Run({str(trained)!r}: agw, 32 x 16)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"protocols": "sysu-mm01/al/1"}, r"'sysu-mm01/al/1' is unknown; did you mean"),
        ({"distance": "cos"}, "'cos' is unknown"),
        ({"sampler": "officially"}, "'officially' is unknown"),
        ({"protocols": "market1501"}, "No row has split"),
    ],
)
def test_what_cannot_be_scored_is_told_before_images_are_embedded(
    run, promenade, monkeypatch, options, said
):
    monkeypatch.setattr("crosslight.experiments.evaluation.embed_table", None)
    with pytest.raises(CrosslightError, match=said):
        run.evaluate(f"sysu-mm01:{promenade}", **options)


def test_one_protocol_may_be_given_by_its_name(run, promenade, tmp_path) -> None:
    found = run.evaluate(
        f"sysu-mm01:{promenade}", protocols="sysu-mm01/all/1", out=tmp_path, workers=0
    )
    assert list(found.results) == ["sysu-mm01/all/1"]
    assert cl.load_evaluation(str(tmp_path)).results["sysu-mm01/all/1"].mAP == (
        found.results["sysu-mm01/all/1"].mAP
    )


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "mps:0"])
def test_a_device_that_is_not_there_is_told(trained, device) -> None:
    with pytest.raises(ConfigError, match=f"There is no device '{device}' here"):
        cl.load_run(trained, device=device)


def test_a_call_that_fails_leaves_nothing_behind(run, table, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(run.method, "embed", fails)
    with pytest.raises(MemoryError) as kept:
        run.embed(table.paths[0])
    assert kept.tb is not None, "as a notebook keeps it"
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("images", [0, -4])
def test_numbers_are_checked_without_a_command_too(trained, tmp_path, images) -> None:
    with pytest.raises(ConfigError, match=f"--images is {images}, expected a number from 1"):
        cl.export(trained, tmp_path / "out", images=images)
