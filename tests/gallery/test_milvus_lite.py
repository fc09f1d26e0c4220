"""What killed processes leave in a Milvus Lite file does not keep its store from opening."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from crosslight.gallery.stores.complaints import StoreClosedError
from crosslight.gallery.stores.opening import create_like, open_store
from tests.gallery.rows import INFO, made_up
from tests.unprivileged import as_nobody

pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")

from crosslight.gallery.stores.description import LITE_FILE
from crosslight.gallery.stores.milvus.store import GONE, KEPT, _row_schema

ROWS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "people.milvus"
    with create_like(folder, INFO) as store:
        store.add(made_up(ROWS))
        store.optimize()
    return folder


def collection(folder: Path, name: str = "people") -> Path:
    return folder / LITE_FILE / "collections" / name


def indexes(folder: Path) -> list[Path]:
    return sorted(collection(folder).glob("partitions/*/indexes/*.idx"))


def assert_whole(folder: Path) -> None:
    with open_store(folder) as store:
        assert store.count() == ROWS
        assert len(store.search(made_up(1).vectors, 2 * ROWS)[0]) == ROWS
        assert store.add(made_up(3, start=ROWS)) == 3
        assert store.remove_ids(made_up(3, start=ROWS).ids) == 3
        assert store.count() == ROWS
    assert {path.name for path in collection(folder).parent.iterdir()} == {"people", "people_info"}


@pytest.mark.parametrize("left", [0, 5, 100, 0.5, 0.999])
def test_a_half_written_index_is_made_again(folder: Path, left: float) -> None:
    (index,) = indexes(folder)
    whole = index.read_bytes()
    index.write_bytes(whole[: left if isinstance(left, int) else int(left * len(whole))])
    with open_store(folder):
        assert index.read_bytes() == whole
    assert_whole(folder)


def test_a_whole_index_is_not_made_again(folder: Path) -> None:
    (index,) = indexes(folder)
    os.utime(index, (1, 1))
    with open_store(folder):
        assert index.stat().st_mtime == 1


@pytest.mark.parametrize("left", ["both logs", "what was added", "what was removed"])
def test_rows_that_are_in_their_file_are_not_read_from_the_log_again(
    folder: Path, tmp_path: Path, left: str
) -> None:
    extra, log, kept = made_up(7, start=ROWS), collection(folder) / "wal", tmp_path / "kept"
    with open_store(folder) as store:
        store.add(extra)
        store._client.delete("people", filter='name == "row-0000003"')
        shutil.copytree(log, kept)
        store.optimize()
        count = store.count()
    for path in kept.iterdir():
        if left == "both logs" or ("data" in path.name) == (left == "what was added"):
            shutil.copy(path, log)
    assert list(log.iterdir())
    with open_store(folder) as store:
        assert store.count() == count == ROWS + 6
        store.add(made_up(1, start=ROWS + 10))
        store.optimize()
        assert store.count() == count + 1


def test_a_log_whose_rows_are_in_no_file_is_read(folder: Path, tmp_path: Path) -> None:
    cut_off = tmp_path / "cut_off.milvus"
    with open_store(folder) as store:
        store.add(made_up(7, start=ROWS))
        shutil.copytree(folder, cut_off)
    with open_store(cut_off) as store:
        assert store.count() == ROWS + 7


def test_a_collection_that_was_half_made_or_half_dropped_is_no_obstacle(folder: Path) -> None:
    collection(folder, KEPT).mkdir()
    shutil.copytree(collection(folder), collection(folder, GONE))
    (collection(folder, GONE) / "schema.json").unlink()
    assert_whole(folder)


def test_a_removal_killed_while_the_old_rows_are_dropped_is_finished(folder: Path) -> None:
    shutil.copytree(collection(folder), collection(folder, GONE))
    for path in collection(folder, GONE).glob("partitions/*/data/*"):
        path.unlink()
    assert_whole(folder)


def test_a_removal_killed_before_its_index_is_made_keeps_the_distance(tmp_path: Path) -> None:
    folder = tmp_path / "people.milvus"
    with create_like(folder, replace(INFO, distance="euclidean")) as store:
        store.add(made_up(ROWS))
        before = store.search(made_up(1).vectors, ROWS)
        store._client.create_collection(KEPT, schema=_row_schema(store._client, INFO))
    with open_store(folder) as store:
        (name,) = store._client.list_indexes("people")
        assert store._client.describe_index("people", name)["metric_type"] == "L2"
        assert store.search(made_up(1).vectors, ROWS) == before


STATS = "from crosslight.cli import main; import sys; main(['gallery', 'stats', sys.argv[1]])"


def test_another_process_is_told_that_a_file_is_open(folder: Path) -> None:
    def stats() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", STATS, str(folder)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with open_store(folder) as store:
        with open_store(folder) as other:  # in one process there may be several
            assert other.count() == ROWS
        (index,) = indexes(folder)
        half = index.read_bytes()[:100]
        index.write_bytes(half)
        refused = stats()
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"Another process has {folder} open" in refused.stderr
        assert "damaged" not in refused.stderr
        assert index.read_bytes() == half
        assert store.count() == ROWS
        store.close()  # and once more below
        told = stats()
        assert told.returncode == 0, told.stderr
        assert str(ROWS) in told.stdout


def test_a_store_that_is_closed_to_this_user_is_not_called_open_elsewhere(reachable: Path) -> None:
    folder = reachable / "people.milvus"
    create_like(folder, INFO).close()
    (folder / LITE_FILE / "LOCK").chmod(0o400)
    with as_nobody(), pytest.raises(StoreClosedError, match=r"cannot be used \(Permission denied"):
        open_store(folder)
