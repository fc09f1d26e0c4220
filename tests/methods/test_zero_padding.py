from __future__ import annotations

import torch
from tests.methods.conftest import MakeBatch
from tests.methods.iterations import assert_iterations_agree, mirrored, scrambled
from tests.methods.updates import at
from tests.oracles.zero_padding import PlainZeroPadding
from torch import nn

from crosslight.data.imagenet import IMAGENET_MEAN, IMAGENET_STD
from crosslight.methods.zero_padding import ZeroPadding, ZeroPaddingConfig


def _method() -> ZeroPadding:
    config = ZeroPaddingConfig(backbone="resnet10-quarter", weights="none")
    return ZeroPadding(config, num_ids=6, height=64, width=32)


def test_each_modality_fills_its_own_channel_and_the_other_is_zero() -> None:
    images = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(0)).expand(2, 3, 4, 4)
    padded = _method().padded(images, torch.tensor([0, 1]))
    gray = (images[0, 0] - sum(IMAGENET_MEAN) / 3) / (sum(IMAGENET_STD) / 3)
    torch.testing.assert_close(padded[0, 0], gray)
    torch.testing.assert_close(padded[1, 1], gray)
    assert not padded[0, 1].any()
    assert not padded[1, 0].any()


def test_network_takes_two_channels_that_start_alike() -> None:
    method = _method()
    first = next(m for m in method.modules() if isinstance(m, nn.Conv2d))
    assert first.in_channels == 2
    assert torch.equal(first.weight[:, 0], first.weight[:, 1])


def test_colour_is_not_seen(make_batch: MakeBatch) -> None:
    batch = make_batch()
    method = _method().eval()
    green_shift = torch.tensor([0.587, -0.299, 0.0]).view(1, 3, 1, 1) * 0.2
    with torch.no_grad():
        plain = method.embed(batch.images, batch.modality)
        tinted = method.embed(batch.images + green_shift, batch.modality)
    torch.testing.assert_close(tinted, plain, rtol=1e-3, atol=1e-4)


def test_feature_is_compared_by_euclidean_distance_and_not_normalised() -> None:
    assert ZeroPadding.distance == "euclidean"


def test_iterations_agree_with_the_papers(make_batch: MakeBatch) -> None:
    config = ZeroPaddingConfig(
        backbone="resnet10-quarter",
        weights="none",
        label_smoothing=0.11,
        lr=0.07,
        backbone_lr_factor=0.3,
        weight_decay=7e-4,
        momentum=0.8,
        warmup_epochs=3,
        step_epochs=(2, 3),
        step_factor=0.4,
    )
    method = scrambled(ZeroPadding(config, num_ids=6, height=64, width=32))
    places = [at(method, iteration=i, iterations_per_epoch=5) for i in (9, 10, 17)]
    oracle = PlainZeroPadding(method.state_dict(), config)
    assert_iterations_agree(method, oracle, mirrored(make_batch(), 3), places=places)
