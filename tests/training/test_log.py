from __future__ import annotations

import gc
import weakref
from typing import Any

import torch
from torch import Tensor

from crosslight.training.log import Means


class _Kept:
    """What a graph holds."""


class _Holds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, kept: _Kept) -> Tensor:
        ctx.kept = kept
        return loss.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def test_figures_may_have_a_graph_and_the_means_keep_none() -> None:
    """Or it would grow from one line of the log to the next."""
    means, kept = Means({}, torch.device("cpu")), _Kept()
    means.add({"loss": _Holds.apply(torch.ones((), requires_grad=True), kept)})  # type: ignore[no-untyped-call]
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is None
    assert means.sums() == {"loss": (1.0, 1)}
