"""What `torch.compile` traces of the blocks that do without autograd's own formulas."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from crosslight.nn.feature_norm import SampleNorm, instance_norm
from crosslight.nn.padding import reflected, replicated
from crosslight.nn.upsample import UpsampleConv

BLOCKS: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
    "reflected": lambda: lambda maps: reflected(maps, 2),
    "replicated": lambda: lambda maps: replicated(maps, 2),
    "instance norm": lambda: lambda maps: instance_norm(maps, slope=0.2),
    "sample norm": lambda: SampleNorm(4, slope=0.2).double(),
    "upsampling": lambda: UpsampleConv(4, 3).double(),
}
AVOIDED = {"replicated": "pad", "upsampling": "pad"}
"""Whose gradient the compiler expects in another memory format than it has."""


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_traced_whole_and_without_gradients_of_our_own(name: str) -> None:
    torch.manual_seed(0)
    block = BLOCKS[name]()
    called: list[str] = []

    def keep(graph: GraphModule, _: object) -> Callable[..., object]:
        called.extend(str(getattr(n.target, "__name__", n.target)) for n in graph.graph.nodes)
        return graph.forward

    maps = torch.randn(2, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    expected = block(maps)
    found = torch.compile(block, backend=keep, fullgraph=True)(maps)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad((out**3).sum(), maps)[0] for out in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert called
    assert not any("autograd_function" in call for call in called)
    assert AVOIDED.get(name) not in called
