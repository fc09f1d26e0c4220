"""The scan beside a LanceDB table: used where it is right, never where it is not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import lancedb
import numpy as np
import pytest
from lancedb.index import IvfRq

from crosslight.errors import GalleryError
from crosslight.gallery.stores.lance import flat_scan, scan_files
from crosslight.gallery.stores.lance import scan as lance_scan
from crosslight.gallery.stores.lance.store import LanceStore
from crosslight.gallery.stores.rows import Filter, Rows
from crosslight.gallery.stores.store import Store
from tests.gallery.rows import INFO, made_up
from tests.gallery.test_removal import photographed, seen, traces

pytest.importorskip("turbovec", reason="say: pip install 'crosslight[gallery]'")

SCANNED_FROM = lance_scan.SCANNED_FROM  # tests lower it

ROWS = 120
FILTERS = (
    Filter(),
    Filter(cams=frozenset({2}), since=30.0),
    Filter(modalities=frozenset({1}), not_ids=frozenset({"row-0000003"})),
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A scan pays for few rows, and codes choose among them."""
    monkeypatch.setattr(lance_scan, "SCANNED_FROM", 50)
    monkeypatch.setattr(flat_scan, "CANDIDATES", 60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LanceStore]:
    with LanceStore.create(tmp_path / "people.lance", INFO) as made:
        made.add(photographed(ROWS))
        made.optimize()
        assert is_scanned(made)
        yield made


def is_scanned(store: LanceStore) -> bool:
    """Whether the scan answers."""
    return store._scan.search(made_up(1).vectors, 3, Filter()) is not None


def assert_right(store: Store) -> None:
    """Whoever answers, the answer is the table's; to the last rows too, which may be left out."""
    last = store.get(store.frame()["id"].to_list()[-15::2]).vectors
    queries = np.concatenate([made_up(4, seed=5).vectors, last])
    for where in FILTERS:
        quick = store.search(queries, 8, where)
        exact = store.search(queries, 8, where, exact=True)
        assert [[hit.id for hit in hits] for hits in quick] == [
            [hit.id for hit in hits] for hits in exact
        ]
        for found, expected in zip(quick, exact, strict=True):
            np.testing.assert_allclose(
                [h.distance for h in found], [h.distance for h in expected], atol=1e-5
            )
            assert [(h.pid, h.cam, h.time, h.track, h.path) for h in found] == [
                (h.pid, h.cam, h.time, h.track, h.path) for h in expected
            ]


def generation(store: LanceStore) -> str:
    (found,) = (path.name for path in (Path(store.location) / "scan").iterdir() if path.is_dir())
    return found


@pytest.mark.parametrize("distance", ["cosine", "euclidean", "dot"])
def test_answers_as_the_table_does(tmp_path, distance):
    info = INFO.from_plain({**INFO.to_plain(), "distance": distance}, where="here")
    with LanceStore.create(tmp_path / "people.lance", info) as store:
        store.add(made_up(ROWS))
        assert not is_scanned(store)
        assert "a search compares the codes of all" in store.optimize()
        assert is_scanned(store)
        assert_right(store)


def test_a_commit_takes_it_along_and_readers_follow(store):
    with LanceStore(Path(store.location)) as reader:
        assert is_scanned(reader)
        first = generation(store)
        for number in range(12):
            assert store.add(photographed(2, start=ROWS + 2 * number)) == 2
            assert is_scanned(reader)
            assert_right(reader)
        rows = store.get(["row-0000007", "row-0000122"])
        other = Rows(frame=rows.frame.with_columns(cam=9), vectors=rows.vectors[::-1])
        assert store.update(other) == 2
        assert is_scanned(reader)
        assert_right(reader)
        (hit,) = reader.search(rows.vectors[:1], 1, Filter(cams=frozenset({9})))[0]
        assert hit.id == "row-0000122"
        assert generation(store) == first
        store.optimize()  # leaves out what was replaced
        assert generation(store) != first
        second = generation(store)
        store.optimize()
        assert generation(store) == second
        assert is_scanned(reader)
        assert_right(reader)
    with LanceStore(Path(store.location)) as late:
        assert is_scanned(late)
        assert_right(late)


def test_compaction_between_commits_takes_it_along(store, monkeypatch):
    monkeypatch.setattr("crosslight.gallery.stores.lance.index.PARTS_AT_MOST", 2)
    first = generation(store)
    for number in range(5):
        store.add(photographed(1, start=ROWS + number))
        assert is_scanned(store)
    assert generation(store) == first
    assert_right(store)


