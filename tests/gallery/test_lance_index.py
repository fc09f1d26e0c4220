"""The vector index of the LanceDB store, on a table small enough to train in seconds."""

from __future__ import annotations

import numpy as np
import pytest

from crosslight.errors import GalleryError
from crosslight.gallery import lance, lance_index
from crosslight.gallery.exact import ExactStore
from crosslight.gallery.lance import LanceStore
from crosslight.gallery.rows import Filter
from tests.gallery.rows import INFO, made_up

ROWS = 1_200


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A store with an index; no test takes rows away."""
    folder = tmp_path_factory.mktemp("indexed") / "people.lance"
    with pytest.MonkeyPatch.context() as patch, LanceStore.create(folder, INFO) as store:
        patch.setattr(lance_index, "INDEXED_FROM", 1_000)
        patch.setattr(lance_index, "COLUMNS_INDEXED_FROM", 1_000)
        patch.setattr(lance_index, "_ROWS_IN_A_LIST", 35)
        patch.setattr(lance, "SCANNED_AT_MOST", 5)
        store.add(made_up(ROWS))
        store.optimize()
        yield store


def recall(store, truth, queries, where):
    right = wanted = 0
    for found, expected in zip(
        store.search(queries, 10, where), truth.search(queries, 10, where), strict=True
    ):
        right += len({hit.id for hit in found} & {hit.id for hit in expected})
        wanted += len(expected)
    return right / wanted


def test_the_index_finds_what_an_exact_search_finds(indexed, tmp_path):
    assert indexed.index.everywhere.recall >= lance_index.RECALL
    with ExactStore.create(tmp_path / "truth.exact", INFO) as truth:
        truth.add(made_up(ROWS))
        queries = made_up(20, seed=3).vectors
        for where in (
            Filter(),
            Filter(modalities=frozenset({1})),
            Filter(cams=frozenset({2}), since=100.0, until=200.0),
        ):
            # Strangers, in 16 dimensions of one bit each: harder than the rows it was checked on.
            assert recall(indexed, truth, queries, where) >= 0.9
        exact = indexed.search(queries, 10, exact=True)
        expected = truth.search(queries, 10)
        assert [[h.id for h in hits] for hits in exact] == [[h.id for h in h_] for h_ in expected]


def test_rows_added_after_the_index_are_found_at_once(indexed):
    late = made_up(30, start=ROWS)
    indexed.add(late)
    for number in range(0, 30, 7):
        assert indexed.search(late.vectors[number : number + 1], 1)[0][0].id == late.ids[number]


def test_the_effort_is_the_least_that_finds_enough(indexed, monkeypatch):
    monkeypatch.setattr(lance_index, "_QUERIES", 20)
    table = indexed._table
    found = lance_index._measured(table, ROWS, indexed.index.partitions, "cosine")
    for effort in (found.everywhere, found.other_light, found.one_camera):
        assert effort.recall >= lance_index.RECALL
    monkeypatch.setattr(lance_index, "RECALL", 0.0)
    least = lance_index._measured(table, ROWS, indexed.index.partitions, "cosine")
    assert least.everywhere.nprobes == indexed.index.partitions // 16
    assert least.everywhere.recall < found.everywhere.recall
    assert least.one_camera.nprobes == lance_index.ALL_LISTS


def test_the_fewer_rows_a_filter_leaves_the_more_effort(indexed):
    index = indexed.index
    assert indexed._effort(None) == index.everywhere
    assert indexed._effort("modality = 1") == index.other_light
    assert indexed._effort("cam = 1 AND time < 700") == index.one_camera
    assert indexed._effort("time < 4") is None  # compared with all of them


def test_a_damaged_description_of_the_index_is_told(indexed):
    settings = indexed._folder / lance_index.NAME
    kept = settings.read_text()
    settings.write_text("{")
    with pytest.raises(GalleryError, match="remove it, and run crosslight gallery optimize"):
        indexed.search(np.ones((1, 16)), 1)
    settings.write_text(kept)
