from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from crosslight import losses
from tests.oracles import losses as oracle

Loss = Callable[[Tensor, Tensor], Tensor]

PAIRS: dict[str, tuple[Loss, Loss]] = {
    "hard-0.3": (
        lambda e, y: losses.batch_hard_triplet(e, y, margin=0.3),
        lambda e, y: oracle.batch_hard_triplet(e, y, 0.3),
    ),
    "hard-soft": (
        lambda e, y: losses.batch_hard_triplet(e, y),
        lambda e, y: oracle.batch_hard_triplet(e, y, None),
    ),
    "weighted": (
        lambda e, y: losses.weighted_regularised_triplet(e, y, as_released=False),
        oracle.weighted_regularised_triplet,
    ),
    "weighted-released": (
        lambda e, y: losses.weighted_regularised_triplet(e, y, as_released=True),
        lambda e, y: oracle.weighted_regularised_triplet(e, y, guard=1e-6),
    ),
    "squared": (
        lambda e, y: losses.squared_weighted_triplet(e, y, as_released=False),
        oracle.squared_weighted_triplet,
    ),
    "squared-released": (
        lambda e, y: losses.squared_weighted_triplet(e, y, as_released=True),
        lambda e, y: oracle.squared_weighted_triplet(e, y, guard=1e-6, clamp=88.0),
    ),
}

LABELS = {
    "two of each": [0, 0, 1, 1, 2, 2, 3, 3],
    "uneven": [0, 0, 0, 1, 2, 2, 0, 3],
    "all alone": [0, 1, 2, 3, 4, 5, 6, 7],
    "one person": [0] * 8,
}


def _both(fast: Loss, slow: Loss, embeddings: Tensor, labels: Tensor) -> None:
    results = []
    for loss in (fast, slow):
        leaf = embeddings.clone().requires_grad_()
        value = loss(leaf, labels)
        (gradient,) = torch.autograd.grad(value, leaf)
        results.append((value.detach(), gradient))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("spread", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_value_and_gradient_agree_with_the_paper(
    pair: tuple[Loss, Loss], spread: float, labels: list[int]
) -> None:
    generator = torch.Generator().manual_seed(7)
    embeddings = spread * torch.randn(8, 5, dtype=torch.float64, generator=generator)
    _both(*pair, embeddings, torch.tensor(labels))


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_repeated_images_have_a_finite_gradient(pair: tuple[Loss, Loss]) -> None:
    embeddings = torch.zeros(6, 3, dtype=torch.float64)
    embeddings[4:] = 1.0
    embeddings.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 0, 2])
    value = pair[0](embeddings, labels)
    torch.testing.assert_close(value, pair[1](embeddings, labels))
    (gradient,) = torch.autograd.grad(value, embeddings)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_order_of_the_batch_does_not_matter(pair: tuple[Loss, Loss]) -> None:
    generator = torch.Generator().manual_seed(3)
    embeddings = torch.randn(8, 5, dtype=torch.float64, generator=generator)
    labels = torch.tensor(LABELS["uneven"])
    order = torch.randperm(8, generator=generator)
    torch.testing.assert_close(
        pair[0](embeddings[order], labels[order]), pair[0](embeddings, labels)
    )


def test_squared_triplet_learns_where_the_released_clamp_stands_still() -> None:
    """The defect behind "loss stuck at 88": far-apart embeddings get no gradient at all."""
    generator = torch.Generator().manual_seed(1)
    embeddings = (30 * torch.randn(8, 16, generator=generator)).requires_grad_()
    labels = torch.arange(4).repeat(2)
    released = losses.squared_weighted_triplet(embeddings, labels, as_released=True)
    (nothing,) = torch.autograd.grad(released, embeddings)
    assert released.item() == pytest.approx(88.0)
    assert nothing.abs().max() == 0
    ours = losses.squared_weighted_triplet(embeddings, labels, as_released=False)
    (gradient,) = torch.autograd.grad(ours, embeddings)
    assert torch.isfinite(ours)
    assert (gradient.abs().amax(dim=1) > 0).all()


def test_released_guard_swallows_distant_negatives() -> None:
    """Negatives 40 away read as almost 0 away in the released code, so a good batch looks bad."""
    embeddings = torch.tensor([[0.0], [1.0], [40.0], [41.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    assert losses.weighted_regularised_triplet(embeddings, labels, as_released=False).item() < 1e-10
    released = losses.weighted_regularised_triplet(embeddings, labels, as_released=True)
    assert released.item() > 1.0


@pytest.mark.parametrize("kind", ["weighted", "squared"])
@pytest.mark.parametrize("spread", [0.05, 1.0, 4.0])
def test_as_released_is_within_rounding_of_the_release(kind: str, spread: float) -> None:
    """With repeated images too: the sampler of the release draws with replacement."""
    generator = torch.Generator().manual_seed(5)
    embeddings = spread * torch.randn(16, 8, dtype=torch.float64, generator=generator)
    embeddings[3], embeddings[9] = embeddings[2], embeddings[8]
    labels = torch.arange(4).repeat_interleave(4)
    fast, slow = PAIRS[f"{kind}-released"]
    expected = pytest.approx(slow(embeddings, labels).item(), rel=1e-13, abs=1e-13)
    assert fast(embeddings, labels).item() == expected
    plain = PAIRS[kind][0](embeddings, labels)
    assert abs(fast(embeddings, labels) - plain).item() > 1e-9


def test_distances_of_equal_rows_are_exactly_zero() -> None:
    embeddings = torch.rand(40, 64, generator=torch.Generator().manual_seed(0)) + 100
    distances = losses.euclidean_distances(embeddings)
    assert torch.equal(distances.diagonal(), torch.zeros(40))
    reference = (embeddings[:, None].double() - embeddings[None].double()).norm(dim=2)
    torch.testing.assert_close(distances.double(), reference, rtol=1e-5, atol=1e-6)
