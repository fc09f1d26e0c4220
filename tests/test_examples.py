"""The examples run as they stand, on a smaller Promenade and for a few iterations."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from examples.my_method import centres_apart

import crosslight as cl
from crosslight import cli
from crosslight.registry import TRUSTED_VARIABLE

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "first_hour.ipynb"
SHORTER = """
%matplotlib inline
import crosslight as cl

PRESET, PROBED = "tiny", 10
CHANGES = [
    "config.warmup_epochs=1", "config.joint_epochs=1", "config.backbone=resnet10-quarter",
    "config.weights=none", "config.gan_ids=2", "data.iterations_per_epoch=1",
    "data.ids_per_batch=4", "data.workers=0",
]
"""  # fmt: skip


def kinds(cell: dict) -> set[str]:
    return {kind for output in cell["outputs"] for kind in output.get("data", {"text/plain": ""})}


def test_the_notebook_runs_from_its_first_cell_to_its_last(tmp_path: Path) -> None:
    pytest.importorskip("IPython", reason="say: pip install 'crosslight[dev]'")
    out = tmp_path / "answered.ipynb"
    said = subprocess.run(
        [
            *(sys.executable, str(ROOT / "tools" / "notebook.py"), str(NOTEBOOK)),
            *("--within", str(tmp_path), "--parameters", SHORTER, "--out", str(out)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    stored, answered = (json.loads(path.read_text("utf-8"))["cells"] for path in (NOTEBOOK, out))
    assert [cell["source"] for cell in stored] == [cell["source"] for cell in answered]
    pictures = [
        any(kind.startswith("image/") for kind in kinds(cell))
        for cell in answered
        if cell["cell_type"] == "code"
    ]
    assert sum(pictures) >= 6
    codes = [cell for cell in stored if cell["cell_type"] == "code"]
    assert [any(k.startswith("image/") for k in kinds(cell)) for cell in codes] == pictures


def test_the_stored_answers_are_small_and_name_no_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert re.findall(r"(?<![\w/+.])/(?:home|root|tmp|work|usr|data|Users)/", text) == []


def test_the_method_outside_the_package_learns_and_is_found_again(
    tmp_path: Path, promenade: Path, monkeypatch, capsys
) -> None:
    for name in ("my_method.py", "my_method.yaml"):
        shutil.copy(EXAMPLES / name, tmp_path)
    monkeypatch.setenv(TRUSTED_VARIABLE, str(tmp_path / "my_method.py"))
    changes = (
        "config.backbone=resnet10-quarter", "config.weights=none", "config.warmup_epochs=0",
        "config.epochs=8", "data.iterations_per_epoch=4", "data.ids_per_batch=4",
        "data.height=64", "data.width=32", "data.workers=0", "training.log_every=1",
        "training.precision=32-true", "data.augmentation.pad_px=2",
    )  # fmt: skip
    data = f"sysu-mm01:{promenade}"
    out = tmp_path / "run"
    said = [flag for change in changes for flag in ("--set", change)]
    cli.main(
        ["train", str(tmp_path / "my_method.yaml"), "--data", data, "--out", str(out), *said]
    )  # fmt: skip
    # What is printed as next can be typed as it stands.
    nexts = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Next: ")]
    assert nexts == [
        f"Next: export {TRUSTED_VARIABLE}={tmp_path / 'my_method.py'}",
        f"Next: crosslight evaluate {out} --data {data}",
    ]
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [line["losses"]["loss_id"] for line in log if "losses" in line]
    assert sum(losses[-4:]) < sum(losses[:4])
    run = cl.load_run(out)
    assert list(run.evaluate(data, protocols=["sysu-mm01/all/1"]).results) == ["sysu-mm01/all/1"]
    images = cl.read_layout("sysu-mm01", promenade).split("test").paths[:3]
    first, again = run.embed(images), run.embed(images)
    assert first.shape[0] == 3
    assert (first == again).all()


def test_centres_are_apart_as_written_slowly() -> None:
    embeddings = torch.tensor([[0.0, 0], [2, 0], [1, 3], [5, 5], [7, 7]], requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 2])
    modality = torch.tensor([0, 0, 1, 0, 1])  # only person 0 is seen in both lights
    found = centres_apart(embeddings, labels, modality)
    assert found.item() == 9.0  # (1, 0) and (1, 3)
    found.backward()
    assert embeddings.grad is not None
    assert embeddings.grad.tolist() == [[0, -3], [0, -3], [0, 6], [0, 0], [0, 0]]
    alone = centres_apart(embeddings[3:], labels[3:], modality[3:])
    assert alone.item() == 0
