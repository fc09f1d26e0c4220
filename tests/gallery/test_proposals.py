"""Tracks that may be of one person."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest

from crosslight.gallery.people.marks import Query, keep_mark
from crosslight.gallery.people.people import describe, find, label, merge, say_apart
from crosslight.gallery.people.proposals import propose
from crosslight.gallery.stores.exact import distances_to
from crosslight.gallery.stores.ledger import TRACK, digest
from crosslight.gallery.stores.opening import create_like
from crosslight.gallery.stores.rows import build_rows
from tests.gallery.rows import DIM, INFO, MODEL
from tests.gallery.served import CALIBRATION


@dataclass
class Pass:
    track: str
    looks: int
    cam: int
    begin: float
    light: int = 0
    pid: int | None = None
    crops: int = 3
    path: str = ""


def filled(store, *passes: Pass):
    rng = np.random.default_rng(1)
    people = np.random.default_rng(0).normal(size=(10, DIM))
    rows = [(one, n) for one in passes for n in range(one.crops)]
    columns = {
        "id": [f"{one.track}/{n}" for one, n in rows],
        "pid": [one.pid for one, _ in rows],
        "cam": [one.cam for one, _ in rows],
        "modality": [one.light for one, _ in rows],
        "time": [one.begin + n for one, n in rows],
        "track": [one.track for one, _ in rows],
        "path": [f"{one.path}#t={one.begin + n}" if one.path else "" for one, n in rows],
    }
    vectors = np.array([people[one.looks] + 0.2 * rng.normal(size=DIM) for one, _ in rows])
    store.add(build_rows(columns, vectors, model=MODEL))
    return store


def pairs(store, *arguments, **options):
    return [
        {str(one.track or one.pid) for one in (pair.first, pair.second)}
        for pair in propose(store, *arguments, **options)
    ]


STREET = (
    Pass("a", 1, 1, 0), Pass("b", 2, 1, 1), Pass("c", 1, 1, 100), Pass("d", 1, 2, 50, light=1),
    Pass("e", 3, 2, 200), Pass("f", 2, 2, 0),
)  # fmt: skip


def test_pairs_that_look_alike_come_first_with_the_mean_distance_of_their_images(create):
    store = filled(create(), *STREET)
    found = propose(store, top=100)
    alike = [{"a", "c"}, {"a", "d"}, {"c", "d"}, {"b", "f"}]
    assert all(one in alike for one in pairs(store, top=4))
    kept = {tuple(sorted((one.first.track, one.second.track))): one for one in found}
    for first, second in combinations("abcdef", 2):
        if (first, second) == ("a", "b"):  # one camera, one time
            assert (first, second) not in kept
            continue
        rows = [store.get([f"{one}/{n}" for n in range(3)]).vectors for one in (first, second)]
        mean = np.mean([distances_to(row, rows[1], "cosine").mean() for row in rows[0]])
        assert kept[first, second].distance == pytest.approx(mean, abs=2e-3)
        assert kept[first, second].probability is None
        assert set(kept[first, second].rows) <= {f"{o}/{n}" for o in (first, second) for n in "012"}
    assert pairs(store, top=1) == pairs(store, top=100)[:1]


def test_nobody_is_proposed_who_cannot_be_one(create):
    store = filled(
        create(),
        Pass("a", 1, 1, 0), Pass("seen", 1, 2, 300), Pass("apart", 1, 2, 400),
        Pass("wrong", 1, 2, 500), Pass("frame", 1, 3, 0), Pass("free", 1, 2, 600),
    )  # fmt: skip
    with store.ledger.changing() as changes:
        changes.put(TRACK, digest("seen"), {"track": "seen", "beside": ["a"]})
    say_apart(store, find(store, "apart"), find(store, "a"))
    keep_mark(store, Query(row="wrong/0"), "a/2", "wrong")
    others = {"seen", "apart", "wrong"}
    found = pairs(store, top=100)
    assert not [pair for pair in found if "a" in pair and pair & others]
    assert {"a", "frame"} in found
    assert {"a", "free"} in found
    merge(store, [find(store, "a"), find(store, "free")])
    assert not [pair for pair in pairs(store, top=100) if "1" in pair and pair & others]


def test_two_of_one_frame_by_their_paths_are_not_proposed(create):
    store = filled(
        create(), Pass("a", 1, -1, 0, path="w.mp4"), Pass("b", 1, -1, 2, path="w.mp4"),
        Pass("c", 1, -1, 9, path="w.mp4"),
    )  # fmt: skip
    assert pairs(store) == [{"a", "c"}, {"b", "c"}] or pairs(store) == [{"b", "c"}, {"a", "c"}]


def test_people_whom_somebody_named_or_numbered_are_proposed_with_tracks_alone(create):
    store = filled(
        create(), Pass("a", 1, 1, 0, pid=5), Pass("b", 1, 1, 100, pid=6), Pass("c", 1, 1, 200),
        Pass("d", 1, 2, 0), Pass("e", 1, 2, 100),
    )  # fmt: skip
    assert {"5", "6"} not in pairs(store, top=100)
    assert {"5", "c"} in pairs(store, top=100)
    made = merge(store, [find(store, "d"), find(store, "e")]).pid
    assert {"5", str(made)} in pairs(store, top=100)
    describe(store, made, name="Anna")
    assert {"5", str(made)} not in pairs(store, top=100)
    label(store, [f"c/{n}" for n in range(3)], "Anna")
    assert pairs(store, top=100) == []


@pytest.mark.parametrize("distance", ["euclidean", "dot"])
def test_other_distances_order_pairs_too(tmp_path, distance):
    info = INFO.from_plain({**INFO.to_plain(), "distance": distance}, where="here")
    with create_like(tmp_path / "p.exact", info) as store:
        filled(store, *STREET)
        assert all(
            pair in [{"a", "c"}, {"a", "d"}, {"c", "d"}, {"b", "f"}] for pair in pairs(store, top=4)
        )
        (best, *_) = propose(store)
        rows = [
            store.get([f"{one.track}/{n}" for n in range(3)]).vectors
            for one in (best.first, best.second)
        ]
        between = np.array([distances_to(row, rows[1], distance) for row in rows[0]])
        mean = np.sqrt(np.square(between).mean()) if distance == "euclidean" else between.mean()
        assert best.distance == pytest.approx(mean, rel=1e-4)


def test_a_calibrated_store_proposes_what_is_likely_enough(tmp_path):
    with create_like(tmp_path / "p.exact", INFO) as store:
        filled(store, *STREET)
        store.set_calibration(CALIBRATION.to_plain())
        found = propose(store, least=0.3)
        curve = CALIBRATION.within
        assert {frozenset((one.first.track, one.second.track)) for one in found} <= {
            frozenset(pair) for pair in ("ac", "ad", "cd", "bf")
        }
        assert found
        for one in found:
            assert one.probability == pytest.approx(curve.probability(one.distance))
            assert one.probability >= 0.3
        assert propose(store, least=1.0) == []


def test_a_store_of_known_people_or_of_nobody_has_nothing_to_propose(create):
    store = create()
    assert propose(store) == []
    filled(store, Pass("a", 1, 1, 0, pid=1), Pass("b", 1, 1, 50, pid=2))
    assert propose(store) == []
