from __future__ import annotations

import torch
from torch import nn

from crosslight.nn.precision import graphless


def test_nothing_that_was_cast_without_a_graph_is_used_again():
    """What autocast keeps shows on every version of torch by a weight that changes meanwhile."""
    layer, images = nn.Linear(4, 1, bias=False), torch.ones(1, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with graphless():
            assert not layer(images).requires_grad
        with torch.no_grad():
            layer.weight.fill_(2.0)
        found = layer(images)
    assert found.item() == 8
    found.float().sum().backward()
    assert layer.weight.grad is not None
