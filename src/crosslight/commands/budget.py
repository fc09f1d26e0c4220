"""How many images a training sees, and the same training on another number of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from crosslight.config import RunConfig
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.methods.contract import Method
from crosslight.nn.weights import initial_weights_left_out
from crosslight.registry import method_class

SCALED = (
    "iterations",
    "teacher_iterations",
    "identity_iterations",
    "teacher_lr_steps",
    "teacher_warmup",
    "lr_steps",
    "ramp_start",
    "warmup_iterations",
)
"""Fields of methods' configurations that count iterations. Epochs stay, and become shorter."""
PER_ITERATION = ("ramp_step",)
"""Fields that say how much something grows in each iteration."""


def images_seen(config: RunConfig, train: SampleTable) -> int:
    """Images that a training loads over all its stages."""
    batches = build_batches(train, config.data, seed=config.training.seed)
    with torch.device("meta"), initial_weights_left_out():
        method: Method = method_class(config.method)(
            config.config, num_ids=2, height=config.data.height, width=config.data.width
        )
    per_epoch = batches.iterations_per_epoch
    lengths = [s.iterations or (s.epochs or 0) * per_epoch for s in method.stages()]
    return sum(lengths) * batches.batch_size


def overrides_for(config: RunConfig, train: SampleTable, images: int) -> tuple[str, ...]:
    """What to change in a configuration so that its training sees about so many images.

    Lengths, the places of ramps and steps, and the growth of ramps are scaled alike. Where a
    method counts in epochs, their number stays and each has fewer or more batches.

    Raises:
        ConfigError: So few images that nothing is left to train on.
    """
    factor = images / images_seen(config, train)
    changed: dict[str, Any] = {}
    own = {f.name: getattr(config.config, f.name) for f in dataclasses.fields(config.config)}
    if "epochs" in own:
        batches = build_batches(train, config.data, seed=config.training.seed)
        changed["data.iterations_per_epoch"] = round(batches.iterations_per_epoch * factor)
    for name, value in own.items():
        if name in SCALED:
            changed[f"config.{name}"] = (
                [round(part * factor) for part in value]
                if isinstance(value, tuple)
                else round(value * factor)
            )
        elif name in PER_ITERATION:
            changed[f"config.{name}"] = value / factor
    lengths = ("data.iterations_per_epoch", "config.iterations", "config.teacher_iterations")
    if any(changed.get(key, 1) < 1 for key in lengths):
        raise ConfigError(
            f"--images {images} is less than one batch for each stage of {config.method}; give "
            "more."
        )
    return tuple(f"{key}={value}" for key, value in changed.items())
