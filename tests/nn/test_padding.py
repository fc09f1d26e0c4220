from __future__ import annotations

import torch
from torch.nn import functional as F

from crosslight.nn.padding import folded, reflected, replicated


def test_values_and_both_derivatives_are_those_of_the_native_padding() -> None:
    maps = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    for padding in (0, 1, 3):
        found, expected = (
            reflected(maps, padding),
            F.pad(maps, (padding,) * 4, mode="reflect") if padding else maps,
        )
        assert torch.equal(found, expected)
        slopes = [
            torch.autograd.grad((out**3).sum(), maps, create_graph=True)[0]
            for out in (found, expected)
        ]
        torch.testing.assert_close(*slopes)
        curves = [torch.autograd.grad((slope**2).sum(), maps)[0] for slope in slopes]
        torch.testing.assert_close(*curves)


def test_autocast_leaves_it_in_the_arithmetic_of_its_input() -> None:
    maps = torch.randn(1, 2, 4, 4).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert reflected(maps, 1).dtype == torch.bfloat16


def test_replicated_is_the_native_padding() -> None:
    maps = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    for padding in (0, 1, 3):
        native = F.pad(maps, (padding,) * 4, mode="replicate")
        found = replicated(maps, padding)
        assert torch.equal(found, native)
        slopes = [torch.autograd.grad((out**3).sum(), maps)[0] for out in (found, native)]
        torch.testing.assert_close(*slopes)


def test_the_gradient_in_slices_is_the_native_one() -> None:
    for padding in (1, 3):
        maps = torch.randn(2, 3, 6, 5, dtype=torch.float64, requires_grad=True)
        padded = F.pad(maps, (padding,) * 4, mode="reflect")
        gradient = torch.randn_like(padded)
        (expected,) = torch.autograd.grad(padded, maps, gradient)
        torch.testing.assert_close(folded(gradient, padding), expected)
