from __future__ import annotations

import pytest
import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import RecordedUpdate, at
from tests.oracles.baseline import PlainBaseline

from crosslight.methods.baseline import Baseline, BaselineConfig
from crosslight.nn.weights import initial_weights_left_out


def test_published_network() -> None:
    with torch.device("meta"), initial_weights_left_out():
        method = Baseline(BaselineConfig(), num_ids=751, height=256, width=128)
    images = torch.empty(2, 3, 256, 128, device="meta")
    assert method.backbone(images).shape == (2, 2048, 16, 8)
    assert method.head.classifier.weight.shape == (751, 2048)


def test_light_plays_no_part(make_batch: MakeBatch) -> None:
    config = BaselineConfig(backbone="resnet10-quarter", weights="none")
    method = Baseline(config, num_ids=6, height=64, width=32).eval()
    batch = make_batch()
    with torch.no_grad():
        embeddings = method.embed(batch.images, batch.modality)
        assert torch.equal(method.embed(batch.images, 1 - batch.modality), embeddings)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "convnext_atto"])
def test_any_timm_backbone_trains(backbone: str, make_batch: MakeBatch) -> None:
    config = BaselineConfig(backbone=backbone, weights="none", parts=2)
    method = Baseline(config, num_ids=6, height=64, width=32)
    batch = make_batch(per_modality=1)
    figures = method.training_step(batch, RecordedUpdate(method))
    assert all(torch.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("margin", [0.37, None])
def test_iterations_agree_with_the_papers(margin: float | None, make_batch: MakeBatch) -> None:
    config = BaselineConfig(
        backbone="resnet10-quarter",
        weights="none",
        margin=margin,
        label_smoothing=0.13,
        id_weight=0.7,
        triplet_weight=1.9,
        lr=3e-3,
        backbone_lr_factor=0.3,
        weight_decay=7e-4,
        warmup_iterations=11,
        warmup_start=0.15,
        schedule="cosine",
        final_factor=0.05,
    )
    method = scrambled(Baseline(config, num_ids=6, height=64, width=32))
    places = [at(method, iteration=i, iterations=37) for i in (10, 11, 12)]
    oracle = PlainBaseline(method.state_dict(), config)
    assert_iterations_agree(method, oracle, mirrored(make_batch(), 3), places=places)
