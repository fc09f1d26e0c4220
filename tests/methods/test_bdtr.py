from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RoutedUpdate, at
from tests.oracles import bdtr as oracle
from torch import Tensor

from crosslight.losses import bidirectional_top_ranking, cross_modal_contrastive
from crosslight.methods.bdtr import BDTR, BDTRConfig
from crosslight.nn.two_stream import TwoStream
from crosslight.nn.weights import initial_weights_left_out

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _ours(e: Tensor, y: Tensor, m: Tensor, rho1: float, rho2: float) -> tuple[Tensor, Tensor]:
    return bidirectional_top_ranking(e, y, m, cross_margin=rho1, intra_margin=rho2)


PAIRS: dict[str, tuple[Loss, Loss]] = {
    "cross": (
        lambda e, y, m: _ours(e, y, m, 0.5, 0.1)[0],
        lambda e, y, m: oracle.top_ranking(e, y, m, 0.5, 0.1)[0],
    ),
    # A margin that many distances fall short of: with the paper's 0.1 few random ones do.
    "intra": (
        lambda e, y, m: _ours(e, y, m, 0.5, 1.2)[1],
        lambda e, y, m: oracle.top_ranking(e, y, m, 0.5, 1.2)[1],
    ),
    "contrastive": (
        lambda e, y, m: cross_modal_contrastive(e, y, m, margin=1.3),
        lambda e, y, m: oracle.contrastive(e, y, m, 1.3),
    ),
}
BATCHES = {
    "two of each in each light": ([0, 0, 1, 1, 2, 2] * 2, [0] * 6 + [1] * 6),
    "one of each in each light": ([0, 1, 2, 3] * 2, [0] * 4 + [1] * 4),
    "mixed and uneven": ([0, 1, 0, 2, 1, 0, 2, 2, 0], [0, 1, 1, 0, 0, 0, 1, 1, 1]),
    "some in one light only": ([0, 1, 2, 3, 0, 1, 4], [0, 0, 0, 0, 1, 1, 1]),
}


def _both(pair: tuple[Loss, Loss], embeddings: Tensor, *rest: Tensor) -> list[tuple[Tensor, ...]]:
    results = []
    for loss in pair:
        leaf = embeddings.clone().requires_grad_()
        value = loss(leaf, *rest)
        results.append((value.detach(), *torch.autograd.grad(value, leaf)))
    return results


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_value_and_gradient_agree_with_the_paper(
    pair: tuple[Loss, Loss], batch: tuple[list[int], list[int]]
) -> None:
    labels, modality = (torch.tensor(row) for row in batch)
    generator = torch.Generator().manual_seed(2)
    embeddings = torch.randn(len(labels), 5, dtype=torch.float64, generator=generator)
    ours, slow = _both(pair, embeddings, labels, modality)
    torch.testing.assert_close(ours, slow, rtol=1e-9, atol=1e-10)
    assert ours[1].abs().max() > 0


def test_with_one_image_in_each_light_it_is_the_papers_loss() -> None:
    generator = torch.Generator().manual_seed(4)
    visible, thermal = torch.randn(2, 6, 4, dtype=torch.float64, generator=generator)
    labels, modality = torch.arange(6).repeat(2), torch.arange(2).repeat_interleave(6)
    cross, intra = _ours(torch.cat([visible, thermal]), labels, modality, 0.5, 0.1)
    expected = oracle.top_ranking_of_pairs(visible, thermal, 0.5, 0.1)
    torch.testing.assert_close(cross + 0.1 * intra, expected)


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.parametrize(
    ("labels", "modality"),
    [([0, 1, 2, 3], [0, 0, 0, 0]), ([0, 0, 0, 0], [0, 0, 1, 1]), ([0, 1, 2, 3], [0, 0, 1, 1])],
    ids=["one light", "one person", "nobody twice"],
)
def test_where_nothing_can_be_compared_the_gradient_is_finite(
    pair: tuple[Loss, Loss], labels: list[int], modality: list[int]
) -> None:
    embeddings = torch.ones(4, 3, dtype=torch.float64)
    ours, slow = _both(pair, embeddings, torch.tensor(labels), torch.tensor(modality))
    assert torch.isfinite(ours[1]).all()
    torch.testing.assert_close(ours[0], slow[0])


