"""What is removed is gone: from every answer at once, and from every file of the store."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import numpy as np
import polars as pl
import pytest

from crosslight.errors import GalleryError
from crosslight.gallery.stores.lance import index as lance_index
from crosslight.gallery.stores.lance import purge as lance_purge
from crosslight.gallery.stores.lance.sql import among_ids
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.removal import Mark, mark, marked
from crosslight.gallery.stores.rows import Filter, Rows
from crosslight.gallery.stores.store import Store
from tests.gallery.rows import INFO, made_up

KINDS = ("exact", "lance", "milvus")
ENDINGS = {"exact": "people.exact", "lance": "people.lance", "milvus": "people.milvus"}
PART = 40


def photographed(count: int, *, start: int = 0) -> Rows:
    """Made-up rows with thumbnails that no compression makes smaller."""
    rows = made_up(count, start=start)
    rng = np.random.default_rng(start)
    thumbnails = pl.Series("thumbnail", [rng.bytes(300) for _ in range(count)], dtype=pl.Binary)
    return Rows(frame=rows.frame.with_columns(thumbnails), vectors=rows.vectors)


def filled(folder: Path, parts: int = 3) -> Store:
    store = create_like(folder, INFO)
    for part in range(parts):
        store.add(photographed(PART, start=part * PART))
    return store


def traces(store: Store, row: str) -> dict[str, bytes]:
    """What of a row can be looked for in files."""
    found = store.get([row])
    thumbnail, vector = found.frame["thumbnail"][0], found.vectors
    return {
        "thumbnail": base64.b64encode(thumbnail) if store.kind == "milvus" else thumbnail,
        "vector": (vector.astype(np.float16) if store.kind == "lance" else vector).tobytes(),
        "id": row.encode(),
        "path": found.frame["path"][0].encode(),
    }


def seen(folder: Path, traces: dict[str, bytes]) -> set[str]:
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return {name for name, trace in traces.items() if any(trace in one for one in contents)}


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    return tmp_path / ENDINGS[request.param]


def test_no_file_holds_anything_of_a_removed_row(folder: Path) -> None:
    with filled(folder) as store:
        row, other = "row-0000045", "row-0000046"
        left, kept = traces(store, row), traces(store, other)
        store.optimize()
        renamed = store.get([row])
        moved = renamed.frame.with_columns(path=pl.lit("elsewhere/45.jpg"))
        store.update(Rows(frame=moved, vectors=renamed.vectors))  # older files hold the row too
        raw = {"thumbnail"} if store.kind == "exact" else {"thumbnail", "vector"}
        assert raw <= seen(folder, left)
        assert store.remove_ids([row]) == 1
        assert seen(folder, left) == set()
        assert seen(folder, {"path": b"elsewhere/45.jpg"}) == set()
        assert raw <= seen(folder, kept)
        assert marked(folder) is None
        assert store.count() == 3 * PART - 1
        assert store.search(store.get([other]).vectors, 1)[0][0].id == other
        assert store.get([row]).ids == []
    with open_store(folder) as store:
        assert store.get([other]).frame["thumbnail"].len() == 1


def test_no_file_holds_anything_of_many_rows_that_a_filter_removed(folder: Path) -> None:
    with filled(folder) as store:
        where = Filter(since=38.0, until=81.0)  # the whole middle part, and some of the others
        doomed = store.frame(where)["id"].to_list()
        left = [traces(store, row) for row in doomed]
        assert len(doomed) > PART * 0.9
        assert store.remove(where) == len(doomed)
        for one in left:
            assert seen(folder, {k: one[k] for k in ("thumbnail", "vector", "id")}) == set()
        assert store.count() == 3 * PART - len(doomed)
        rest = store.frame()["id"].to_list()
        assert store.get(rest).ids == rest
        assert store.remove(Filter()) == len(rest)
        assert store.count() == 0
        assert store.add(photographed(5)) == 5


def test_versions_of_a_time_to_come_go_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # LanceDB then spares them, as it does those that a clock wrote which was set back since.
    monkeypatch.setattr(lance_purge, "timedelta", lambda _: timedelta(days=1))
    folder = tmp_path / "people.lance"
    with filled(folder) as store:
        row, other = "row-0000045", "row-0000046"
        left, kept = traces(store, row), traces(store, other)
        store.optimize()
        assert {"thumbnail", "vector"} <= seen(folder, left)
        assert store.remove_ids([row]) == 1
        assert seen(folder, left) == set()
        assert {"thumbnail", "vector"} <= seen(folder, kept)
        assert len(list(folder.glob("rows.lance/_versions/*.manifest"))) == 1
    with open_store(folder) as store:
        assert store.count() == 3 * PART - 1
        assert store.add(photographed(2, start=500)) == 2


def _index_folders(folder: Path) -> set[Path]:
    return {path for path in folder.glob("rows.lance/_indices/*") if any(path.iterdir())}


@pytest.mark.parametrize("first", [500, 50 * PART], ids=["rows", "a whole fragment"])
def test_the_indexes_forget_what_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(lance_index, "COLUMNS_INDEXED_FROM", 100)
    folder = tmp_path / "people.lance"
    with filled(folder, parts=50) as store:
        store.optimize()
        store.add(photographed(PART, start=50 * PART))
        store._table.optimize()
        before = _index_folders(folder)
        store.remove(Filter(since=float(first)))
        assert not before & _index_folders(folder)
        assert len(_index_folders(folder)) == 5
        stats = store._table.index_stats("id_idx")
        assert (stats.num_indices, stats.num_indexed_rows) == (1, store.count())
        row = store.get(["row-0000007"])
        assert store.search(row.vectors, 1)[0][0].id == "row-0000007"
        store.remove(Filter())
        assert _index_folders(folder) == set()
        store.add(photographed(PART))
        assert store.search(row.vectors, 1)[0][0].id == "row-0000007"


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_whoever_reads_meanwhile_sees_the_new_state_and_no_error(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / ENDINGS[kind]
    failed: list[BaseException] = []
    begun, over = Event(), Event()
    with filled(folder) as store, open_store(folder) as reader:
        query = store.get(["row-0000003"]).vectors

        def read() -> None:
            try:
                while not over.is_set():
                    reader.search(query, 5)
                    reader.get(["row-0000003", "row-0000044"])
                    reader.page(limit=3)
                    reader.count(Filter(cams=frozenset({1})))
                    begun.set()
            except BaseException as error:
                failed.append(error)
                begun.set()

        reading = Thread(target=read)
        reading.start()
        begun.wait()
        for number in range(40, 50):
            row = f"row-{number:07}"
            assert store.remove_ids([row]) == 1
            assert reader.get([row]).ids == []
            assert row not in reader.frame()["id"].to_list()
        over.set()
        reading.join()
        assert failed == []
        assert reader.count() == store.count()


def test_whoever_reads_everything_meanwhile_gets_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "people.lance"
    with filled(folder, parts=80) as store, open_store(folder) as reader:
        batches = reader.batches(10)  # more files than are opened at once
        next(batches)
        store.remove(Filter())
        with pytest.raises(GalleryError, match=r"were removed from .* while all of it was read"):
            list(batches)


KILLED = """
import os, signal, sys
import crosslight.gallery.stores.{module} as module
from pathlib import Path
from tests.gallery.test_removal import filled

