"""Seeing the whole batch when it is spread over several processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of processes that train together; 1 when training is not distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """All ranks' tensors concatenated along the first dimension, in rank order.

    The tensor itself when training is not distributed. Every rank must call this with the same
    shape, in the same order of calls.

    Gradient: the objective of a distributed training is the mean over ranks of each rank's loss,
    and the loop averages the ranks' gradients accordingly. The backward pass sums what all ranks'
    losses send to a rank's own part, so a loss that every rank computes on the gathered batch
    moves the weights exactly as one process with the whole batch would, and so does a mean over
    samples that each rank takes over its own part.

    Args:
        tensor: (B, ...) of any dtype; whole numbers and booleans carry no gradient.

    Returns:
        (world * B, ...)
    """
    if world_size() == 1:
        return tensor
    if not tensor.requires_grad:
        return _gather(tensor)
    gathered: Tensor = _Gather.apply(tensor)  # type: ignore[no-untyped-call]
    return gathered


def _gather(tensor: Tensor) -> Tensor:
    own = tensor.detach().contiguous()
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.length = len(tensor)
        return _gather(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.length
        return total[start : start + ctx.length]