def test_length_of_an_embedding_plays_no_part() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(8, 5, generator=generator)
    labels, modality = torch.arange(4).repeat(2), torch.arange(2).repeat_interleave(4)
    longer = embeddings * torch.arange(1, 9)[:, None]
    torch.testing.assert_close(
        _ours(longer, labels, modality, 0.5, 0.1),
        _ours(embeddings, labels, modality, 0.5, 0.1),
    )


def test_published_network() -> None:
    """Two whole ResNet-50, a shared layer to 512 values, a classifier of people."""
    with torch.device("meta"), initial_weights_left_out():
        method = BDTR(BDTRConfig(), num_ids=395, height=288, width=144)
    assert method.head.linear.weight.shape == (512, 2048)
    assert method.head.classifier.weight.shape == (395, 512)
    first, second = (dict(network.named_parameters()) for network in method.backbone.networks)
    assert first.keys() == second.keys()
    assert not {id(p) for p in first.values()} & {id(p) for p in second.values()}
    assert sum(p.numel() for p in first.values()) == 23_508_032
    maps = method.backbone.networks[0](torch.empty(1, 3, 288, 144, device="meta"))
    assert maps.shape == (1, 2048, 9, 5)
    config = BDTRConfig()
    assert (config.cross_margin, config.intra_margin, config.intra_weight) == (0.5, 0.1, 0.1)


def test_streams_start_alike_and_share_the_layers_after_them(make_batch: MakeBatch) -> None:
    method = BDTR(
        BDTRConfig(backbone="resnet10-quarter", weights="none", dim=16),
        num_ids=4,
        height=64,
        width=32,
    ).eval()
    images = make_batch().images[:3]
    visible, infrared = (method.embed(images, torch.full((3,), light)) for light in (0, 1))
    torch.testing.assert_close(visible, infrared)
    with torch.no_grad():
        for p in method.backbone.networks[1].parameters():
            p.mul_(2)
    assert torch.equal(method.embed(images, torch.zeros(3, dtype=torch.int64)), visible)
    assert not torch.allclose(method.embed(images, torch.ones(3, dtype=torch.int64)), infrared)


def test_streams_may_be_apart_in_their_first_layers_alone(make_batch: MakeBatch) -> None:
    config = BDTRConfig(backbone="resnet10-quarter", weights="none", dim=16, streams="stem")
    method = BDTR(config, num_ids=4, height=64, width=32)
    whole = BDTR(dataclasses.replace(config, streams="whole"), num_ids=4, height=64, width=32)
    assert isinstance(method.backbone, TwoStream)
    sizes = [sum(p.numel() for p in m.backbone.parameters()) for m in (method, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    batch = make_batch()
    assert method.eval().embed(batch.images, batch.modality).shape == (len(batch), 16)


@pytest.mark.parametrize(
    ("metric", "names"),
    [
        ("ranking", {"loss_id", "loss_cross", "loss_intra"}),
        ("contrastive", {"loss_id", "loss_contrastive"}),
        ("none", {"loss_id"}),
    ],
)
def test_every_metric_trains(metric: str, names: set[str], make_batch: MakeBatch) -> None:
    config = BDTRConfig(backbone="resnet10-quarter", weights="none", dim=16, metric=metric)  # type: ignore[arg-type]
    method = BDTR(config, num_ids=4, height=64, width=32)
    update = RoutedUpdate(method)
    method.training_step(make_batch(), update)
    assert update.reached.keys() == names
    assert "backbone.networks.1.network.conv1.0.weight" in set().union(*update.reached.values())


@pytest.mark.parametrize("metric", ["ranking", "contrastive"])
def test_iterations_agree_with_the_papers(metric: str, make_batch: MakeBatch) -> None:
    config = BDTRConfig(
        backbone="resnet10-quarter",
        weights="none",
        dim=16,
        dropout=0.3,
        metric=metric,  # type: ignore[arg-type]
        metric_weight=0.7,
        cross_margin=0.9,
        intra_margin=1.3,
        intra_weight=0.3,
        lr=0.05,
        backbone_lr_factor=0.3,
        weight_decay=7e-4,
        momentum=0.8,
        step_epochs=(2, 4),
    )
    method = scrambled(BDTR(config, num_ids=4, height=64, width=32))
    places = [at(method, iteration=i, iterations_per_epoch=5) for i in (9, 10, 21)]
    plain = oracle.PlainBDTR(method.state_dict(), config)
    assert_iterations_agree(method, plain, mirrored(make_batch(), 3), places=places)
