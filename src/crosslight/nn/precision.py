"""Where the forward pass leaves autocast: poolings over many values, batch statistics, losses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context without autocast on the device of `tensor`; cast with `.float()` inside it."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


@contextmanager
def graphless() -> Iterator[None]:
    """No gradients inside, before passes that train the same weights.

    Older versions of torch have autocast hand weights that it has cast without a graph to such
    passes, whose gradients are lost; so nothing that was cast inside is kept.
    """
    with torch.no_grad():
        yield
    torch.clear_autocast_cache()


def wide(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
