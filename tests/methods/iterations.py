"""Holds a method's iterations against an oracle's: losses, gradients, weights and statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, TypeVar

import torch
from tests.methods.updates import RecordedUpdate
from tests.oracles.draws import Draws, decided_by_values, recorded
from torch import Tensor, nn

from crosslight.data.batch import Batch
from crosslight.methods.contract import Method, Progress

M = TypeVar("M", bound=Method)


class Oracle(Protocol):
    """What computes iterations slowly.

    Attributes:
        w: Name → weight or statistic.
        gradients: Name → gradient of the last iteration.
    """

    w: dict[str, Tensor]
    gradients: dict[str, Tensor]

    def step(self, batch: Batch, progress: Progress, draws: Draws) -> dict[str, float]:
        """One iteration; gives the figures."""
        ...


def scrambled(method: M) -> M:
    """In float64 and training mode, with no weight at a start that hides what lies before it."""
    method.double().train()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in method.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.1 * noise)
        for norm in method.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                assert norm.running_mean is not None
                assert norm.running_var is not None
                size = norm.running_mean.shape
                norm.running_mean.add_(0.1 * torch.randn(size, generator=generator))
                norm.running_var.add_(0.3 * torch.rand(size, generator=generator))
    return method


def mirrored(batch: Batch, count: int) -> list[Batch]:
    """So many batches in float64, each one's images the mirror images of the one before."""
    images = batch.images.double()
    return [
        dataclasses.replace(batch, images=images.flip(-1) if number % 2 else images)
        for number in range(count)
    ]


def assert_iterations_agree(
    method: Method,
    oracle: Oracle,
    batches: Sequence[Batch],
    *,
    places: Sequence[Progress],
    rounding: float = 1e-9,
    keep_noise: bool = False,
) -> None:
    """Runs both from the same weights over the same batches.

    Args:
        method: As `scrambled` leaves it.
        oracle: Made of its weights.
        batches: One for each iteration.
        places: Where training stands in each iteration.
        rounding: Largest difference, as a part of the larger of 1 and a tensor's largest value.
        keep_noise: See `tests.oracles.draws.recorded`.
    """
    update = RecordedUpdate(method)
    for batch, place in zip(batches, places, strict=True):
        where = f"{place.stage} {place.iteration}"
        update.progress = place
        update.gradients.clear()
        oracle.gradients.clear()
        with recorded(keep_noise=keep_noise) as draws:
            found = method.training_step(batch, update)
        with decided_by_values():
            expected = oracle.step(batch, place, draws)
        assert draws.none_left(), where
        assert set(found) == set(expected), where
        for name, figure in expected.items():
            value = torch.tensor(figure, dtype=torch.float64)
            _close(found[name].detach(), value, rounding, f"{where}: {name}")
        assert set(update.gradients) == set(oracle.gradients), where
        for name, slope in oracle.gradients.items():
            _close(update.gradients[name], slope, rounding, f"{where}: gradient of {name}")
        moved = oracle.w
        for name, value in method.state_dict().items():
            _close(value, moved[name].detach(), rounding, f"{where}: {name} after the step")


def _close(found: Tensor, expected: Tensor, rounding: float, what: str) -> None:
    if found.dtype == torch.float32:
        rounding = max(rounding, 1e-7)
    found, expected = found.double(), expected.double()
    most = max(1.0, expected.abs().max().item())
    difference = (found - expected).abs().max().item()
    assert difference <= rounding * most, f"{what}: {difference:g} apart, of at most {most:g}"
