"""What trainings have in common that are compared: what they begin from, how much they see."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from crosslight.config import Recipe, to_plain
from crosslight.data.batches import Batches
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError
from crosslight.methods.beginning import beginning_from
from crosslight.methods.contract import Method, Stage, refuse_few_ids, stages_to_train
from crosslight.methods.scaling import MethodConfig
from crosslight.nn.weights import initial_weights_left_out
from crosslight.registry import method_class

_ROUNDED = 0.1
"""Part of the budget that may be lost by whole batches in an epoch."""


def images_seen(config: Recipe, train: SampleTable) -> int:
    """Images that a training loads over all its stages."""
    batches = _batches(config, train)
    per_epoch = batches.iterations_per_epoch
    lengths = [stage.iterations or (stage.epochs or 0) * per_epoch for stage in _stages(config)]
    return sum(lengths) * batches.batch_size


def beginning_overrides(config: Recipe, *, network: str, weights: str) -> tuple[str, ...]:
    """What to change so that every network that learnt before is of one kind, and knows the same.

    Args:
        config: Where to change it.
        network: As `backbone` in a recipe.
        weights: As `weights` in a recipe.
    """
    if not isinstance(config.config, MethodConfig):
        return ()
    begun = beginning_from(config.config, network=network, weights=weights)
    changed = _differences(config.config, begun, "config")
    return tuple(f"{key}={json.dumps(value)}" for key, value in changed)


def overrides_for(config: Recipe, train: SampleTable, images: int) -> tuple[str, ...]:
    """What to change in a configuration so that its training sees about so many images.

    The method scales its own configuration (`MethodConfig.scaled`). Where a stage is counted in
    epochs, their number stays and each has fewer or more batches, unless it has so few that
    rounding them would miss the budget.

    Raises:
        ConfigError: So few images that nothing is left to train on, batches that its method cannot
            learn from, or a configuration of another package that cannot be scaled.
    """
    if not isinstance(config.config, MethodConfig):
        raise ConfigError(
            f"The configuration of {config.method} does not say how it is scaled; let its Config "
            "extend crosslight.methods.scaling.MethodConfig, or leave out --images."
        )
    # A mistake should not show after the hours that the rows before it take.
    refuse_few_ids(method_class(config.method), config.method, config.data.ids_per_batch)
    factor = images / images_seen(config, train)
    per_epoch = _batches(config, train).iterations_per_epoch
    stages = _stages(config)
    if any((stage.iterations or per_epoch) * factor < 0.5 for stage in stages):
        raise ConfigError(
            f"--images {images} is less than one batch for each stage of {config.method}; give "
            "more."
        )
    in_epochs = any(stage.epochs for stage in stages)
    length = max(1, round(per_epoch * factor)) if in_epochs else per_epoch
    beside = per_epoch * factor / length if in_epochs else 1.0
    epochs = beside if abs(beside - 1) > _ROUNDED else 1.0
    scaled = config.config.scaled(factor, epochs=epochs)
    changed = dict(_differences(config.config, scaled, "config"))
    if in_epochs:
        changed["data.iterations_per_epoch"] = length
    return tuple(f"{key}={value}" for key, value in changed.items())


def keys_of_budget(config: Recipe) -> frozenset[str]:
    """Keys that `overrides_for` may change: what they are depends on the images of a data set."""
    changed = {"data.iterations_per_epoch"}
    if isinstance(config.config, MethodConfig):
        scaled = config.config.scaled(3.0, epochs=3.0)  # no count stays, as it may near 1
        changed |= {key for key, _ in _differences(config.config, scaled, "config")}
    return frozenset(changed)


def _differences(before: Any, after: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(before):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if dataclasses.is_dataclass(old):
            yield from _differences(old, new, f"{prefix}.{field.name}")
        elif old != new:
            yield f"{prefix}.{field.name}", to_plain(new)


def _batches(config: Recipe, train: SampleTable) -> Batches:
    return build_batches(train, config.data, seed=config.training.seed)


def _stages(config: Recipe) -> tuple[Stage, ...]:
    data = config.data
    method: Any = method_class(config.method)
    try:
        return _stages_of(method, config.config, data.height, data.width)
    except TypeError:  # a configuration of another package may hold what cannot be a key
        return _stages_of.__wrapped__(method, config.config, data.height, data.width)


@lru_cache(maxsize=256)
def _stages_of(method: Any, config: Any, height: int, width: int) -> tuple[Stage, ...]:
    """Kept: a leaderboard asks for those of one system for each seed, data set and rate."""
    with torch.device("meta"), _Undrawn(), initial_weights_left_out():
        built: Method = method(config, num_ids=2, height=height, width=width)
    return stages_to_train(built)


class _Undrawn(TorchFunctionMode):
    """Random numbers are left out: of tensors without memory torch takes long to draw none."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (Tensor.normal_, Tensor.uniform_):
            return args[0]
        return func(*args, **(kwargs or {}))
