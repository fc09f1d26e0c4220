from __future__ import annotations

import torch
from tests.oracles import dgnet as oracle

from crosslight.nn.erasing import draw_rectangles, erase


def _draw(count: int, probability: float = 0.5) -> torch.Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images = torch.empty(count, 3, 256, 128)
        return draw_rectangles(images, probability=probability, area=(0.02, 0.4))


def test_equals_erasing_image_by_image() -> None:
    images = torch.rand(40, 3, 256, 128) + 1
    rectangles = _draw(40)
    assert torch.equal(erase(images, rectangles), oracle.erased(images, rectangles))


def test_rectangles_follow_the_published_distribution() -> None:
    rectangles = _draw(4000)
    top, left, height, width = rectangles.double().unbind(1)
    chosen = height > 0
    assert abs(chosen.double().mean() - 0.5) < 0.03
    assert (top[chosen] + height[chosen] <= 256).all()
    assert (left[chosen] + width[chosen] <= 128).all()
    area = (height * width)[chosen] / (256 * 128)
    aspect = (height / width)[chosen]
    assert area.min() > 0.015
    assert 0.35 < area.max() < 0.41
    assert aspect.min() > 0.25
    assert 3 < aspect.max() < 3.7
    assert (top[chosen] == 0).any()
    assert (top + height)[chosen].max() == 256


def test_nothing_or_everything_is_erased_at_the_ends() -> None:
    assert not _draw(50, 0.0).any()
    assert (_draw(50, 1.0)[:, 2:] > 0).all()
