from __future__ import annotations

import pytest
import torch
from torch import nn

from crosslight.nn.nonlocal_block import NonLocal, with_non_local


def _awake(channels: int, width: int | None) -> NonLocal:
    block = NonLocal(channels, width)
    nn.init.ones_(block.norm.weight)
    return block.eval()


@pytest.mark.parametrize("width", [None, 1])
@pytest.mark.parametrize(("h", "w"), [(2, 3), (8, 8)])
def test_block_is_the_dot_product_form(h: int, w: int, width: int | None) -> None:
    """Both orders of multiplication (few and many places) give the sum over all places."""
    block = _awake(16, width)
    maps = torch.randn(2, 16, h, w, generator=torch.Generator().manual_seed(0))
    theta, phi, g = (layer(maps).flatten(2) for layer in (block.theta, block.phi, block.g))
    mixed = torch.zeros_like(g)
    for i in range(h * w):
        for j in range(h * w):
            affinity = (theta[:, :, i] * phi[:, :, j]).sum(dim=1, keepdim=True)
            mixed[:, :, i] += affinity * g[:, :, j] / (h * w)
    expected = maps + block.norm(block.out(mixed.view(2, width or 8, h, w)))
    torch.testing.assert_close(block(maps), expected, rtol=1e-4, atol=1e-5)


def test_block_starts_as_the_identity() -> None:
    maps = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(NonLocal(8, None)(maps), maps)


@pytest.mark.parametrize(
    ("count", "kinds"), [(0, "bbb"), (1, "bbbn"), (2, "bbnbn"), (3, "bnbnbn"), (9, "bnbnbn")]
)
def test_blocks_follow_the_last_ones(count: int, kinds: str) -> None:
    layer = nn.Sequential(*(nn.Conv2d(4, 4, 1) for _ in range(3)))
    blocks = with_non_local(layer, 4, count, None)
    found = "".join("n" if isinstance(block, NonLocal) else "b" for block in blocks)
    assert found == kinds
