"""The loop's update for the tests of methods: the real one, which tells what it did."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from lightning_fabric import Fabric
from torch import Tensor

from crosslight.methods.contract import Method, Progress, weighted
from crosslight.training.update import LoopUpdate


def at(
    method: Method,
    *,
    stage: str | None = None,
    iteration: int = 0,
    iterations: int = 10_000,
    iterations_per_epoch: int = 100,
) -> Progress:
    """Where training stands; of the last stage unless another one is named."""
    return Progress(
        stage=stage or method.stages()[-1].name,
        iteration=iteration,
        iterations=iterations,
        iterations_per_epoch=iterations_per_epoch,
    )


class RecordedUpdate(LoopUpdate):
    """Steps as in training, and keeps what an iteration gave it.

    Args:
        method: Whose optimizers move.
        progress: See `at`.

    Attributes:
        order: The optimizers of each call.
        losses: Name → plain loss, last value.
        gradients: Name → gradient that a step was made with, last value.
        notes: Sentences for a person.
    """

    def __init__(self, method: Method, **progress: str | int) -> None:
        optimizers = method.optimizers()
        device = next(method.parameters()).device.type
        super().__init__(
            Fabric(accelerator=device, devices=1), optimizers, clip_norm=None, scaler=None
        )
        self.progress = at(method, **progress)  # type: ignore[arg-type]
        self.order: list[str | tuple[str, ...]] = []
        self.losses: dict[str, float] = {}
        self.gradients: dict[str, Tensor] = {}
        self.notes: list[str] = []
        self.note = self.notes.append
        names = {id(parameter): name for name, parameter in method.named_parameters()}

        def keep(optimizer: torch.optim.Optimizer, *_: object) -> None:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self.gradients[names[id(parameter)]] = parameter.grad.clone()

        for scheduled in optimizers.values():
            scheduled.optimizer.register_step_pre_hook(keep)

    def __call__(
        self,
        optimizers: str | tuple[str, ...],
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Makes the step."""
        self.order.append(optimizers)
        self.losses |= {name: loss.item() for name, loss in losses.items()}
        super().__call__(optimizers, losses, weights)

    @property
    def weighted(self) -> dict[str, float]:
        """Name → what a loss was worth in the sum of its last update."""
        kept = {n: v for n, v in self.counted.items() if n.startswith("weighted/")}
        return {name.partition("/")[2]: value.item() for name, value in kept.items()}


class RoutedUpdate:
    """Moves nothing; finds out which weights each loss alone would send a gradient to.

    Attributes:
        order: The optimizers of each call.
        losses: Name → plain loss.
        reached: Name of a loss → names of weights.
        notes: Sentences for a person.
    """

    def __init__(self, method: Method, **progress: str | int) -> None:
        self.method = method
        self.progress = at(method, **progress)  # type: ignore[arg-type]
        self.order: list[str | tuple[str, ...]] = []
        self.losses: dict[str, float] = {}
        self.reached: dict[str, set[str]] = {}
        self.notes: list[str] = []
        self.note = self.notes.append

    def __call__(
        self,
        optimizers: str | tuple[str, ...],
        losses: Mapping[str, Tensor],
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """Walks back from one loss after the other."""
        self.order.append(optimizers)
        self.losses |= {name: loss.item() for name, loss in losses.items()}
        named = {n: p for n, p in self.method.named_parameters() if p.requires_grad}
        for loss, value in weighted(losses, weights).items():
            slopes = torch.autograd.grad(
                value, list(named.values()), retain_graph=True, allow_unused=True
            )
            self.reached[loss] = {
                name
                for name, slope in zip(named, slopes, strict=True)
                if slope is not None and slope.any()
            }

    def networks(self, loss: str) -> set[str]:
        """The method's networks that a loss trains."""
        return {name.partition(".")[0] for name in self.reached[loss]}

    @property
    def routes(self) -> dict[str, set[str]]:
        """The same of every loss."""
        return {loss: self.networks(loss) for loss in self.reached}
