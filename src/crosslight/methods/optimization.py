"""Optimizer and learning-rate schedule, as methods with one optimizer name them in a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import nn

from crosslight.methods.contract import Progress, Scheduled
from crosslight.methods.scaling import EpochCount, Epochs, EpochSteps, Iterations, MethodConfig
from crosslight.ranges import Share

OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["step", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Optimization(MethodConfig):
    """The part of a method's `Config` that says how its one optimizer moves.

    Attributes:
        epochs: Length of training.
        optimizer: Its kind; `sgd` has Nesterov momentum.
        lr: Learning rate of the layers that are new; backbones get `backbone_lr_factor` of it.
        backbone_lr_factor: Learning rate of the backbone over that of the new layers.
        weight_decay: L2 penalty (sgd, adam) or decoupled decay (adamw) of every parameter.
        momentum: Of sgd.
        schedule: `step` multiplies by `step_factor` at each of `step_epochs`; `cosine` falls to
            `final_factor` over the whole training.
        step_epochs: Epochs at which `step` takes effect, counted from 0.
        step_factor: Factor of one step.
        final_factor: Where `cosine` ends, as a part of `lr`.
        warmup_epochs: Epoch e of the first n has (e + 1) / n of the rate, in stairs; 0: none.
        warmup_iterations: Alternatively a straight line over this many iterations; 0: none.
        warmup_start: Where that line starts, as a part of the rate.
    """

    epochs: EpochCount
    optimizer: OptimizerName
    lr: float
    backbone_lr_factor: float = 1.0
    weight_decay: float = 5e-4
    momentum: Share = 0.9
    schedule: ScheduleName = "step"
    step_epochs: EpochSteps = ()
    step_factor: float = 0.1
    final_factor: Share = 0.0
    warmup_epochs: Epochs = 0
    warmup_iterations: Iterations = 0
    warmup_start: Share = 0.1


def schedule_factor(config: Optimization, progress: Progress) -> float:
    """The part of the initial learning rate that holds at this iteration."""
    epoch = math.floor(progress.epoch)
    factor = 1.0
    if epoch < config.warmup_epochs:
        factor = (epoch + 1) / config.warmup_epochs
    elif progress.iteration < config.warmup_iterations:
        start = config.warmup_start
        factor = start + (1 - start) * progress.iteration / config.warmup_iterations
    if config.schedule == "step":
        return factor * config.step_factor ** sum(epoch >= step for step in config.step_epochs)
    fall = 0.5 * (1 + math.cos(math.pi * progress.fraction))
    return factor * (config.final_factor + (1 - config.final_factor) * fall)


def make_optimizer(
    config: Optimization,
    method: nn.Module,
    *,
    new: nn.Module,
    others: Sequence[tuple[nn.Module, float]] = (),
) -> Scheduled:
    """The optimizer of all trainable parameters of a method.

    Args:
        config: Kind, rates and schedule.
        method: Whose parameters are trained.
        new: Its part that starts from scratch and moves at the full rate.
        others: Further parts, each with its rate as a part of the full one.
    """
    parts = [(new, 1.0), *others]
    own = [{id(parameter) for parameter in part.parameters()} for part, _ in parts]
    placed = set().union(*own)
    trained = [p for p in method.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in trained if id(p) not in placed],
            "lr": config.lr * config.backbone_lr_factor,
        },
        *(
            {"params": [p for p in trained if id(p) in ids], "lr": config.lr * factor}
            for ids, (_, factor) in zip(own, parts, strict=True)
        ),
    ]
    factor: Callable[[Progress], float] = partial(schedule_factor, config)
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.momentum > 0,
        )
    elif config.optimizer == "adam":
        optimizer = torch.optim.Adam(groups, lr=config.lr, weight_decay=config.weight_decay)
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return Scheduled(optimizer=optimizer, factor=factor)
