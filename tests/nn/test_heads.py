from __future__ import annotations

import torch

from crosslight.data.imagenet import IMAGENET_MEAN, IMAGENET_STD
from crosslight.data.luma import LUMA
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.heads import IdentityHead
from crosslight.nn.normalize import Normalize, to_gray


def test_neck_does_not_shift_and_classifier_has_no_bias() -> None:
    head = IdentityHead(8, 5)
    trained = [name for name, p in head.named_parameters() if p.requires_grad]
    assert trained == ["neck.weight", "classifier.weight"]
    embeddings = 3 + torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    assert head(embeddings).shape == (16, 5)
    torch.testing.assert_close(head.neck(embeddings).mean(dim=0), torch.zeros(8), atol=1e-5, rtol=0)


def test_classifier_starts_small() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = IdentityHead(256, 400)
    assert abs(head.classifier.weight.std().item() - 0.001) < 2e-5


def test_bottleneck_has_a_leaky_relu_and_scattered_gains_on_request() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = BottleneckHead(8, 5000, 3, dropout=0.0, slope=0.1, gain_std=0.02)
    assert abs(head.norm.weight.mean().item() - 1) < 1e-3
    assert abs(head.norm.weight.std().item() - 0.02) < 1e-3
    embeddings = torch.tensor([[-2.0, 3.0]]).repeat(1, 2500)
    weight = head.classifier.weight.view(3, 2500, 2).sum(dim=1)
    torch.testing.assert_close(head.classify(embeddings)[0], weight @ torch.tensor([-0.2, 3.0]))
    plain = BottleneckHead(8, 2, 3, dropout=0.0)
    assert torch.equal(plain.norm.weight, torch.ones(2))
    torch.testing.assert_close(
        plain.classify(torch.tensor([[-2.0, 3.0]]))[0],
        plain.classifier.weight @ torch.tensor([-2.0, 3.0]),
    )


def test_normalize() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = (images[1, 2] - IMAGENET_MEAN[2]) / IMAGENET_STD[2]
    torch.testing.assert_close(Normalize(IMAGENET_MEAN, IMAGENET_STD)(images)[1, 2], expected)


def test_gray_keeps_gray_images_exactly_and_weighs_the_others() -> None:
    channel = torch.rand(2, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(to_gray(channel.expand(-1, 3, -1, -1)), channel)
    images = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    expected = sum(weight * images[:, i] for i, weight in enumerate(LUMA))
    torch.testing.assert_close(to_gray(images)[:, 0], expected)
