from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.oracles import dgnet as oracle
from torch import Tensor

from crosslight.data.batch import Batch
from crosslight.methods import dgnet
from crosslight.methods.contract import Progress
from crosslight.methods.dgnet import DGNet, DGNetConfig

SMALL: dict[str, Any] = {
    "backbone": "resnet10-quarter",
    "weights": "none",
    "structure_width": 4,
    "critic_width": 4,
    "adain_width": 16,
    "dim": 24,
    "dilations": (1, 2, 3),
    "ramp_start": 100,
}
DRY = {"primary_dropout": 0.0, "fine_dropout": 0.0, "teacher_dropout": False}
RECTANGLES = torch.tensor([[3, 4, 20, 10], [0, 0, 0, 0]] * 8)


class Recorded:
    """The loop's update: steps, and keeps the gradients of what each update moves."""

    def __init__(self, method: DGNet, *, stage: str = "joint", iteration: int = 0) -> None:
        self.method = method
        self.optimizers = {n: s.optimizer for n, s in method.optimizers().items()}
        self.progress = Progress(
            stage=stage, iteration=iteration, iterations=10_000, iterations_per_epoch=100
        )
        self.order: list[str] = []
        self.gradients: dict[str, Tensor] = {}
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def __call__(self, name: str, losses: Mapping[str, Tensor]) -> None:
        self.order.append(name)
        optimizer = self.optimizers[name]
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        moved = {n: p for n, p in self.method.named_parameters() if id(p) in own}
        torch.stack(list(losses.values())).sum().backward(inputs=list(moved.values()))
        self.gradients.update({n: p.grad.clone() for n, p in moved.items() if p.grad is not None})
        optimizer.step()
        for parameter in moved.values():
            parameter.grad = None


def _dgnet(**overrides: Any) -> DGNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DGNet(DGNetConfig(**{**SMALL, **overrides}), num_ids=6, height=64, width=32)


def _double(batch: Batch) -> Batch:
    return Batch(
        images=batch.images.double(),
        labels=batch.labels.roll(2),  # so that some rows meet their own person, not all
        cams=batch.cams,
        modality=batch.modality,
        rows=batch.rows,
    )


@pytest.fixture
def _same_rectangles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dgnet, "draw_rectangles", lambda *_, **__: RECTANGLES)


@pytest.mark.usefixtures("_same_rectangles")
@pytest.mark.parametrize(("iteration", "again"), [(50, True), (1100, True), (1100, False)])
def test_one_iteration_equals_the_plain_formulation(
    iteration: int, again: bool, make_batch: MakeBatch
) -> None:
    """Same losses, gradients, weights and running statistics, in float64, over two iterations."""
    ours = _dgnet(**DRY, again_probability=float(again)).double().train()
    # At their initial values of about 0 the critic and the classifiers hide much of the rest.
    with torch.no_grad():
        for network in (ours.critic, ours.primary.classifier, ours.fine.classifier, ours.teacher):
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    plain = copy.deepcopy(ours)
    batch = _double(make_batch())
    images = ours.normalize(batch.images)
    step, update = oracle.PlainStep(plain), Recorded(ours, iteration=iteration)
    for _ in range(2):
        expected = step(images, batch.labels, RECTANGLES, iteration, again=again)
        found = ours.training_step(batch, update)
        assert set(found) == set(expected)
        for name, loss in expected.items():
            torch.testing.assert_close(found[name].item(), loss, rtol=1e-9, atol=1e-12, msg=name)
        assert set(update.gradients) == set(step.gradients)
        for name, gradient in step.gradients.items():
            torch.testing.assert_close(
                update.gradients[name], gradient, rtol=1e-6, atol=1e-10, msg=name
            )
        update.gradients.clear()
    for (name, own), other in zip(
        ours.state_dict().items(), plain.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-7, msg=name)
