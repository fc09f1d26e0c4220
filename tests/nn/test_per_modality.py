from __future__ import annotations

import torch
from torch import nn

from crosslight.nn.per_modality import PerModality, one_by_one
from crosslight.types import Modality


def test_each_light_is_a_batch_of_its_own() -> None:
    norm, inputs = nn.BatchNorm1d(3).double(), torch.randn(6, 3, dtype=torch.float64)
    inputs[::2] = 5 * inputs[::2] + 7
    modality = torch.tensor([0, 1, 0, 1, 0, 1])
    found = one_by_one(norm, inputs, modality)
    for light in (0, 1):
        rows = found[modality == light]
        torch.testing.assert_close(rows.mean(dim=0), torch.zeros(3, dtype=torch.float64))
    other = nn.BatchNorm1d(3).double()
    for light in (0, 1):
        expected = other(inputs[modality == light])
        torch.testing.assert_close(found[modality == light], expected)
    assert torch.equal(norm.running_mean, other.running_mean)
    assert norm.num_batches_tracked == 2


def test_a_batch_may_hold_one_light_only() -> None:
    inputs = torch.randn(4, 3)
    assert torch.equal(one_by_one(nn.Identity(), inputs, torch.ones(4)), inputs)


def test_a_light_that_is_known_beforehand_needs_nobody_to_say_it() -> None:
    torch.manual_seed(0)
    networks = PerModality(lambda: nn.Linear(3, 2))
    inputs = torch.randn(4, 3)
    for light in Modality:
        expected = networks(inputs, modality=torch.full((4,), int(light)))
        networks.only = light
        assert torch.equal(networks(inputs, modality=torch.full((4,), 1 - light)), expected)
        networks.only = None
    mixed = torch.tensor([1, 0, 1, 0])
    found = networks(inputs, modality=mixed)
    for row, light in enumerate(mixed.tolist()):
        torch.testing.assert_close(found[row], networks.networks[light](inputs[row]))
