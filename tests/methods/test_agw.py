from __future__ import annotations

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RoutedUpdate, at
from tests.oracles.agw import PlainAGW

from crosslight.config import load_recipe
from crosslight.errors import ConfigError
from crosslight.methods.agw import AGW, AGWConfig
from crosslight.nn.nonlocal_block import NonLocal
from crosslight.nn.weights import initial_weights_left_out


def _agw(**overrides: object) -> AGW:
    config = AGWConfig(backbone="resnet10-quarter", weights="none", **overrides)  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AGW(config, num_ids=6, height=64, width=32)


def test_published_network() -> None:
    """Two stems, non-local blocks in the last 2 and 3 blocks of layers 2 and 3, 2048-d."""
    with torch.device("meta"), initial_weights_left_out():
        method = AGW(AGWConfig(), num_ids=395, height=288, width=144)
    assert method.head.classifier.weight.shape == (395, 2048)
    assert method.head.classifier.bias is None
    counts = [
        sum(isinstance(block, NonLocal) for block in getattr(method.backbone.shared, f"layer{i}"))  # type: ignore[arg-type]
        for i in (1, 2, 3, 4)
    ]
    assert counts == [0, 2, 3, 0]
    maps = method.backbone.shared(torch.empty(1, 64, 72, 36, device="meta"))
    assert maps.shape == (1, 2048, 18, 9)


def test_released_non_local_blocks_are_one_channel_wide() -> None:
    """Shapes of the authors' weights: theta (1, C, 1, 1), W (C, 1, 1, 1)."""
    with torch.device("meta"), initial_weights_left_out():
        for width, inner in ((1, (1, 1)), ("half", (256, 512))):
            method = AGW(AGWConfig(non_local_width=width), num_ids=395, height=288, width=144)  # type: ignore[arg-type]
            shapes = {n: tuple(p.shape) for n, p in method.backbone.shared.named_parameters()}
            for block, (channels, own) in {
                "layer2.3": (512, inner[0]),
                "layer3.8": (1024, inner[1]),
            }.items():
                assert shapes[f"{block}.theta.weight"] == (own, channels, 1, 1)
                assert shapes[f"{block}.out.weight"] == (channels, own, 1, 1)
    with pytest.raises(ConfigError, match="non_local_width"):
        load_recipe("agw-sysu-mm01", ("config.non_local_width=0",))


def test_backbone_moves_at_a_tenth_of_the_rate() -> None:
    method = _agw()
    groups = method.optimizers()["model"].optimizer.param_groups
    assert [group["lr"] for group in groups] == pytest.approx([0.01, 0.1])
    assert {id(p) for p in groups[1]["params"]} == {
        id(method.head.neck.weight),
        id(method.head.classifier.weight),
    }


@pytest.mark.parametrize("triplet", ["weighted", "weighted-squared", "hard"])
@pytest.mark.parametrize("parts", [1, 2])
def test_every_variant_trains(triplet: str, parts: int, make_batch: MakeBatch) -> None:
    batch = make_batch(views=2 if triplet == "weighted-squared" else 1)
    method = _agw(triplet=triplet, parts=parts, learn_gem_p=True)
    update = RoutedUpdate(method)
    figures = method.training_step(batch, update)
    assert all(torch.isfinite(figure) for figure in figures.values())
    assert all("pool.p" in reached for reached in update.reached.values())
    assert method.eval().embed(batch.images, batch.modality).shape == (len(batch), 128 * parts)


def test_order_of_modalities_in_the_batch_does_not_matter(make_batch: MakeBatch) -> None:
    batch = make_batch()
    method = _agw().train()
    flipped = torch.arange(len(batch)).flip(0)
    with torch.no_grad():
        straight = method.embed(batch.images, batch.modality)
        mirrored = method.embed(batch.images[flipped], batch.modality[flipped])
    torch.testing.assert_close(mirrored[flipped], straight, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("triplet", "views", "options"),
    [
        ("weighted", 1, {}),
        ("weighted-squared", 2, {"parts": 2, "non_local": (0, 1, 0, 1)}),
        ("hard", 1, {"margin": 0.7, "learn_gem_p": True, "non_local_width": 1}),
    ],
)
def test_iterations_agree_with_the_papers(
    triplet: str, views: int, options: dict[str, object], make_batch: MakeBatch
) -> None:
    method = scrambled(
        _agw(
            triplet=triplet,
            gem_p=2.6,
            label_smoothing=0.13,
            id_weight=0.7,
            triplet_weight=1.9,
            lr=0.01,
            backbone_lr_factor=0.3,
            weight_decay=7e-4,
            momentum=0.8,
            warmup_epochs=3,
            step_epochs=(2, 4),
            step_factor=0.4,
            **options,
        )
    )
    places = [at(method, iteration=i, iterations_per_epoch=5) for i in (9, 10, 17)]
    oracle = PlainAGW(method.state_dict(), method.config)
    batches = mirrored(make_batch(views=views), 3)
    assert_iterations_agree(method, oracle, batches, places=places)
