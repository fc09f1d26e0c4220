from __future__ import annotations

import pytest
import torch
from tests.oracles import dgnet as oracle

from crosslight.nn.upsample import UpsampleConv


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 2), (5, 4), (8, 3)])
def test_equals_upsampling_and_convolving_the_large_map(height: int, width: int) -> None:
    """Borders and corners included, values and gradients."""
    generator = torch.Generator().manual_seed(0)
    block = UpsampleConv(3, 4).double()
    maps = torch.randn(2, 3, height, width, dtype=torch.float64, generator=generator)
    maps.requires_grad_()
    inputs = [maps, block.conv.weight, block.conv.bias]
    expected = oracle.upsample_conv(block.conv, maps)
    found = block(maps)
    assert found.shape == (2, 4, 2 * height, 2 * width)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(expected.shape, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(
        torch.autograd.grad((found * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
    )


def test_keeps_the_memory_format() -> None:
    maps = torch.rand(2, 8, 6, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    block = UpsampleConv(8, 4)
    found = block(maps)
    assert found.is_contiguous(memory_format=torch.channels_last)
    found.sum().backward()
    assert maps.grad is not None
    assert maps.grad.is_contiguous(memory_format=torch.channels_last)
