"""Passing through a network without training it, or without leaving traces in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@contextmanager
def frozen(
    *networks: nn.Module,
    statistics: Literal["batch", "running", "followed"] = "batch",
    dropout: bool = False,
) -> Iterator[None]:
    """Inside, networks behave like a frozen copy of themselves; afterwards they are as before.

    Gradients go through to their inputs and never to their weights, also where the backward pass
    comes after the block. Batch normalisation leaves its running statistics alone, unless they
    are `followed`. Stands in for a deep copy, which would allocate every weight again.

    Args:
        networks: Whole networks.
        statistics: What batch normalisation normalises by: those of the batch or the running ones.
            `followed`: those of the batch, and the running ones take note of them.
        dropout: Whether dropout draws.
    """
    modules = [module for network in networks for module in network.modules()]
    norms = [module for module in modules if isinstance(module, _BATCH_NORMS)]
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    was_training = [module.training for module in modules]
    was_tracking = [norm.track_running_stats for norm in norms]
    try:
        for module in modules:
            module.training = dropout and isinstance(module, nn.Dropout)
        for norm in norms:
            norm.training = statistics != "running"
            norm.track_running_stats = statistics != "batch"
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for norm, tracked in zip(norms, was_tracking, strict=True):
            norm.track_running_stats = tracked
        for module, trained in zip(modules, was_training, strict=True):
            module.training = trained


@contextmanager
def unremembered(*networks: nn.Module) -> Iterator[None]:
    """Inside, batch normalisation in training leaves its running statistics alone.

    Weights learn as ever.

    Args:
        networks: Whole networks.
    """
    norms = [m for network in networks for m in network.modules() if isinstance(m, _BATCH_NORMS)]
    was_tracking = [norm.track_running_stats for norm in norms]
    try:
        for norm in norms:
            norm.track_running_stats = False
        yield
    finally:
        for norm, tracked in zip(norms, was_tracking, strict=True):
            norm.track_running_stats = tracked
