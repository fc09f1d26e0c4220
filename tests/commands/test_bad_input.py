"""A user's mistakes: one sentence each, a non-zero exit code, nothing lost."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


@pytest.fixture
def copy(promenade, tmp_path) -> Path:
    """A Promenade of one's own to damage."""
    return Path(shutil.copytree(promenade, tmp_path / "copy"))


def tree(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_a_wrong_root(fails, recipe, tmp_path):
    said = fails("train", recipe, "--data", f"sysu-mm01:{tmp_path}/none", "--out", tmp_path / "r")
    assert f"{tmp_path}/none" in said
    assert not (tmp_path / "r").exists()


def test_the_root_one_level_too_high_is_named(fails, recipe, promenade, tmp_path):
    data = f"sysu-mm01:{promenade.parent}"
    assert str(promenade) in fails("train", recipe, "--data", data, "--out", tmp_path / "r")


def test_a_missing_split_file(fails, recipe, copy, tmp_path):
    for name in ("train_id.txt", "train_id.mat"):
        (copy / "exp" / name).unlink()
    said = fails("train", recipe, "--data", f"sysu-mm01:{copy}", "--out", tmp_path / "r")
    assert "train_id.txt" in said


def test_a_truncated_image_is_named_by_check_and_by_training(fails, recipe, copy, tmp_path):
    for path in copy.glob("cam*/*/*.jpg"):
        path.write_bytes(path.read_bytes()[:200])
    said = fails("train", recipe, "--data", f"sysu-mm01:{copy}", "--out", tmp_path / "r")
    assert ".jpg" in said
    assert "to mend, see above" in fails("data", "check", "sysu-mm01", copy)


def test_an_unknown_recipe_key(fails, recipe, promenade, tmp_path):
    said = fails(
        "train", recipe, "--data", f"sysu-mm01:{promenade}", "--out", tmp_path / "r",
        "--set", "config.epoch=3",
    )  # fmt: skip
    assert "did you mean 'epochs'" in said


def test_a_batch_too_small_to_be_normalised(fails, promenade, tmp_path):
    changes = (
        "config.backbone=resnet10-half", "config.weights=none", "data.height=64", "data.width=32",
        "data.sampling=identity", "data.ids_per_batch=1", "data.images_per_id=1",
        "data.validation=none", "data.workers=0",
    )  # fmt: skip
    said = fails(
        "train", "baseline-promenade", "--data", f"sysu-mm01:{promenade}", "--out", tmp_path / "r",
        "--accelerator", "cpu", *(f"--set={change}" for change in changes),
    )  # fmt: skip
    assert "a batch of 1 images of 64 x 32 pixels; set data.ids_per_batch" in said


def test_embedding_on_a_device_that_is_not_there(fails, promenade, trained):
    lacking = "cuda" if torch.backends.mps.is_available() else "mps"  # no machine has both
    before = tree(trained)
    said = fails(
        "evaluate", trained, "--data", f"sysu-mm01:{promenade}", "--accelerator", lacking
    )  # fmt: skip
    assert f"There is no {lacking} device here; choose another accelerator" in said
    assert tree(trained) == before


def test_a_run_folder_with_another_configuration(fails, recipe, promenade, trained):
    before = tree(trained)
    said = fails(
        "train", recipe, "--data", f"sysu-mm01:{promenade}", "--out", trained,
        "--set", "training.seed=9",
    )  # fmt: skip
    assert "training.seed" in said
    assert tree(trained) == before


def test_a_folder_that_holds_something_else(fails, recipe, promenade, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    said = fails("train", recipe, "--data", f"sysu-mm01:{promenade}", "--out", tmp_path)
    assert "not empty" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]
    said = fails("data", "make", "promenade", tmp_path, "--preset", "tiny")
    assert list(tmp_path.iterdir()) == [tmp_path / "thesis.tex"]


def test_weights_of_another_method(fails, promenade, trained, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    path = run / "model.safetensors"
    with safe_open(path, "pt") as file:
        metadata = {key: text.replace("agw", "baseline") for key, text in file.metadata().items()}
    save_file(load_file(path), path, metadata=metadata)
    said = fails("evaluate", run, "--data", f"sysu-mm01:{promenade}")
    assert "'baseline'" in said
    assert "'agw'" in said


def test_weights_that_do_not_fit(fails, promenade, trained, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    path = run / "model.safetensors"
    tensors = load_file(path)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, path)
    assert str(path) in fails("evaluate", run, "--data", f"sysu-mm01:{promenade}")


class Bomb:
    def __reduce__(self):
        return (Path("exploded").write_text, ("boom",))


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/last.pt"])
def test_a_checkpoint_that_carries_code_does_not_run_it(
    fails, recipe, promenade, trained, tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for path in (run / "checkpoints").glob("*.pt") if name.endswith(".pt") else [run / name]:
        torch.save({"state": Bomb()}, path)
    if name.endswith(".pt"):
        fails("train", recipe, "--data", f"sysu-mm01:{promenade}", "--out", run)
    else:
        fails("evaluate", run, "--data", f"sysu-mm01:{promenade}")
    assert not (tmp_path / "exploded").exists()


def test_features_that_carry_code_do_not_run_it(fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features.npz").write_bytes(pickle.dumps(Bomb()))
    fails("score", "features.npz", "--protocol", "market1501")
    assert not (tmp_path / "exploded").exists()


def test_a_run_that_was_not_evaluated_has_no_report(fails, trained, tmp_path):
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    shutil.rmtree(run / "evaluation")
    assert "crosslight evaluate" in fails("report", run)


def test_a_folder_that_is_no_run(fails, promenade, tmp_path):
    assert "no run folder" in fails("evaluate", tmp_path, "--data", f"sysu-mm01:{promenade}")


def test_promenade_with_other_settings_is_not_overwritten(fails, copy):
    before = tree(copy)
    assert "seed" in fails("data", "make", "promenade", copy, "--preset", "tiny", "--height",
                           "32", "--width", "16", "--seed", "5", "--workers", "1")  # fmt: skip
    assert tree(copy) == before
