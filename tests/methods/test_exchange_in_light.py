from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.methods.conftest import MakeBatch

from crosslight.config import build
from crosslight.data.batch import Batch
from crosslight.methods.case_net import CaseNet
from crosslight.methods.structure_id.method import StructureIdentity

DRAWS = 200
DEALT: dict[type[Any], Callable[[Any, Batch], Any]] = {
    CaseNet: CaseNet._scenes,
    StructureIdentity: lambda method, batch: method._pairs(batch, batch.images),
}


@pytest.mark.parametrize("system", DEALT)
def test_codes_are_exchanged_across_light_every_other_time(
    system: type[Any], make_batch: MakeBatch
) -> None:
    config = build(system.Config, {**system.small, "exchange": "coin"}, where="test")
    method = system(config, num_ids=6, height=64, width=32)
    batch = make_batch()
    light = batch.modality.float()[:, None, None, None]
    batch = replace(batch, images=light.expand_as(batch.images))
    across = 0
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        ours, theirs = DEALT[system](method, batch).images[:, 0, 0, 0].chunk(2)
        across += not torch.equal(ours, theirs)
    # Four standard deviations of a fair coin, rounded up.
    assert abs(across - DRAWS / 2) < 29
