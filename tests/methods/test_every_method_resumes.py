"""Every registered method, cut at an iteration and resumed: the same weights bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from tests.devices import DEVICE
from tests.incapable import IncapableError
from tests.training.people import draw_people
from tests.training.states import assert_same_state, lines, state
from torch import Tensor

from crosslight.config import Recipe, parse_recipe
from crosslight.data.batch import Batch
from crosslight.data.table import SampleTable
from crosslight.methods.contract import Method, Update
from crosslight.registry import method_class, method_names
from crosslight.training.loop import fit
from crosslight.training.machines import Machines
from crosslight.training.run import RunFolder, build_method

EPOCHS, PER_EPOCH = 2, 2
PRECISIONS = ("32-true",) if DEVICE.type == "cpu" else ("32-true", "bf16-mixed", "16-mixed")


class PowerCutError(Exception):
    """Stands for a power cut: nothing may run after it."""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> SampleTable:
    return draw_people(tmp_path_factory.mktemp("people"), size=(64, 32))


def _config(name: str, workers: int, **training: object) -> Recipe:
    cls = method_class(name)
    asked = {"epochs": EPOCHS, "iterations": PER_EPOCH}
    length = {key: value for key, value in asked.items() if hasattr(cls.Config(), key)}
    batches = {"ids_per_batch": max(2, cls.fewest_ids), "visible_per_id": 2, "infrared_per_id": 2}
    data = {"height": 64, "width": 32, "iterations_per_epoch": PER_EPOCH, "workers": workers}
    return parse_recipe(
        {
            "method": name,
            "config": {**cls.small, **length},
            "data": {**data, **batches},
            "training": {"checkpoint_every": 1, **training},
        },
        where="test",
    )


def _train(table: SampleTable, path: Path, config: Recipe, method: Method) -> None:
    run = RunFolder.create(path, config, data={"fingerprint": table.fingerprint()})
    fit(
        table,
        config,
        run,
        method=method,
        machines=Machines(accelerator=DEVICE.type),
        progress=False,
    )


def _cut(method: Method, after: int) -> Method:
    step: Callable[[Batch, Update], Mapping[str, Tensor]] = method.training_step
    left: Iterator[int] = iter(range(after))

    def training_step(batch: Batch, update: Update) -> Mapping[str, Tensor]:
        if next(left, None) is None:
            raise PowerCutError
        return step(batch, update)

    method.training_step = training_step  # type: ignore[method-assign]
    return method


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", method_names())
def test_a_cut_training_continues_bit_for_bit(
    name: str, precision: str, table: SampleTable, tmp_path: Path
) -> None:
    config = _config(name, workers=0, precision=precision)
    num_ids = len(set(table.pids.tolist()))
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    _train(table, whole, config, build_method(config, num_ids=num_ids))
    with pytest.raises(PowerCutError):
        _train(table, pieces, config, _cut(build_method(config, num_ids=num_ids), after=3))
    resumed = _config(name, workers=1, precision=precision)
    _train(table, pieces, resumed, build_method(resumed, num_ids=num_ids))
    assert_same_state(state(whole), state(pieces))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_compiled_networks_learn(precision: str, table: SampleTable, tmp_path: Path) -> None:
    if DEVICE.type == "cpu":
        raise IncapableError("compiling for a processor takes minutes")
    config = _config("agw", workers=0, precision=precision, compile=True)
    _train(table, tmp_path, config, build_method(config, num_ids=len(set(table.pids.tolist()))))
    assert all(torch.isfinite(tensor).all() for tensor in state(tmp_path)["method"].values())
    losses = [loss for line in lines(tmp_path) for loss in line.get("losses", {}).values()]
    assert losses
    assert all(map(math.isfinite, losses))
