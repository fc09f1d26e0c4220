from __future__ import annotations

import pytest
import torch

from crosslight.nn.backbones import create_backbone
from crosslight.nn.nonlocal_block import NonLocal
from crosslight.nn.per_modality import PerModality
from crosslight.nn.two_stream import Streams, TwoStream, build_streams
from crosslight.types import Modality


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


@pytest.mark.parametrize("kind", ["stem", "whole"])
def test_streams_can_be_compiled(kind: Streams) -> None:
    streams = _streams(kind).eval()
    images, modality = torch.rand(4, 3, 32, 16), torch.tensor([0, 1, 1, 0])
    compiled = torch.compile(streams, backend="eager")
    with torch.no_grad():
        expected = streams(images, modality=modality)
        assert torch.equal(compiled(images, modality=modality), expected)
        streams.only = Modality.INFRARED
        whole = torch.compile(streams, backend="eager", fullgraph=True)
        found = whole(images, modality=modality)
    torch.testing.assert_close(found[1:3], expected[1:3])
