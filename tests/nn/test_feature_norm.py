from __future__ import annotations

import pytest
import torch
from tests.oracles import dgnet as oracle
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.feature_norm import SampleNorm, instance_norm


def _maps(channels: int = 5, **kind: object) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    maps = torch.randn(3, channels, 6, 4, generator=generator, dtype=torch.float64) * 2 + 1
    return maps.to(**kind) if kind else maps  # type: ignore[call-overload, no-any-return]


def _gradients(out: Tensor, *inputs: Tensor) -> list[Tensor]:
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out)
    return list(torch.autograd.grad((out * weights).sum(), inputs))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("slope", [None, 0.2])
@pytest.mark.parametrize("repeats", [1, 8])
def test_instance_norm_equals_the_native_one(
    slope: float | None, interleaved: bool, repeats: int
) -> None:
    """Small and large maps take different ways."""
    maps = _maps().repeat(1, 1, repeats, repeats)
    maps = maps * torch.linspace(-1, 2, maps.shape[2], dtype=maps.dtype)[:, None]
    if interleaved:
        maps = maps.contiguous(memory_format=torch.channels_last)
    maps.requires_grad_()
    expected = F.instance_norm(maps)
    if slope is not None:
        expected = F.leaky_relu(expected, slope)
    found = instance_norm(maps, slope=slope)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(_gradients(found, maps), _gradients(expected, maps))
    assert found.is_contiguous(memory_format=torch.channels_last) == interleaved


@pytest.mark.parametrize("slope", [None, 0.2])
def test_adaptive_norm_equals_the_plain_one(slope: float | None) -> None:
    maps, scale, shift = _maps(), _maps()[:, :, 0, 0].clone(), _maps()[:, :, 1, 1].clone()
    inputs = [part.requires_grad_() for part in (maps, scale, shift)]
    expected = oracle.adain(maps, scale, shift)
    if slope is not None:
        expected = F.leaky_relu(expected, slope)
    found = instance_norm(maps, scale, shift, slope=slope)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(_gradients(found, *inputs), _gradients(expected, *inputs))


@pytest.mark.parametrize("magnitude", [1.0, 1e-4])
@pytest.mark.parametrize("slope", [None, 0.2])
def test_sample_norm_equals_the_plain_one(slope: float | None, magnitude: float) -> None:
    """Also where the epsilon counts, and where its place does."""
    norm = SampleNorm(5, slope=slope).double()
    nn.init.normal_(norm.shift, generator=torch.Generator().manual_seed(3))
    maps = (_maps() * magnitude).requires_grad_()
    inputs = [maps, norm.scale, norm.shift]
    expected = oracle.sample_norm(norm, maps)
    if slope is not None:
        expected = F.leaky_relu(expected, slope)
    found = norm(maps)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(_gradients(found, *inputs), _gradients(expected, *inputs))


def test_gradients_agree_with_finite_differences() -> None:
    norm = SampleNorm(2, slope=0.2).double()
    maps = _maps(channels=2).requires_grad_()
    assert torch.autograd.gradcheck(norm, maps)
    scale, shift = torch.rand(2, 3, 2, dtype=torch.float64).requires_grad_().unbind()
    assert torch.autograd.gradcheck(
        lambda m, a, b: instance_norm(m, a, b, slope=0.2), (maps, scale, shift)
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_bfloat16_maps_are_normalised_by_wider_statistics(per_sample: bool) -> None:
    """Without a leaky ReLU: rounding moves values across its kink, and with them the gradient."""
    maps = (_maps(dtype=torch.float32) + 4).bfloat16().requires_grad_()
    exact = maps.detach().double().requires_grad_()
    norm = SampleNorm(5, slope=None)
    found = norm(maps) if per_sample else instance_norm(maps)
    expected = norm.double()(exact) if per_sample else instance_norm(exact)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.02)
    (own,), (other,) = _gradients(found, maps), _gradients(expected, exact)
    assert (own.double() - other).norm() < 0.02 * other.norm()
