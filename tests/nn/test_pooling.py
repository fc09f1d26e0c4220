from __future__ import annotations

import pytest
import torch

from crosslight.errors import ConfigError
from crosslight.nn.pooling import (
    AveragePool,
    GeM,
    make_pool,
    split_maximum,
    stripe_average,
    stripe_maximum,
)


def _gem(p: float, *, learnable: bool = False) -> GeM:
    return GeM(p, learnable=learnable, stripes=1)


def _maps(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 8, 4, generator=torch.Generator().manual_seed(seed)) + 0.01


def test_gem_is_the_generalised_mean() -> None:
    maps = _maps()
    expected = maps.double().pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(_gem(3.0)(maps).double(), expected, rtol=1e-5, atol=1e-6)


def test_gem_lies_between_mean_and_maximum() -> None:
    maps = _maps()
    torch.testing.assert_close(_gem(1.0)(maps), AveragePool()(maps))
    torch.testing.assert_close(_gem(500.0)(maps), maps.amax(dim=(2, 3)), rtol=0.02, atol=0.0)


@pytest.mark.parametrize("p", [1.0, 3.0, 12.0])
@pytest.mark.parametrize("value", [0.0, 1e-20, 1e-3, 1e4])
def test_gem_is_finite_for_any_map(p: float, value: float) -> None:
    pool = _gem(p, learnable=True)
    maps = torch.full((2, 3, 4, 2), value, dtype=torch.bfloat16).requires_grad_()
    pooled = pool(maps)
    assert pooled.dtype == torch.float32
    pooled.sum().backward()
    assert torch.isfinite(pooled).all()
    assert maps.grad is not None
    assert torch.isfinite(maps.grad).all()
    assert pool.p.grad is not None
    assert torch.isfinite(pool.p.grad)


def test_gem_gradient_is_that_of_the_formula() -> None:
    maps = _maps().double()
    own, plain = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    _gem(3.0)(own).square().sum().backward()
    plain.pow(3).mean(dim=(2, 3)).pow(1 / 3).square().sum().backward()
    assert own.grad is not None
    torch.testing.assert_close(own.grad, plain.grad, rtol=1e-4, atol=1e-7)


def test_a_fixed_exponent_is_no_parameter() -> None:
    assert not list(_gem(3.0).parameters())
    assert len(list(_gem(3.0, learnable=True).parameters())) == 1


def test_maximum_is_that_of_each_channel() -> None:
    maps = _maps()
    assert torch.equal(make_pool("max")(maps), maps.amax(dim=(2, 3)))


@pytest.mark.parametrize("kind", ["gem", "avg", "max"])
def test_stripes_are_pooled_apart_from_top_to_bottom(kind: str) -> None:
    maps = _maps()
    pooled = make_pool(kind, stripes=2)(maps)  # type: ignore[arg-type]
    halves = [make_pool(kind)(half) for half in (maps[:, :, :4], maps[:, :, 4:])]  # type: ignore[arg-type]
    torch.testing.assert_close(pooled, torch.cat(halves, dim=1))


def test_more_stripes_than_rows_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 rows, too few for 9 stripes"):
        AveragePool(stripes=9)(_maps())


@pytest.mark.parametrize("rows", [4, 6, 9])
def test_stripes_overlap_to_share_the_rows(rows: int) -> None:
    maps = torch.randn(2, 3, rows, 5, dtype=torch.float64, requires_grad=True)
    together, apart = stripe_maximum(maps, 4), split_maximum(maps, 4)
    assert together.shape == (2, 3, 4)
    assert torch.equal(together, apart)
    slopes = [torch.autograd.grad((out**2).sum(), maps)[0] for out in (together, apart)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("rows", [2, 7, 8, 10])
def test_stripes_are_averaged_as_torch_averages_them(rows: int) -> None:
    maps = torch.rand(2, 3, rows, 5, generator=torch.Generator().manual_seed(rows))
    expected = torch.nn.functional.adaptive_avg_pool2d(maps, (4, 1))[..., 0]
    torch.testing.assert_close(stripe_average(maps, 4), expected)
