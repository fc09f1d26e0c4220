"""What every store must do, whatever engine is below; one suite for all kinds."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crosslight.errors import CrosslightError, GalleryError
from crosslight.gallery.people.people import describe, label, list_people
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import COLUMNS, SCHEMA, Filter, Rows, build_rows
from crosslight.gallery.stores.store import Store
from tests.gallery.rows import DIM, INFO, MODEL, made_up
from tests.incapable import IncapableError

FILTERS = {
    "everything": Filter(),
    "one camera": Filter(cams=frozenset({1})),
    "two cameras": Filter(cams=frozenset({0, 3})),
    "no camera": Filter(cams=frozenset()),
    "infrared": Filter(modalities=frozenset({1})),
    "since": Filter(since=40.0),
    "until": Filter(until=17.0),
    "a moment": Filter(since=23.0, until=23.0),
    "people": Filter(pids=frozenset({1, 2, 3})),
    "not these": Filter(not_ids=frozenset({"row-0000003", "row-0000004"})),
    "all at once": Filter(
        cams=frozenset({1, 2}), modalities=frozenset({0}), since=5.0, until=60.0,
        pids=frozenset(range(9)), not_ids=frozenset({"row-0000005"}),
    ),
}  # fmt: skip


def distances(queries, vectors, distance):
    """The definition, one pair at a time."""
    answer = np.empty((len(queries), len(vectors)))
    for q, query in enumerate(np.asarray(queries, float)):
        for v, vector in enumerate(np.asarray(vectors, float)):
            if distance == "euclidean":
                answer[q, v] = np.sqrt(((query - vector) ** 2).sum())
            elif distance == "dot":
                answer[q, v] = -(query @ vector)
            else:
                answer[q, v] = 1 - query @ vector / np.linalg.norm(query) / np.linalg.norm(vector)
    return answer


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_finds_what_the_definition_of_the_distance_finds(create, distance):
    info = INFO.from_plain({**INFO.to_plain(), "distance": distance}, where="here")
    store = create(info=info)
    rows = made_up(120)
    store.add(rows)
    queries = made_up(7, seed=1).vectors
    truth = distances(queries, rows.vectors, distance)
    for expected, hits in zip(truth, store.search(queries, 10), strict=True):
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        np.testing.assert_allclose([h.distance for h in hits], np.sort(expected)[:10], atol=0.02)
        for hit in hits:  # the row that is named is the row that was measured
            assert hit.distance == pytest.approx(expected[rows.ids.index(hit.id)], abs=0.02)


def test_filters_keep_exactly_the_rows_that_fit(create):
    store, rows = create(), made_up(80)
    store.add(rows)
    query = rows.vectors[7:8]
    for name, where in FILTERS.items():
        fitting = rows.frame.filter(where.expression())
        assert store.count(where) == fitting.height, name
        assert store.frame(where).equals(fitting.select(list(COLUMNS)).sort("id")), name
        found = [hit.id for hit in store.search(query, 80, where)[0]]
        assert sorted(found) == sorted(fitting["id"]), name
        assert [hit.id for hit in store.search(query, 5, where, exact=True)[0]] == found[:5], name


def test_a_hit_carries_what_is_known_about_its_row(create):
    store, rows = create(), made_up(30)
    store.add(rows)
    for row, vector in zip(rows.frame.to_dicts(), rows.vectors, strict=True):
        hit = store.search(vector[None], 1)[0][0]
        assert hit.id == row["id"]
        for name in ("pid", "cam", "modality", "time", "track", "path"):
            assert getattr(hit, name) == row[name], name


def test_rows_come_back_as_they_were_added_and_in_the_order_asked_for(create):
    store, rows = create(), made_up(40)
    store.add(rows)
    asked = ["row-0000031", "nobody", "row-0000002", "row-0000031"]
    found = store.get(asked)
    expected = rows.take([31, 2, 31])
    assert found.frame.equals(expected.frame)
    assert found.frame.schema == pl.Schema(SCHEMA)
    norms = np.linalg.norm(expected.vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, expected.vectors / norms, atol=2e-3)
    assert len(store.get([])) == len(store.get(["nobody"])) == 0
    assert store.present(asked) == {"row-0000031", "row-0000002"}


def test_a_row_is_added_once_however_often_it_is_given(create):
    store = create()
    rows = made_up(30)
    assert store.add(rows.take([*range(20), 3, 4])) == 20
    assert store.add(rows) == 10
    assert store.add(rows) == 0
    assert store.count() == 30
    assert sorted(store.frame()["id"]) == sorted(rows.ids)


def test_rows_are_replaced_by_those_with_the_same_ids(create):
    store, rows = create(), made_up(40)
    store.add(rows.take(range(25)))
    store.add(rows.take(range(25, 40)))
    other = made_up(40, seed=3)
    relabelled = Rows(
        frame=other.frame.with_columns(pl.lit(9, pl.Int64).alias("cam"), path=pl.lit("elsewhere")),
        vectors=other.vectors,
    )
    stranger = made_up(1, start=70)
    chosen = relabelled.take([3, 30, 31])
    assert store.update(stranger) == store.update(chosen.take([])) == 0
    assert store.update(chosen) == 3
    assert store.count() == 40
    assert store.get(["row-0000030"]).frame.equals(relabelled.take([30]).frame)
    assert store.labels(["row-0000030", "nobody", "row-0000004"]).sort("id").to_dicts() == [
        rows.frame.select(list(COLUMNS)).to_dicts()[4],
        relabelled.frame.select(list(COLUMNS)).to_dicts()[30],
    ]
    assert store.labels([]).schema == pl.Schema(COLUMNS)
    assert {row["id"] for row in store.frame(Filter(cams=frozenset({9}))).to_dicts()} == {
        "row-0000003", "row-0000030", "row-0000031",
    }  # fmt: skip
    assert store.search(other.vectors[3:4], 1)[0][0].id == "row-0000003"
    assert store.add(relabelled) == 0
    store.close()
    with open_store(store.location) as again:
        assert again.count(Filter(cams=frozenset({9}))) == 3
        assert again.count() == 40


def test_ids_and_paths_may_hold_any_character(create):
    store = create()
    names = ["it's", 'a "quote"', "back\\slash", "人", "' OR 1=1 --", "%", "new\nline"]
    rows = build_rows(
        {"id": names, "path": names, "track": names}, made_up(len(names)).vectors, model=MODEL
    )
    assert store.add(rows) == len(names)
    for name in names:
        assert store.get([name]).frame["path"].to_list() == [name]
        assert store.count(Filter(not_ids=frozenset({name}))) == len(names) - 1
        assert store.search(store.get([name]).vectors, 1)[0][0].track == name
    assert store.remove_ids([names[4]]) == 1
    assert store.count() == len(names) - 1


def test_removed_rows_are_gone_and_can_come_back(create):
    store, rows = create(), made_up(50)
    store.add(rows)
    assert store.remove(Filter(pids=frozenset({2}))) == 4  # the row 14 names nobody
    assert store.remove_ids(["row-0000000", "nobody", "row-0000001"]) == 2
    assert store.remove_ids([]) == store.remove(Filter(pids=frozenset({2}))) == 0
    assert store.count() == 44
    assert "row-0000000" not in {h.id for h in store.search(rows.vectors[:1], 50)[0]}
    assert store.add(rows.take([0])) == 1
    assert store.search(rows.vectors[:1], 1)[0][0].id == "row-0000000"
    assert store.remove(Filter()) == 45
    assert store.count() == 0


def test_what_was_acknowledged_is_there_after_opening_again(create):
    store, rows = create(), made_up(60)
    store.add(rows.take(range(40)))
    store.add(rows.take(range(40, 60)))
    store.remove_ids(["row-0000009"])
    store.set_calibration({"false_match_rate": 0.01})
    store.set_range((2900, 3200))
    store.close()
    with open_store(store.location) as again:
        assert again.info == INFO.calibrated({"false_match_rate": 0.01}).ranged((2900, 3200))
        assert sorted(again.frame()["id"]) == sorted(set(rows.ids) - {"row-0000009"})
        assert again.search(rows.vectors[33:34], 1)[0][0].id == "row-0000033"


def test_maintenance_changes_no_answer(create):
    store, rows = create(), made_up(100)
    for start in range(0, 100, 10):
        store.add(rows.take(range(start, start + 10)))
    store.remove_ids(rows.ids[::9])
    before = store.search(rows.vectors[:5], 20)
    assert store.optimize().endswith(".")
    assert store.search(rows.vectors[:5], 20) == before
    assert store.count() == 100 - len(rows.ids[::9])
    assert store.add(rows) == len(rows.ids[::9])


def test_batches_and_pages_give_every_row_once(create):
    store, rows = create(), made_up(55)
    store.add(rows)
    batches = list(store.batches(20))
    assert sorted(i for batch in batches for i in batch.ids) == sorted(rows.ids)
    assert max(map(len, batches)) <= 20
    paged = [i for n in range(0, 60, 10) for i in store.page(offset=n, limit=10)["id"].to_list()]
    assert sorted(paged) == sorted(rows.ids)
    infrared = Filter(modalities=frozenset({1}))
    assert set(store.page(infrared, limit=100)["modality"]) == {1}


def test_an_empty_store_answers(create):
    store = create()
    assert store.count() == 0
    assert store.search(made_up(2).vectors, 5) == [[], []]
    assert store.frame().columns == store.page().columns == list(COLUMNS)
    assert list(store.batches(10)) == []
    assert store.remove(Filter()) == 0
    store.optimize()


def test_rows_and_queries_that_do_not_fit_are_refused_with_a_sentence(create):
    store, rows = create(), made_up(5)
    with pytest.raises(GalleryError, match="cannot be compared"):
        store.add(build_rows({"id": ["x"]}, rows.vectors[:1], model="b" * 64))
    with pytest.raises(GalleryError, match=f"vectors of {DIM} numbers"):
        store.add(build_rows({"id": ["x"]}, rows.vectors[:1, :4], model=MODEL))
    with pytest.raises(GalleryError, match="The query has 4 numbers"):
        store.search(rows.vectors[:1, :4], 3)
    with pytest.raises(GalleryError, match="not finite"):
        store.search(np.full((1, DIM), np.nan), 3)
    with pytest.raises(GalleryError, match="ask for 1 or more"):
        store.search(rows.vectors[:1], 0)
    with pytest.raises(GalleryError, match="give the new store another name"):
        create_like(store.location, INFO)
    assert store.count() == 0


def test_another_process_finds_what_was_added(create):
    store = create()
    store.add(made_up(30))
    store.close()
    program = (
        "import sys; from crosslight.gallery.stores.opening import open_store\n"
        "with open_store(sys.argv[1]) as store: print(store.count(), store.info.dim)"
    )
    command = [sys.executable, "-c", program, store.location]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["30", str(DIM)]


@pytest.fixture
def opened_twice(create) -> Iterator[tuple[Store, Store]]:
    """A filled store, opened twice, as by two processes."""
    store = create()
    store.add(made_up(30))
    store.end_writing()
    with open_store(store.location) as other:
        yield store, other


@pytest.fixture
def folder_opened_twice(opened_twice) -> tuple[Store, Store]:
    if opened_twice[0].kind == "milvus":
        raise IncapableError("Milvus Lite is for one process, and a server promises less")
    return opened_twice


def test_a_calibration_and_a_range_of_two_processes_are_both_kept(opened_twice):
    first, second = opened_twice
    second.set_calibration({"false_match_rate": 0.01})
    second.end_writing()
    first.set_range((0, 4095))
    first.end_writing()
    second.set_calibration({"false_match_rate": 0.1})
    expected = INFO.ranged((0, 4095)).calibrated({"false_match_rate": 0.1})
    with open_store(first.location) as again:
        assert again.info == expected


def test_an_open_store_sees_what_others_have_written(folder_opened_twice):
    reader, writer = folder_opened_twice
    rows = made_up(50)
    writer.set_calibration({"false_match_rate": 0.01})
    assert reader.info.calibration == {"false_match_rate": 0.01}
    for start in (30, 40):
        assert writer.add(rows.take(range(start, start + 10))) == 10
        assert reader.search(rows.vectors[start + 3 : start + 4], 1)[0][0].id == rows.ids[start + 3]
        assert reader.count() == start + 10
    assert reader.present(rows.ids) == set(rows.ids)
    assert reader.get(rows.ids).frame.equals(rows.frame)
    assert writer.remove_ids(rows.ids[:2]) == 2
    assert writer.add(rows.take([1])) == 1
    writer.optimize()
    assert reader.labels(rows.ids).sort("id").equals(writer.frame())
    assert sorted(i for batch in reader.batches(20) for i in batch.ids) == rows.ids[1:]
    assert reader.search(rows.vectors[:3], 49) == writer.search(rows.vectors[:3], 49)
    writer.remove(Filter())
    writer.add(rows.take([7]))  # of the name, perhaps, of a file that is known
    assert reader.frame()["id"].to_list() == [rows.ids[7]]
    writer.close()
    assert reader.add(rows) == 49


def test_an_open_store_keeps_its_description_while_it_cannot_be_read(folder_opened_twice):
    store, other = folder_opened_twice
    store.set_calibration({"false_match_rate": 0.01})
    expected = store.info
    description = folder_of(store) / "store.json"
    whole = description.read_text()
    for damage in (Path.unlink, emptied):
        damage(description)
        assert store.info == expected
        with pytest.raises(GalleryError, match=r"There is no store|not a store|is damaged"):
            store.check()
        with pytest.raises(GalleryError, match=r"There is no store|not a store|is damaged"):
            store.set_range((0, 4095))
        description.write_text(whole)
        assert store.info == expected
        store.check()
    store.close()
    description.unlink()
    with pytest.raises(GalleryError, match="is a folder that is not empty, not a store"):
        other.add(made_up(40))
    description.write_text(whole)
    assert store.add(made_up(40)) == 10


def test_another_models_store_in_its_place_is_told(folder_opened_twice):
    store, _ = folder_opened_twice
    description = folder_of(store) / "store.json"
    whole = description.read_text()
    description.write_text(whole.replace(MODEL, "b" * 64))
    for refused in (store.check, lambda: store.search(made_up(1).vectors, 3)):
        with pytest.raises(GalleryError, match="put the old one back, or open it again"):
            refused()
    description.write_text(whole)
    assert len(store.search(made_up(1).vectors, 3)[0]) == 3


def folder_of(store: Store) -> Path:
    folder = Path(store.location)
    if not folder.is_dir():
        raise IncapableError("a server keeps its files to itself")
    return folder


def test_a_store_that_is_moved_away_is_told_and_answers_again_when_it_is_back(create):
    store = create()
    store.add(made_up(30))
    store.check()
    folder = folder_of(store)
    away = folder.rename(folder.with_name("away"))
    with pytest.raises(GalleryError, match=r"There is no store|is gone"):
        store.check()
    away.rename(folder)
    store.check()
    assert store.count() == 30


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "check": lambda store: store.check(),
    "count": lambda store: store.count(),
    "frame": lambda store: store.frame(Filter(cams=frozenset({1}))),
    "page": lambda store: store.page(),
    "present": lambda store: store.present(["row-0000001"]),
    "get": lambda store: store.get(["row-0000001", "row-0000040"]),
    "search": lambda store: store.search(made_up(2).vectors, 3),
    "batches": lambda store: list(store.batches(20)),
    "add": lambda store: store.add(made_up(5, start=100)),
    "remove_ids": lambda store: store.remove_ids(["row-0000007"]),
    "remove": lambda store: store.remove(Filter(pids=frozenset({4}))),
    "set_calibration": lambda store: store.set_calibration({"false_match_rate": 0.1}),
    "optimize": lambda store: store.optimize(),
    "list_people": list_people,
    "describe": lambda store: describe(store, 5, name="Bob"),
    "label": lambda store: label(store, ["row-0000010"], "Carla"),
}


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(np.random.default_rng(size).bytes(size))


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [emptied, garbled, replaced_by_a_folder, Path.unlink])
def test_a_damaged_store_answers_or_says_so_in_a_sentence(create, damage):
    store = create()
    store.add(made_up(60))
    describe(store, 2, name="Anna")
    store.remove_ids(["row-0000003"])
    whole = folder_of(store)
    store.close()
    told = 0
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    for number, file in enumerate(files):
        folder = shutil.copytree(whole, whole.with_name(f"{number}{whole.suffix}"))
        damage(folder / file)
        try:
            opened = open_store(folder)
        except GalleryError:
            told += 1
            continue
        for operation in OPERATIONS.values():
            try:
                operation(opened)
            except CrosslightError:  # anything else would be a traceback
                told += 1
        opened.close()
    assert told


@contextmanager
def full_disk(size: int = 4096) -> Iterator[None]:
    """No file may become larger than this; the system refuses as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # or a part of it stays behind
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        sys.dont_write_bytecode = kept


def test_a_full_disk_is_told_and_loses_nothing(create):
    store = create()
    folder_of(store)
    store.add(made_up(30))
    with (
        full_disk(),
        pytest.raises(GalleryError, match=r"No space left on the disk .* free some space and run"),
    ):
        store.add(made_up(2000))
    assert store.count() == 30
    assert store.add(made_up(40)) == 10
    assert store.search(made_up(40).vectors[33:34], 1)[0][0].id == "row-0000033"
    store.close()
    with open_store(store.location) as again:
        assert sorted(again.frame()["id"]) == sorted(made_up(40).ids)
