"""Where the forward pass leaves autocast: poolings over many values, batch statistics, losses."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> torch.autocast:
    """A context without autocast on the device of `tensor`; cast with `.float()` inside it."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)


def wide(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