def test_nothing_of_a_removed_row_stays_and_it_is_made_again(store):
    folder = Path(store.location)
    left = traces(store, "row-0000045")
    raw = {name: left[name] for name in ("vector", "id", "path")}
    assert seen(folder / "scan", raw) == set(raw)
    with LanceStore(folder) as reader:
        assert is_scanned(reader)
        store.remove_ids(["row-0000045"])
        assert seen(folder, left) == set()
        assert is_scanned(store)
        assert is_scanned(reader)
        assert_right(reader)
        store.remove(Filter(since=40.0))
        assert not (folder / "scan").exists()
        assert_right(reader)


def test_a_reader_whose_scan_is_taken_away_does_not_go_on_with_it(store):
    """Between the first step of a removal and the last, whatever the table's versions say."""
    with LanceStore(Path(store.location)) as reader:
        assert is_scanned(reader)
        store._scan.drop()
        assert not is_scanned(reader)
        assert_right(reader)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.delete("id = 'row-0000003'"),
        lambda table: table.update(where="id = 'row-0000003'", values={"cam": 2}),
    ],
    ids=["delete", "update"],
)
def test_a_change_by_another_program_is_seen_and_mended_by_the_next_commit(store, change):
    with LanceStore(Path(store.location)) as reader:
        assert is_scanned(reader)
        change(lancedb.connect(store.location).open_table("rows"))
        assert not is_scanned(reader)
        assert_right(reader)
        store.add(photographed(1, start=500))
        assert is_scanned(reader)
        assert_right(reader)


def test_a_copied_folder_has_it_and_a_table_put_back_alone_has_not(store, tmp_path):
    folder = Path(store.location)
    copy = shutil.copytree(folder, tmp_path / "copy.lance")
    store.add(photographed(5, start=ROWS))
    store.close()
    with LanceStore(copy) as copied:
        assert is_scanned(copied)
        assert_right(copied)
        copied.add(photographed(7, start=300))  # the same number of versions, other rows
    with LanceStore(folder) as opened:
        assert is_scanned(opened)
        shutil.rmtree(folder / "rows.lance")
        shutil.copytree(copy / "rows.lance", folder / "rows.lance")
        assert not is_scanned(opened)
    with LanceStore(folder) as opened:
        assert not is_scanned(opened)
        assert_right(opened)
        opened.optimize()
        assert is_scanned(opened)
        assert_right(opened)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), 997):
        content[place] ^= 4
    path.write_bytes(content)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [cut, flipped, a_folder, Path.unlink])
@pytest.mark.parametrize("opened", [True, False], ids=["while it is open", "before"])
def test_damage_of_any_file_changes_no_answer_and_is_mended(tmp_path, damage, opened):
    whole = tmp_path / "whole.lance"
    with LanceStore.create(whole, INFO) as store:
        store.add(photographed(ROWS))
        store.optimize()
        store.update(store.get(["row-0000004"]))
        store.add(photographed(6, start=ROWS))
    files = [path.relative_to(whole) for path in (whole / "scan").rglob("*") if path.is_file()]
    assert len(files) == 6
    for number, file in enumerate(files):
        folder = shutil.copytree(whole, tmp_path / f"{number}.lance")
        if opened:
            with LanceStore(folder) as reader:
                assert is_scanned(reader)
                damage(folder / file)
                assert_right(reader)
        else:
            damage(folder / file)
        with LanceStore(folder) as store:
            assert_right(store)
            store.add(photographed(3, start=200))
            assert_right(store)
            assert "a search compares the codes of all" in store.optimize()
            assert is_scanned(store)
            assert_right(store)


KILLED = """
import os, signal, sys
from pathlib import Path
from crosslight.gallery.stores.lance import flat_scan, scan_codes, scan_files
from crosslight.gallery.stores.lance import scan as lance_scan
from crosslight.gallery.stores.lance.store import LanceStore
from tests.gallery.test_removal import photographed

lance_scan.SCANNED_FROM = 50
calls = 0
done = {module}.{function}

def killing(*arguments, **options):
    global calls
    calls += 1
    if calls == {call}:
        if {half}:
            path, length, content = arguments
            done(path, length, content[:len(content) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    return done(*arguments, **options)

store = LanceStore(Path(sys.argv[1]))
{module}.{function} = killing
{deed}
"""
DEEDS = {
    "add": "store.add(photographed(10, start=120))",
    "update": "store.update(store.get(['row-0000005', 'row-0000045']))",
    "remove": "store.remove_ids(['row-0000005', 'row-0000045'])",
    "optimize": "store.update(store.get(['row-0000005'])); calls = 0; store.optimize()",
}


