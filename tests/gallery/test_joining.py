"""A store that is opened for every row, as `watch` does: it stays as quick as it was."""

from __future__ import annotations

import shutil
from datetime import timedelta
from math import log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslight.gallery.stores import writing
from crosslight.gallery.stores.joining import PARTS_AT_MOST, joined_from
from crosslight.gallery.stores.lance import index
from crosslight.gallery.stores.opening import create_like, open_store
from tests.gallery.rows import INFO, made_up


def files(folder: Path, pattern: str) -> int:
    return len([path for path in folder.glob(pattern) if path.is_file()])


def add_each(location: Path, rows, begin: int, end: int) -> None:
    for number in range(begin, end):
        with open_store(location) as store:
            assert store.add(rows.take([number])) == 1


def create(location: Path, rows, count: int) -> None:
    with create_like(location, INFO) as store:
        store.add(rows.take(range(count)))


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=200))
def test_what_is_joined_leaves_each_part_larger_than_all_behind_it(sizes: list[int]) -> None:
    place = joined_from(sizes)
    parts = [*sizes[:place], *([sum(sizes[place:])] if place < len(sizes) else [])]
    assert sum(parts) == sum(sizes)
    assert all(size > sum(parts[n + 1 :]) for n, size in enumerate(parts))
    assert joined_from(parts) == len(parts)


@pytest.mark.parametrize("first", [[], [5_000_000], [256] * 90])
def test_an_addition_costs_the_same_however_many_came_before(first: list[int]) -> None:
    parts, written, additions = list(first), 0, 20_000
    for _ in range(additions):
        parts.append(1)
        if len(parts) > PARTS_AT_MOST:
            place = joined_from(parts)
            written += sum(parts[place:])
            parts[place:] = [sum(parts[place:])]
        assert len(parts) <= PARTS_AT_MOST
    assert written <= (sum(first) % 5_000_000 + additions) * log2(additions)


@pytest.mark.parametrize("kind", ["lance", "exact"])
def test_few_parts_stay_where_each_row_is_added_by_a_store_that_was_just_opened(tmp_path, kind):
    location, rows = tmp_path / f"people.{kind}", made_up(580)
    create(location, rows, 500)
    parts = 1
    with open_store(location) as reader:
        assert reader.count() == 500
        add_each(location, rows, 500, 580)
        if kind == "lance":
            parts = reader._table.stats()["fragment_stats"]["num_fragments"]
        else:
            parts = files(location, "rows-*.parquet")
        assert 1 < parts <= 40
        assert sorted(reader.frame()["id"]) == rows.ids
    with open_store(location) as store:
        found = store.get(rows.ids)
        assert found.frame.equals(rows.frame)
        assert store.search(rows.vectors[570:571], 1)[0][0].id == rows.ids[570]


def test_a_reader_of_an_older_version_reads_it_to_its_end(tmp_path):
    rows = made_up(580)
    create(tmp_path / "people.lance", rows, 500)
    with open_store(tmp_path / "people.lance") as reader:
        batches = reader.batches(100)
        read = next(batches).ids
        add_each(tmp_path / "people.lance", rows, 500, 580)
        for batch in batches:
            read += batch.ids
    assert sorted(read) == rows.ids[:500]


def test_old_versions_and_their_files_go(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_KEPT", timedelta(milliseconds=1))
    location, rows = tmp_path / "people.lance", made_up(150)
    create(location, rows, 20)
    add_each(location, rows, 20, 150)
    assert files(location, "*.lance/_versions/*") <= 110
    assert files(location, "**/*") <= 350
    with open_store(location) as store:
        store.optimize()
        assert sorted(store.frame()["id"]) == rows.ids
    assert files(location, "*.lance/data/*") == 1
    assert files(location, "**/*") <= 20


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """What is brought to the disk, for which the real function is asked."""
    paths, real = [], writing._synced

    def noting(path: str) -> bool:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(writing, "_synced", noting)
    return paths


def test_only_what_was_written_since_is_brought_to_the_disk(tmp_path, synced):
    location, rows, counts = tmp_path / "people.lance", made_up(30), []
    create(location, rows, 5)
    for number in range(5, 30):
        synced.clear()
        add_each(location, rows, number, number + 1)
        counts.append(len(synced))
    assert max(counts) == min(counts)
    assert any(path.endswith(".manifest") for path in synced)


@pytest.mark.parametrize("what", ["killed before it synced", "copied"])
def test_what_may_not_be_on_the_disk_is_brought_there(tmp_path, synced, monkeypatch, what):
    location, rows = tmp_path / "people.lance", made_up(30)
    create(location, rows, 5)
    add_each(location, rows, 5, 20)
    if what == "copied":
        location = Path(shutil.copytree(location, tmp_path / "copy.lance"))
    else:
        with open_store(location) as store, monkeypatch.context() as killed:
            killed.setattr(type(store), "_sync", lambda _: None)
            store.add(rows.take([20]))
    synced.clear()
    add_each(location, rows, 21, 22)
    data = {str(path) for path in location.glob("*.lance/data/*")}
    assert data <= set(synced)
