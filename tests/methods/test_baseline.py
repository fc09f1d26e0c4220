from __future__ import annotations

import pytest
import torch
from tests.methods.conftest import MakeBatch

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
    figures = method.training_step(batch, lambda *_: None)  # type: ignore[arg-type]
    assert all(torch.isfinite(value) for value in figures.values())
