from __future__ import annotations

import torch

from crosslight.nn.backbones import create_backbone
from crosslight.nn.nonlocal_block import NonLocal
from crosslight.nn.per_modality import PerModality
from crosslight.nn.two_stream import Streams, TwoStream, build_streams


def _streams(kind: Streams) -> PerModality | TwoStream:
    return build_streams(create_backbone("resnet18-half", weights="promenade"), kind)


def test_weights_that_ship_see_each_light_alike_in_streams_of_either_kind() -> None:
    images = torch.rand(4, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    modality = torch.tensor([0, 1, 1, 0])
    whole, stem = (_streams(kind).eval() for kind in ("whole", "stem"))
    with torch.no_grad():
        torch.testing.assert_close(
            whole(images, modality=modality), stem(images, modality=modality)
        )
        swapped = whole(images, modality=1 - modality)
    assert not torch.allclose(swapped, whole(images, modality=modality), atol=1e-3)


def test_streams_look_at_places_far_apart_only_on_request() -> None:
    assert not any(isinstance(m, NonLocal) for m in _streams("stem").modules())


def test_whole_streams_share_no_weight() -> None:
    first, second = (
        {id(p) for p in network.parameters()} for network in _streams("whole").networks
    )
    assert not first & second
