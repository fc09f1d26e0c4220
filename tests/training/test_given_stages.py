from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from crosslight.data.table import SampleTable
from crosslight.errors import CheckpointError, ConfigError
from crosslight.files import sha256_of
from crosslight.methods.contract import Method, Stage
from crosslight.training.given_stages import take_given
from crosslight.training.loop import fit
from tests.training.states import lines
from tests.training.tiny import Tiny, build, open_run, recipe


class Warmed(Tiny):
    """Its warm-up trains the backbone, and is given."""

    given = ""
    sha256: str | None = None

    def stages(self) -> tuple[Stage, ...]:
        length = self.config.warm_up
        warm_up = Stage(
            name="warm-up",
            iterations=length,
            given=self.given,
            sha256=self.sha256,
            part="backbone",
        )
        return (warm_up, super().stages()[1])


def _warmed(given: Path, sha256: str | None = None) -> Warmed:
    method = Warmed(recipe().config, num_ids=5, height=16, width=8)
    method.given, method.sha256 = str(given), sha256
    return method


def _file(path: Path, method: Method) -> Path:
    save_file({name: value.contiguous() for name, value in method.state_dict().items()}, path)
    return path


def test_a_given_stage_is_skipped_and_its_part_kept(table: SampleTable, tmp_path: Path) -> None:
    source = build(recipe(seed=3), table)
    file = _file(tmp_path / "whole.safetensors", source)
    method = _warmed(file, sha256=sha256_of(file))
    take_given(method)
    summary = fit(
        table, recipe(), open_run(tmp_path / "run", recipe(), table), method=method, progress=False
    )
    assert summary.iterations == 3 * 4
    assert {line["stage"] for line in lines(tmp_path / "run")} == {"joint"}
    for name, value in source.backbone.named_parameters():
        assert torch.equal(method.backbone.get_parameter(name), value), name
    assert not torch.equal(method.classifier.weight, source.classifier.weight)


def test_the_part_alone_may_be_given(table: SampleTable, tmp_path: Path) -> None:
    source = build(recipe(seed=3), table)
    file = tmp_path / "backbone.safetensors"
    save_file(source.backbone.state_dict(), file)
    method = _warmed(file)
    take_given(method)
    for name, value in source.backbone.state_dict().items():
        assert torch.equal(method.backbone.state_dict()[name], value), name


def test_another_file_is_refused(table: SampleTable, tmp_path: Path) -> None:
    file = _file(tmp_path / "whole.safetensors", build(recipe(), table))
    with pytest.raises(CheckpointError, match=r"SHA-256 .* but 00 was expected"):
        take_given(_warmed(file, sha256="00"))
    with pytest.raises(CheckpointError, match="There is no weight file"):
        take_given(_warmed(tmp_path / "missing.safetensors"))
    save_file({"other.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="holds nothing of backbone, which stage warm-up"):
        take_given(_warmed(tmp_path / "other.safetensors"))


def test_a_given_stage_names_its_part() -> None:
    with pytest.raises(ConfigError, match=r"must name the `part` that mine\.pth gives"):
        Stage(name="warm-up", iterations=3, given="mine.pth")
