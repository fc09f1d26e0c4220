from __future__ import annotations

import torch
from torch import nn

from crosslight.nn.backbones import create_backbone
from crosslight.nn.strided_conv import StridedConv2d, guard_strides


def test_bfloat16_is_right_on_maps_of_a_few_pixels() -> None:
    network = nn.Sequential(nn.Conv2d(64, 128, 3, stride=2, padding=1, bias=False))
    guard_strides(network)
    network.to(memory_format=torch.channels_last)
    maps = torch.rand(32, 64, 4, 2).to(memory_format=torch.channels_last)
    expected = network(maps)
    for _ in range(5):
        rubbish = [torch.full((size,), 3e37, dtype=torch.bfloat16) for size in (8192, 65536)]
        del rubbish  # what a kernel that forgets to write would return
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(maps.bfloat16())
        torch.testing.assert_close(found.float(), expected, rtol=0.02, atol=0.05)


def test_only_maps_of_a_few_pixels_leave_bfloat16() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1))
    guard_strides(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kinds = [network(torch.rand(1, 3, *size)).dtype for size in ((4, 4), (6, 3))]
    assert kinds == [torch.float32, torch.bfloat16]


def test_a_resnet_is_guarded_and_keeps_its_weights() -> None:
    network = create_backbone("resnet10-quarter", last_stride=2)
    guarded = [m for m in network.modules() if isinstance(m, StridedConv2d)]
    assert {m.stride for m in guarded} == {(2, 2)}
    assert len(guarded) >= 3
    assert all(key.startswith("network.") for key in network.state_dict())


def test_double_precision_stays_double() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1)).double()
    guard_strides(network)
    assert network(torch.rand(1, 3, 4, 2, dtype=torch.float64)).dtype == torch.float64
