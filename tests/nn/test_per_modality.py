from __future__ import annotations

import torch
from torch import nn

from crosslight.nn.per_modality import one_by_one


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