calls = 0
done = module.{function}

def killing(*arguments, **options):
    global calls
    calls += 1
    if calls == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return done(*arguments, **options)

store = filled(Path(sys.argv[1]))
if sys.argv[1].endswith(".lance"):
    store.optimize()
module.{function} = killing
store.remove_ids(["row-0000005", "row-0000045", "row-0000085"])
"""


@pytest.mark.parametrize(
    ("kind", "module", "function", "call"),
    [
        ("lance", "lance.store", "purge", 1),
        *(("lance", "lance.purge", "_without_older", call) for call in (1, 2)),
        ("lance", "lance.store", "unmark", 1),
        ("exact", "exact", "_write_parquet", 2),
        ("exact", "exact", "unmark", 1),
        ("milvus", "milvus.store", "to_milvus", 1),
        ("milvus", "milvus.store", "MilvusClient.drop_collection", 1),
        *(("milvus", "milvus.store", "MilvusClient.rename_collection", call) for call in (1, 2)),
    ],
)
def test_a_removal_that_is_killed_is_finished_by_whoever_comes_next(
    tmp_path: Path, kind: str, module: str, function: str, call: int
) -> None:
    if kind == "milvus":
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    folder = tmp_path / ENDINGS[kind]
    doomed = ["row-0000005", "row-0000045", "row-0000085"]
    code = KILLED.format(module=module, function=function, call=call)
    ended = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    with open_store(folder) as store:
        assert store.get(doomed).ids == []
        assert store.count() == 3 * PART - 3
        assert {hit.id for hit in store.search(made_up(1).vectors, 200)[0]}.isdisjoint(doomed)
        assert marked(folder) is None
        for row in doomed:
            number = int(row.removeprefix("row-"))
            part = photographed(PART, start=number - number % PART)
            made = part.frame.row(number % PART, named=True)
            text = base64.b64encode(made["thumbnail"])
            left = {"thumbnail": made["thumbnail"], "text": text, "id": row.encode()}
            assert seen(folder, left) == set()
        assert store.add(photographed(3, start=200)) == 3


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_a_removal_that_another_process_is_at_is_left_to_it(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / ENDINGS[kind]
    with filled(folder) as store:
        mark(folder, Mark(ids=("row-0000005",)))
        with open_store(folder) as reader:
            assert reader.count() == 3 * PART
        assert marked(folder) is not None
        store.close()
        with open_store(folder):
            assert marked(folder) is None


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_a_removal_killed_before_its_first_step_is_finished(tmp_path: Path, kind: str) -> None:
    folder, doomed = tmp_path / ENDINGS[kind], ("row-0000005", "row-0000085")
    filled(folder).close()
    said = Mark(ids=doomed) if kind == "exact" else Mark(where=among_ids(doomed))
    mark(folder, said)
    with open_store(folder) as store:
        assert store.get(list(doomed)).ids == []
        assert store.count() == 3 * PART - 2
    assert marked(folder) is None


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_what_killed_processes_left_half_written_goes_with_the_rows(
    tmp_path: Path, kind: str
) -> None:
    folder, doomed = tmp_path / ENDINGS[kind], ["row-0000005", "row-0000045", "row-0000085"]
    code = KILLED.format(module="removal", function="replace", call=1)
    code = code.replace("module.", "module.Path.")
    ended = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    (half,) = folder.glob(".removal.json.*.part")
    assert doomed[0] in half.read_text()
    with open_store(folder) as store:
        assert store.count() == 3 * PART
        left = traces(store, doomed[0])
        if kind == "lance":  # as LanceDB leaves it where an add or a compaction is killed
            (folder / "rows.lance" / "data" / ".tmpDjgGyP").write_bytes(b"".join(left.values()))
        assert store.remove_ids(doomed) == 3
    assert seen(folder, left) == set()


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_what_killed_processes_left_half_written_goes_with_maintenance_too(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / ENDINGS[kind]
    with filled(folder) as store:
        before = sum(path.name.startswith(".") for path in folder.rglob("*"))
        for left in (".tmpDjgGyP", ".store.json.x.part"):
            (folder / left).write_bytes(b"half of it")
        store.optimize()
        assert store.count() == 3 * PART
        assert sum(path.name.startswith(".") for path in folder.rglob("*")) == before


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_rows_that_another_process_added_meanwhile_are_removed_too(
    tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / ENDINGS[kind]
    filled(folder).close()
    one = Filter(cams=frozenset({int(photographed(1).frame["cam"][0])}))
    with open_store(folder) as early:
        before = early.count(one)
        with open_store(folder) as other:
            other.add(photographed(PART, start=3 * PART))
            assert other.count(one) > before
        assert early.remove(one) > before
        assert early.count(one) == 0


@pytest.mark.parametrize("kind", ["exact", "lance"])
@pytest.mark.parametrize("content", ["{}", "[1]", "{", '{"ids": 5}', '{"ids": [], "where": 3}'])
def test_a_mark_that_says_nothing_is_a_sentence(tmp_path: Path, kind: str, content: str) -> None:
    folder = tmp_path / ENDINGS[kind]
    filled(folder).close()
    (folder / "removal.json").write_text(content)
    with pytest.raises(GalleryError, match="removal was cut off, but not of which rows"):
        open_store(folder)


def test_what_a_killed_writer_left_half_written_goes_too(tmp_path: Path) -> None:
    folder = tmp_path / "people.exact"
    with filled(folder) as store:
        left = traces(store, "row-0000005")
        segment = next(folder.glob("rows-*.parquet"))
    (folder / f".{segment.name}.ab12.part").write_bytes(segment.read_bytes())
    with open_store(folder) as store:
        store.remove_ids(["row-0000005"])
    assert seen(folder, left) == set()
