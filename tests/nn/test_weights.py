from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from crosslight.errors import CheckpointError
from crosslight.files import sha256_of
from crosslight.nn.weights import load_weights, read_weights


class Payload:
    """Stands for an object that a plain `torch.load` would build by running code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran while loading",)


def _state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(2)}


@pytest.mark.parametrize("kind", ["safetensors", "bare", "state_dict", "parallel"])
def test_every_usual_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(_state(), path)
    elif kind == "bare":
        torch.save(_state(), path)
    elif kind == "state_dict":
        torch.save({"state_dict": _state(), "epoch": 3}, path)
    else:
        torch.save({"model": {f"module.{k}": v for k, v in _state().items()}}, path)
    found = read_weights(path, sha256=sha256_of(path).upper())
    assert list(found) == ["weight", "bias"] or set(found) == {"weight", "bias"}
    assert torch.equal(found["weight"], _state()["weight"])


def test_wrong_digest_names_both(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(_state(), path)
    expected = "ab" * 32
    with pytest.raises(CheckpointError, match=f"{sha256_of(path)}, but {expected}"):
        read_weights(path, sha256=expected)


def test_code_is_refused_and_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": Payload()}, path)
    with pytest.raises(CheckpointError, match="would run code on loading and was refused"):
        read_weights(path)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_damaged_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(_state(), path) if name.endswith("safetensors") else torch.save(_state(), path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CheckpointError, match="fetch it again") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["some text", "state_dict", "epoch 3", "run", "jpg", "hello", '{"a": 1}', "\n"]
)
def test_text_in_place_of_a_torch_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_text(text)
    with pytest.raises(CheckpointError, match=r"no torch file \(it begins like none\); fetch it"):
        read_weights(path)


@pytest.mark.parametrize("error", [MemoryError(), struct.error("unpack"), IndexError(), OSError(5)])
def test_what_reading_raises_is_one_sentence_but_for_lack_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(_state(), path)

    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, "load", fails)
    lacks_memory = isinstance(error, MemoryError)
    with pytest.raises(MemoryError if lacks_memory else CheckpointError) as caught:
        read_weights(path)
    assert lacks_memory or "is damaged or no torch file" in str(caught.value)


def test_missing_file_and_file_without_tensors(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no weight file"):
        read_weights(tmp_path / "nowhere.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_weights(tmp_path / "empty.pth")


def test_weights_that_do_not_fit_are_named() -> None:
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    wrong = {"weight": torch.zeros(5, 3), "scale": torch.ones(2)}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, wrong, source="It")
    for part in ("lacks bias", "unknown scale", r"another shape of weight (5, 3) for (2, 3)"):
        assert part in str(caught.value)
    assert torch.equal(network.weight, before)


def test_ignored_names_may_be_left_over() -> None:
    network = nn.Linear(3, 2)
    load_weights(network, {**_state(), "fc.weight": torch.ones(1)}, source="It", ignored=("fc",))
    assert torch.equal(network.weight, _state()["weight"])
    with pytest.raises(CheckpointError, match=r"unknown fc\.weight"):
        load_weights(network, {**_state(), "fc.weight": torch.ones(1)}, source="It")
