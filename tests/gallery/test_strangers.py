"""Rates of false alarms: against a slow count, and on people who are and are not enrolled."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.calibration.false_alarms import Alarms
from crosslight.gallery.calibration.open_set import open_set_of
from crosslight.gallery.calibration.strangers import NEAREST, People, measured_alarms
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.stores.rows import Filter, build_rows
from tests.gallery.rows import DIM, INFO, MODEL


def people(rng, numbers, *, images=4, light=None) -> People:
    """Images of people by two visible and two infrared cameras; some are like many others."""
    pids = np.repeat(numbers, images)
    cams = np.tile(np.arange(images) % 4, len(numbers))
    looks = {n: rng.normal(size=DIM) * rng.uniform(0.3, 1.5) + 0.8 for n in numbers}
    vectors = np.stack([looks[n] for n in pids]) + 0.35 * rng.normal(size=(len(pids), DIM))
    modality = (cams >= 2).astype(np.uint8)
    vectors[modality == 1, 0] += 1.0
    kept = np.full(len(pids), True) if light is None else modality == light
    made = People(vectors=vectors.astype(np.float32), pids=pids, cams=cams, modality=modality)
    return some(made, kept)


def some(these: People, kept) -> People:
    return People(**{name: values[kept] for name, values in vars(these).items()})


def filled(place, these: People, *, known=True) -> ExactStore:
    store = ExactStore.create(place, INFO)
    count = len(these.pids)
    columns = {
        "id": [f"row-{n}" for n in range(count)],
        "pid": these.pids.tolist() if known else [None] * count,
        "cam": these.cams.tolist(),
        "modality": these.modality.tolist(),
    }
    store.add(build_rows(columns, these.vectors, model=MODEL))
    return store


def cosine(first, second):
    first, second = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (first, second))
    return 1 - first @ second.T


def test_the_rate_is_the_mean_over_strangers_and_one_more(tmp_path):
    rng = np.random.default_rng(0)
    strangers, enrolled = people(rng, range(100, 130)), people(rng, range(20))
    with filled(tmp_path / "a.exact", enrolled, known=False) as store:
        found = measured_alarms(store, strangers)
    assert {(a.query, a.row, a.rows, a.people) for a in found} == {
        (query, row, 40, 30) for query in (0, 1) for row in (0, 1)
    }
    for alarms in found:
        asked, rows = strangers.modality == alarms.query, enrolled.modality == alarms.row
        between = cosine(strangers.vectors[asked], enrolled.vectors[rows])
        for distance, rate in zip(alarms.distances, alarms.rates[0], strict=True):
            alarmed = (between <= distance + 1e-6).any(axis=1)
            mean = [alarmed[strangers.pids[asked] == pid].mean() for pid in range(100, 130)]
            assert rate == pytest.approx((1 + sum(mean)) / 31, abs=0.02)
        assert alarms.rate(-1.0, 40) == pytest.approx(1 / 31) == alarms.smallest(40)
        assert alarms.rate(5.0, 40) == 1.0
        assert Alarms.from_plain(json.loads(json.dumps(asdict(alarms)))) == alarms


def test_the_rate_of_fewer_rows_is_that_of_rows_drawn_at_random(tmp_path):
    rng = np.random.default_rng(1)
    strangers = people(rng, range(100, 160), light=0)
    enrolled = people(rng, range(100), light=0)
    with filled(tmp_path / "a.exact", enrolled, known=False) as store:
        (alarms,) = measured_alarms(store, strangers)
    between = cosine(strangers.vectors, enrolled.vectors)
    middle = float(np.quantile(between.min(axis=1), 0.4))
    for rows in (120, 50, 20, 5):
        met = [
            (between[:, rng.choice(200, rows, replace=False)] <= middle).any(axis=1).mean()
            for _ in range(400)
        ]
        assert alarms.rate(middle, rows) == pytest.approx((1 + 60 * np.mean(met)) / 61, abs=0.03)
    rates = [alarms.rate(middle, rows) for rows in (1, 5, 20, 100, 200, 400)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(2 * rates[-2])


def test_the_stores_own_people_are_strangers_to_each_other(tmp_path):
    rng = np.random.default_rng(2)
    strangers = people(rng, range(1000, 1010), light=1)
    enrolled = people(rng, range(60), light=0)
    with filled(tmp_path / "a.exact", enrolled) as store:
        found = {a.query: a for a in measured_alarms(store, strangers)}
        assert (found[0].people, found[1].people) == (60, 10)
        between = cosine(enrolled.vectors, enrolled.vectors)
        between[enrolled.pids[:, None] == enrolled.pids] = np.inf
        nearest = between.min(axis=1)
        for share in (0.05, 0.3, 0.7):
            distance = float(np.quantile(nearest, share))
            mean = [(nearest[enrolled.pids == n] <= distance).mean() for n in range(60)]
            rate = found[0].rate(distance, 120)
            assert rate == pytest.approx((1 + sum(mean)) / 61, abs=0.03)
    # Where most are unknown, one of them may be the person who is tried.
    nobody = filled(tmp_path / "b.exact", enrolled, known=False)
    with nobody as store:
        assert {a.query for a in measured_alarms(store, strangers)} == {1}


def test_more_rows_than_are_kept_change_nothing_that_matters(tmp_path):
    rng = np.random.default_rng(3)
    strangers, enrolled = people(rng, range(5000, 5060), light=0), people(rng, range(600), light=0)
    assert len(enrolled.pids) > 4 * NEAREST
    with filled(tmp_path / "a.exact", enrolled, known=False) as store:
        (alarms,) = measured_alarms(store, strangers)
    between = cosine(strangers.vectors, enrolled.vectors)
    for rows in (1200, 120, 30):
        distance = float(np.quantile(between, 0.05 / rows))
        counts = (between <= distance).sum(axis=1)
        expected = (1 + 60 * (1 - (1 - rows / 1200) ** counts).mean()) / 61
        assert alarms.rate(distance, rows) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("query", [0, 1])
def test_false_alarms_of_people_who_are_not_enrolled_keep_to_the_rate(tmp_path, query):
    """And people who are enrolled are found, about as many as is said."""
    alarmed, found, said = [], [], []
    for seed in range(6):
        rng = np.random.default_rng([4, query, seed])
        enrolled = people(rng, range(100))
        rows = np.isin(enrolled.cams, [0, 2])
        asked = enrolled.vectors[~rows & (enrolled.modality == query)]
        with filled(tmp_path / f"{seed}.exact", some(enrolled, rows)) as store:
            calibration = Calibration(
                false_match_rate=0.1, data="", people=0, within=None, across=None,
                alarms=measured_alarms(store, people(rng, range(1000, 1100))),
            )  # fmt: skip
            new = people(rng, range(2000, 2200), light=query).vectors
            for lights in ((0, 1), (0,)):
                wheres = [Filter(modalities=frozenset({light})) for light in lights]
                counts = dict.fromkeys(lights, 100)
                judge = open_set_of(calibration, query, counts, 0.05)
                answers = [
                    [
                        judge.verdict([hits[0] for hits in nearest]) == "in-gallery"
                        for nearest in zip(
                            *(store.search(vectors, 1, where) for where in wheres), strict=True
                        )
                    ]
                    for vectors in (new, asked)
                ]
                alarmed.append(np.mean(answers[0]))
                if lights == (0,):
                    found.append(np.mean(answers[1]))
                    said.append(judge.share_found())
    # Two lights share the rate, and need not raise their alarms in different searches.
    assert 0.01 < np.mean(alarmed) < 0.055
    assert np.mean(found) > 0.2
    assert np.mean(said) == pytest.approx(np.mean(found), abs=0.1)


def test_how_many_enrolled_people_are_found_is_told_for_the_stores_cameras(tmp_path):
    rng = np.random.default_rng(5)
    strangers = people(rng, range(100, 140))
    enrolled = people(rng, range(20), light=0)
    with filled(tmp_path / "a.exact", enrolled, known=False) as store:
        alarms = next(a for a in measured_alarms(store, strangers) if a.query == 1)
    shares = []
    for pid in range(100, 140):
        own = strangers.pids == pid
        asked, held = own & (strangers.modality == 1), own & np.isin(strangers.cams, [0, 1])
        best = cosine(strangers.vectors[asked], strangers.vectors[held]).min(axis=1)
        shares.append((best[:, None] <= np.array(alarms.distances) + 1e-7).mean(axis=0))
    assert alarms.found == pytest.approx(np.mean(shares, axis=0), abs=1e-9)
    assert alarms.share_found(alarms.smallest(40) / 2, 40) == 0.0


def test_an_empty_store_measures_nothing(tmp_path):
    rng = np.random.default_rng(6)
    with ExactStore.create(tmp_path / "a.exact", INFO) as store:
        assert measured_alarms(store, people(rng, range(10))) == ()
