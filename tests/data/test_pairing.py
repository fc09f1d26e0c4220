"""Pairs across light: who meets whom, as a pure function of seed and epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslight.config import DataConfig
from crosslight.data.pairing import LightPairBatches
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError
from tests.data.test_sampling import table_of

counts = st.integers(1, 6)
people = st.lists(st.tuples(counts, counts), min_size=2, max_size=10)
seeds = st.integers(0, 2**32)


def _pairs(table: SampleTable, across: float | None, seed: int = 0) -> LightPairBatches:
    return LightPairBatches(table, pairs_per_batch=4, across_light=across, seed=seed)


def _drawn(batches: LightPairBatches, epoch: int) -> np.ndarray:
    """(batch, half, place, image or partner)."""
    return np.stack(batches.batches(epoch)).reshape(-1, 2, 2, 2)


@given(people, seeds, st.integers(0, 3), st.sampled_from([None, 0.0, 0.25, 0.5, 1.0]))
def test_partners_share_person_and_light(
    images: list[tuple[int, int]], seed: int, epoch: int, across: float | None
) -> None:
    table = table_of(images)
    drawn = _drawn(_pairs(table, across, seed), epoch)
    first, partner = drawn[..., 0], drawn[..., 1]
    assert np.array_equal(table.pids[first], table.pids[partner])
    assert np.array_equal(table.modality[first], table.modality[partner])
    key = table.pids * 2 + table.modality
    alone = np.array([(key == own).sum() == 1 for own in key])
    assert np.array_equal(first == partner, alone[first])


@given(people, seeds, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_halves_meet_across_light_as_often_as_asked_and_never_their_own_person(
    images: list[tuple[int, int]], seed: int, across: float
) -> None:
    table = table_of(images)
    drawn = _drawn(_pairs(table, across, seed), 1)[..., 0]
    ours, theirs = drawn[:, 0].reshape(-1), drawn[:, 1].reshape(-1)
    assert (table.pids[ours] != table.pids[theirs]).all()
    differs = table.modality[ours] != table.modality[theirs]
    assert differs.sum() == int(np.floor(across * len(ours) + 1e-6))
    seen = np.bincount(ours, minlength=len(table))
    assert seen.max() - seen.min() <= 1


def test_left_to_chance_lights_and_people_meet_at_random() -> None:
    table = table_of([(3, 3)] * 3)
    batches = LightPairBatches(
        table, pairs_per_batch=4, across_light=None, seed=0, iterations_per_epoch=400
    )
    drawn = _drawn(batches, 0)[..., 0]
    differs = (table.modality[drawn[:, 0]] != table.modality[drawn[:, 1]]).mean()
    same = (table.pids[drawn[:, 0]] == table.pids[drawn[:, 1]]).mean()
    assert differs == pytest.approx(1 / 2, abs=0.06)
    assert same == pytest.approx(1 / 3, abs=0.06)


@pytest.mark.parametrize("across", [None, 0.5])
def test_pairs_are_a_function_of_seed_and_epoch(across: float | None) -> None:
    table = table_of([(5, 4)] * 6)
    batches = _pairs(table, across)
    batches.batches(2)  # what was drawn before does not matter
    once = _drawn(batches, 1)
    assert np.array_equal(once, _drawn(_pairs(table, across), 1))
    assert not np.array_equal(once, _drawn(batches, 2))
    assert not np.array_equal(once, _drawn(_pairs(table, across, seed=1), 1))


def test_processes_keep_who_meets_whom() -> None:
    table = table_of([(5, 4)] * 6)
    batches = _pairs(table, 1.0)
    for batch in batches.batches(0):
        for rank in range(2):
            ours, theirs = batches.shard(batch, rank, 2).reshape(2, -1, 2)[..., 0]
            assert (table.modality[ours] != table.modality[theirs]).all()


def test_a_recipe_asks_for_them() -> None:
    table = table_of([(4, 4)] * 9)
    data = DataConfig(sampling="light-pairs", across_light=0.5)
    assert isinstance(build_batches(table, data, seed=0), LightPairBatches)
    with pytest.raises(ConfigError, match=r"data\.across_light is 1\.5"):
        _pairs(table, 1.5)
    with pytest.raises(DataError, match="0 people in infrared light"):
        _pairs(table_of([(4, 0)] * 4), 0.5)
    assert _pairs(table_of([(4, 0)] * 4), None).batches(0)