@pytest.mark.parametrize(
    ("deed", "function", "call", "half"),
    [
        ("add", "flat_scan.extend", 1, False),
        *(("add", "scan_files._append", call, True) for call in (1, 2, 3)),
        ("add", "scan_files.write_state", 1, False),
        *(("update", "scan_files._append", call, True) for call in (1, 2, 4)),
        ("update", "scan_files.write_state", 1, False),
        ("remove", "scan_files.drop", 1, False),
        ("remove", "scan_files.drop", 2, False),
        ("remove", "flat_scan.build", 1, False),
        ("remove", "scan_files.write_state", 1, False),
        ("optimize", "scan_files.drop", 1, False),
        ("optimize", "scan_codes.write", 1, False),
        ("optimize", "scan_files.write_state", 1, False),
    ],
)
def test_a_kill_loses_nothing_and_brings_nothing_back(store, deed, function, call, half):
    folder = Path(store.location)
    store.close()
    module, _, name = function.partition(".")
    code = KILLED.format(module=module, function=name, call=call, half=half, deed=DEEDS[deed])
    ended = subprocess.run([sys.executable, "-c", code, folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    doomed = {"row-0000005", "row-0000045"} if deed == "remove" else set()
    with LanceStore(folder) as opened:
        assert_right(opened)
        ids = set(opened.frame()["id"])
        assert len(ids) == ROWS - len(doomed) + (10 if deed == "add" else 0)
        for row in doomed:
            assert opened.search(made_up(60).vectors[int(row[4:])], 1)[0][0].id != row
            assert seen(folder, {"id": row.encode()}) == set()
        assert opened.add(photographed(5, start=400)) == 5
        assert_right(opened)
        opened.optimize()
        assert is_scanned(opened)
        assert_right(opened)


def test_whoever_searches_meanwhile_never_sees_what_was_removed(store):
    failed: list[BaseException] = []
    begun, over = Event(), Event()
    gone: set[str] = set()
    with LanceStore(Path(store.location)) as reader:

        def read() -> None:
            try:
                while not over.is_set():
                    before = set(gone)
                    found = {hit.id for hit in reader.search(made_up(1).vectors, 200)[0]}
                    assert not found & before
                    begun.set()
            except BaseException as error:
                failed.append(error)
                begun.set()

        threads = [Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        begun.wait()
        for number in range(6):
            store.add(photographed(3, start=ROWS + 3 * number))
            store.remove_ids([f"row-{number:07}"])
            gone.add(f"row-{number:07}")
        over.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert_right(reader)


def test_without_turbovec_the_table_answers_and_optimize_says_so(store, monkeypatch):
    store.close()
    monkeypatch.setitem(sys.modules, "turbovec", None)
    with LanceStore(Path(store.location)) as opened:
        assert not is_scanned(opened)
        assert_right(opened)
        opened.add(photographed(5, start=ROWS))
        assert "compares with all of them: turbovec is not installed" in opened.optimize()
        assert not (Path(store.location) / "scan").exists()
        assert_right(opened)
        opened.remove_ids(["row-0000003"])
        assert_right(opened)


def test_a_disk_that_is_full_costs_the_scan_and_no_row(store, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(scan_files, "_append", full)
        patch.setattr(flat_scan, "build", full)
        assert store.add(photographed(5, start=ROWS)) == 5
        assert not is_scanned(store)
        assert_right(store)
        store.remove_ids(["row-0000004"])
        assert store.count() == ROWS + 4
        with pytest.raises(GalleryError, match="No space left on the disk"):
            store.optimize()
    store.optimize()
    assert is_scanned(store)
    assert_right(store)


def test_a_store_of_before_answers_and_loses_its_former_index(tmp_path):
    folder = tmp_path / "people.lance"
    with LanceStore.create(folder, INFO) as store:
        store.add(photographed(600))
        lists = IvfRq(distance_type="cosine", num_partitions=4, num_bits=1)
        store._table.create_index("vector", config=lists, name="vector_idx")
        (folder / "index.json").write_text("{}")
    with LanceStore(folder) as store:
        assert_right(store)
        store.add(photographed(5, start=600))
        store.remove_ids(["row-0000003"])
        assert_right(store)
        store.optimize()
        assert "vector_idx" not in {index.name for index in store._table.list_indices()}
        assert not (folder / "index.json").exists()
        assert is_scanned(store)
        assert_right(store)


def test_pages_say_from_how_many_rows_on_a_scan_is_kept():
    stated = f"from {SCANNED_FROM:,} rows on"
    for page in ("gallery.md", "operations.md"):
        text = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8")
        assert {found.lower() for found in re.findall(r"(?i)from [\d,]+ rows on", text)} == {stated}
