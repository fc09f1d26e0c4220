from __future__ import annotations

import pytest
import torch
from torch import nn

from crosslight.methods.agw import AGWConfig
from crosslight.methods.baseline import BaselineConfig
from crosslight.methods.contract import Progress
from crosslight.methods.optimization import Optimization, make_optimizer, schedule_factor


def _at(epoch: float, *, per_epoch: int = 100, epochs: int = 81) -> Progress:
    return Progress(
        stage="train",
        iteration=round(epoch * per_epoch),
        iterations=epochs * per_epoch,
        iterations_per_epoch=per_epoch,
    )


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 0.1), (0.99, 0.1), (1, 0.2), (8.5, 0.9), (9, 1.0), (19.99, 1.0), (20, 0.1), (50, 0.01)],
)
def test_agw_has_the_released_schedule(epoch: float, factor: float) -> None:
    assert schedule_factor(AGWConfig(), _at(epoch)) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("iteration", "factor"),
    [(0, 0.1), (1000, 0.55), (2000, 1.0), (7999, 1.0), (8000, 0.1), (18000, 0.01)],
)
def test_baseline_has_the_published_schedule(iteration: int, factor: float) -> None:
    progress = Progress(
        stage="train", iteration=iteration, iterations=24000, iterations_per_epoch=200
    )
    assert schedule_factor(BaselineConfig(), progress) == pytest.approx(factor)


def test_cosine_falls_from_one_to_its_end() -> None:
    config = Optimization(
        epochs=10, optimizer="adamw", lr=1.0, schedule="cosine", final_factor=0.02
    )
    values = [schedule_factor(config, _at(epoch, epochs=10)) for epoch in range(11)]
    assert values[0] == pytest.approx(1.0)
    assert values[5] == pytest.approx(0.51)
    assert values[10] == pytest.approx(0.02)
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("kind", "cls"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_optimizers_hold_each_trainable_parameter_once(kind: str, cls: type) -> None:
    method = nn.ModuleDict({"old": nn.Linear(2, 2), "new": nn.Linear(2, 3)})
    method["old"].bias.requires_grad_(False)
    config = Optimization(
        epochs=1,
        optimizer=kind,  # type: ignore[arg-type]
        lr=0.5,
        backbone_lr_factor=0.1,
        weight_decay=0.01,
    )
    optimizer = make_optimizer(config, method, new=method["new"]).optimizer
    assert type(optimizer) is cls
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 2]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.5])
    assert all(group["weight_decay"] == 0.01 for group in optimizer.param_groups)


def test_further_parts_have_rates_of_their_own() -> None:
    method = nn.ModuleDict({name: nn.Linear(2, 2) for name in ("old", "new", "slow")})
    config = Optimization(epochs=1, optimizer="sgd", lr=0.5, backbone_lr_factor=0.1)
    found = make_optimizer(config, method, new=method["new"], others=[(method["slow"], 0.2)])
    rates = {id(p): group["lr"] for group in found.optimizer.param_groups for p in group["params"]}
    assert len(rates) == 6
    for name, rate in {"old": 0.05, "new": 0.5, "slow": 0.1}.items():
        assert [rates[id(p)] for p in method[name].parameters()] == pytest.approx([rate, rate])
