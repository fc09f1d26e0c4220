from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crosslight.config import DataConfig
from crosslight.data.batches import Batches
from crosslight.data.pairing import PairBatches
from crosslight.data.sampling import (
    CrossModalBatches,
    IdentityBatches,
    build_batches,
    people_by_site,
)
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import ConfigError, DataError
from crosslight.types import Modality

counts = st.integers(0, 7)
people = st.lists(st.tuples(counts, counts), min_size=4, max_size=12)
seeds = st.integers(0, 2**32)


def table_of(images: list[tuple[int, int]]) -> SampleTable:
    """Person 10 * i has images[i] = (visible, infrared) images, in a scrambled order."""
    rows = [
        (10 * person, light)
        for person, numbers in enumerate(images)
        for light, number in enumerate(numbers)
        for _ in range(number)
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    pids = [rows[i][0] for i in order]
    lights = [Modality(rows[i][1]).name.lower() for i in order]
    paths = [f"{i}.png" for i in range(len(rows))]
    columns = {"path": paths, "pid": pids, "modality": lights}
    return build_table("test", Path(), columns)


def identity(table: SampleTable, seed: int = 0, **options: int) -> IdentityBatches:
    return IdentityBatches(table, ids_per_batch=2, images_per_id=3, seed=seed, **options)


def cross_modal(table: SampleTable, seed: int = 0, **options: int) -> CrossModalBatches:
    return CrossModalBatches(
        table, ids_per_batch=2, visible_per_id=3, infrared_per_id=2, seed=seed, **options
    )


def assert_dealt_fairly(drawn: Counter[int], rows: np.ndarray, per_batch: int) -> None:
    """Nothing comes again before everything has been seen, where one batch does not need all."""
    assert set(drawn) <= set(rows.tolist())
    if per_batch <= len(rows) and drawn:
        seen = [drawn[row] for row in rows.tolist()]
        assert max(seen) - min(seen) <= 1


@given(people, seeds, st.integers(0, 3))
def test_identity_batches_hold_p_people_with_k_images(
    images: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    table = table_of([(own[0] + 1, own[1]) for own in images])
    visits: Counter[int] = Counter()
    drawn: dict[int, Counter[int]] = {}
    for batch in identity(table, seed, iterations_per_epoch=9).batches(epoch):
        by_person = table.pids[batch].reshape(2, 3)
        assert (by_person == by_person[:, :1]).all()
        assert len(set(by_person[:, 0])) == 2
        visits.update(by_person[:, 0].tolist())
        for pid, rows in zip(by_person[:, 0].tolist(), batch.reshape(2, 3), strict=True):
            available = int((table.pids == pid).sum())
            assert len(set(rows.tolist())) == min(3, available)
            drawn.setdefault(pid, Counter()).update(rows.tolist())
    everyone = [visits[pid] for pid in set(table.pids.tolist())]
    assert max(everyone) - min(everyone) <= 1
    for pid, counter in drawn.items():
        assert_dealt_fairly(counter, np.flatnonzero(table.pids == pid), 3)


@given(people, seeds, st.integers(0, 3))
def test_cross_modal_batches_pair_both_lights_in_one_order(
    images: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    complete = [(3, 2), (1, 1), *images]
    table = table_of(complete)
    batches = cross_modal(table, seed, iterations_per_epoch=7)
    both = [10 * i for i, (visible, infrared) in enumerate(complete) if visible and infrared]
    one = [10 * i for i, (v, t) in enumerate(complete) if bool(v) != bool(t)]
    assert batches.people.tolist() == both
    assert batches.left_out.tolist() == one
    drawn: dict[tuple[int, int], Counter[int]] = {}
    for batch in batches.batches(epoch):
        visible, infrared = batch[:6].reshape(2, 3), batch[6:].reshape(2, 2)
        assert (table.modality[visible] == Modality.VISIBLE).all()
        assert (table.modality[infrared] == Modality.INFRARED).all()
        first = table.pids[visible][:, 0]
        assert (table.pids[visible] == first[:, None]).all()
        assert (table.pids[infrared] == first[:, None]).all()
        assert len(set(first)) == 2
        assert set(first.tolist()) <= set(both)
        for light, part in enumerate((visible, infrared)):
            for pid, rows in zip(first.tolist(), part, strict=True):
                drawn.setdefault((pid, light), Counter()).update(rows.tolist())
    for (pid, light), counter in drawn.items():
        own = np.flatnonzero((table.pids == pid) & (table.modality == light))
        assert_dealt_fairly(counter, own, (3, 2)[light])


@given(people, seeds)
def test_batches_are_a_function_of_seed_and_epoch(images: list[tuple[int, int]], seed: int) -> None:
    table = table_of([(5, 5), (5, 5), *images])
    for make in (identity, cross_modal):
        first, again, other = make(table, seed), make(table, seed), make(table, seed + 1)
        first.batches(2)  # what was drawn before does not matter
        once, twice = np.stack(first.batches(1)), np.stack(again.batches(1))
        assert np.array_equal(once, twice)
        assert not np.array_equal(once, np.stack(first.batches(2)))
        assert not np.array_equal(once, np.stack(other.batches(1)))


def test_an_epoch_shows_each_image_once_on_average() -> None:
    table = table_of([(9, 7)] * 10)
    assert identity(table).iterations_per_epoch == round(160 / 6)
    assert len(identity(table).batches(0)) == round(160 / 6)
    assert cross_modal(table).iterations_per_epoch == 16
    assert len(cross_modal(table, iterations_per_epoch=3).batches(0)) == 3


@pytest.mark.parametrize("make", [identity, cross_modal])
def test_ranks_share_out_whole_people(make: type[Batches]) -> None:
    table = table_of([(4, 3)] * 5)
    batches = make(table)
    batch = batches.batches(0)[0]
    shards = [batches.shard(batch, rank, 2) for rank in (0, 1)]
    assert sorted(np.concatenate(shards).tolist()) == sorted(batch.tolist())
    persons = [set(table.pids[shard].tolist()) for shard in shards]
    assert [len(own) for own in persons] == [1, 1]
    assert persons[0] != persons[1]
    lights = table.modality[shards[0]].tolist()
    assert isinstance(batches, IdentityBatches) or lights == sorted(lights)
    with pytest.raises(DataError, match="multiple of 3"):
        batches.positions(0, 3)


def test_too_few_people_are_named_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r"has 1 people, .* set data\.ids_per_batch to 1"):
        identity(table_of([(4, 4)]))
    with pytest.raises(DataError, match="has 1 people seen in both lights, but"):
        cross_modal(table_of([(4, 4), (4, 0), (0, 4)]))


def test_people_all_in_one_light_are_named() -> None:
    expected = (
        r"None of the 6 training people \(0, 10, 20, 30, 40, \.\.\.\).*6 in visible, 0 in inf"
    )
    with pytest.raises(DataError, match=expected):
        cross_modal(table_of([(4, 0)] * 6))


def table_of_sites(people: dict[int, tuple[int, int]]) -> SampleTable:
    """Each person three times by one camera in visible and by the other in infrared."""
    rows = [
        (pid, cam, light)
        for pid, cams in people.items()
        for cam, light in zip(cams, ("visible", "infrared"), strict=True)
        for _ in range(3)
    ]
    pids, cams, lights = (list(column) for column in zip(*rows, strict=True))
    paths = [f"{i}.png" for i in range(len(rows))]
    columns = {"path": paths, "pid": pids, "cam": cams, "modality": lights}
    return build_table("test", Path(), columns)


def test_people_of_a_batch_are_from_one_site() -> None:
    # Cameras 1, 2 and 3 are one site, for people 1 to 3 connect them; 11 and 12 are another.
    cameras = {1: (1, 2), 2: (3, 2), 3: (1, 3), 4: (11, 12), 5: (11, 12), 6: (11, 12)}
    table = table_of_sites(cameras)
    assert [people.tolist() for people in people_by_site(table)] == [[1, 2, 3], [4, 5, 6]]
    config = DataConfig(
        ids_per_batch=2,
        visible_per_id=2,
        infrared_per_id=1,
        iterations_per_epoch=200,
        sites="apart",
    )
    drawn = [table.pids[rows] for rows in build_batches(table, config, seed=0).batches(0)]
    sites = Counter("".join(sorted({"12"[pid > 3] for pid in pids.tolist()})) for pids in drawn)
    assert set(sites) == {"1", "2"}
    assert sites["1"] == sites["2"] == 100, "in proportion to their people"
    visits = Counter(pid for pids in drawn for pid in np.unique(pids).tolist())
    assert max(visits.values()) - min(visits.values()) <= 1


def test_sites_too_small_or_not_asked_for_are_refused() -> None:
    table = table_of_sites({1: (1, 2), 2: (1, 2), 3: (1, 2), 4: (11, 12), 5: (11, 12)})
    with pytest.raises(DataError, match="has 2 people seen in both lights at one of its sites"):
        build_batches(table, DataConfig(ids_per_batch=3, sites="apart"), seed=0)
    with pytest.raises(ConfigError, match=r"set data\.sites to mixed"):
        build_batches(table, DataConfig(sampling="identity", sites="apart"), seed=0)


def test_a_recipe_chooses_the_sampler() -> None:
    table = table_of([(4, 4)] * 9)
    assert isinstance(build_batches(table, DataConfig(), seed=0), CrossModalBatches)
    batches = build_batches(table, DataConfig(sampling="identity", images_per_id=2), seed=0)
    assert isinstance(batches, IdentityBatches)
    assert batches.batch_size == 16
    with pytest.raises(ConfigError, match="visible_per_id is 0"):
        build_batches(table, DataConfig(visible_per_id=0), seed=0)
    with pytest.raises(ConfigError, match="seed is -1"):
        build_batches(table, DataConfig(), seed=-1)


@given(people, seeds, st.integers(0, 3))
def test_pair_batches_hold_two_shuffles_with_partners(
    images: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    table = table_of([(own[0] + 1, own[1]) for own in images])
    batches = PairBatches(table, pairs_per_batch=4, seed=seed)
    assert batches.iterations_per_epoch == max(1, round(len(table) / 2))
    drawn = np.stack(batches.batches(epoch)).reshape(-1, 2, 2, 2)  # half, place, image or partner
    assert np.array_equal(drawn.reshape(-1), np.concatenate(batches.batches(epoch)))
    first, partner = drawn[..., 0], drawn[..., 1]
    assert np.array_equal(table.pids[first], table.pids[partner])
    alone = np.array([(table.pids == pid).sum() == 1 for pid in table.pids])
    assert np.array_equal(first == partner, alone[first])
    for half in (0, 1):
        counts = np.bincount(first[:, half].reshape(-1), minlength=len(table))
        assert counts.max() - counts.min() <= 1


def test_partners_are_drawn_alike() -> None:
    table = table_of([(5, 0), (1, 0)])
    batches = PairBatches(table, pairs_per_batch=2, seed=0, iterations_per_epoch=3000)
    drawn = np.stack(batches.batches(0)).reshape(-1, 2)
    image = np.flatnonzero(table.pids == 0)[2]
    partners = Counter(drawn[drawn[:, 0] == image, 1].tolist())
    assert set(partners) == set(np.flatnonzero(table.pids == 0).tolist()) - {int(image)}
    assert max(partners.values()) < 1.35 * min(partners.values())


def test_processes_share_both_halves_of_the_pairs() -> None:
    table = table_of([(4, 0)] * 6)
    batches = PairBatches(table, pairs_per_batch=8, seed=0)
    parts = [batches.positions(rank, 2).reshape(2, 2, 2) for rank in range(2)]
    together = np.concatenate(parts, axis=1).reshape(-1)
    assert np.array_equal(together, np.arange(16))
    with pytest.raises(DataError, match="multiple of 6"):
        batches.positions(0, 3)
    with pytest.raises(ConfigError, match="even number"):
        PairBatches(table, pairs_per_batch=3, seed=0)


def by_images(table: SampleTable, seed: int = 0) -> IdentityBatches:
    return IdentityBatches(table, ids_per_batch=2, images_per_id=3, seed=seed, by_images=True)


@given(people, seeds, st.integers(0, 3))
def test_batches_by_images_hold_p_people_with_k_images(
    images: list[tuple[int, int]], seed: int, epoch: int
) -> None:
    assume(sum(map(any, images)) >= 2)
    table = table_of(images)
    batches = by_images(table, seed)
    for batch in batches.batches(epoch):
        of_person = table.pids[batch].reshape(2, 3)
        assert (of_person == of_person[:, :1]).all()
        assert of_person[0, 0] != of_person[1, 0]
        for rows in batch.reshape(2, 3):
            own = np.flatnonzero(table.pids == table.pids[rows[0]])
            assert len(set(rows.tolist())) == min(3, len(own))
    first, again = batches.batches(epoch), by_images(table, seed).batches(epoch)
    assert all(map(np.array_equal, first, again))


def test_people_are_visited_in_proportion_to_their_images() -> None:
    """Four with 3 images, four with 30: a pass has them once and ten times, as fast-reid's."""
    table = table_of([(3, 0)] * 4 + [(30, 0)] * 4)
    visits: Counter[int] = Counter()
    for epoch in range(200):
        for batch in by_images(table, seed=1).batches(epoch):
            visits.update(table.pids[batch].reshape(2, 3)[:, 0].tolist())
    few, many = ([visits[10 * n] for n in part] for part in (range(4), range(4, 8)))
    assert 8 < sum(many) / sum(few) < 12
    equal = Counter(
        pid
        for epoch in range(50)
        for batch in identity(table, seed=1).batches(epoch)
        for pid in table.pids[batch].reshape(2, 3)[:, 0].tolist()
    )
    assert max(equal.values()) < 1.2 * min(equal.values())


def test_visits_by_images_need_identity_batches() -> None:
    table = table_of([(3, 3)] * 8)
    config = DataConfig(visits="by-images", sampling="identity", ids_per_batch=2)
    assert len(build_batches(table, config, seed=0).batches(0)) > 0
    with pytest.raises(ConfigError, match=r"data\.sampling to identity"):
        build_batches(table, DataConfig(visits="by-images"), seed=0)
