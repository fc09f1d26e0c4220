"""A copy is whole, verified, and of one moment, whatever others write meanwhile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from crosslight.cli import main
from crosslight.errors import GalleryError
from crosslight.gallery import copying
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.people.names import names_of
from crosslight.gallery.people.people import describe, find, merge
from crosslight.gallery.stores.ledger import CAMERA, PERSON
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import Filter, Rows
from crosslight.gallery.stores.store import Store
from tests.gallery.rows import INFO, made_up
from tests.gallery.writer import BATCH, name_of

PARTS = {"exact": 8, "lance": 80}
"""Files; of LanceDB's more than are opened at once."""
PART = 10


@pytest.mark.parametrize("kinds", [("exact", "lance"), ("lance", "exact"), ("lance", "lance")])
def test_a_copy_is_complete_and_verified(tmp_path, kinds):
    source, target = (tmp_path / f"{n}.{kind}" for n, kind in enumerate(kinds))
    with create_like(source, INFO) as a, create_like(target, INFO) as b:
        a.add(made_up(70))
        a.set_calibration({"false_match_rate": 0.1})
        b.add(made_up(20))  # an earlier copy was cut off
        done = copy_rows(a, b)
        assert (done.rows, done.added) == (70, 50)
        assert b.info == a.info
        assert copy_rows(b, a).checksum == done.checksum


def test_a_copy_that_differs_is_told(tmp_path):
    with create_like(tmp_path / "a.exact", INFO) as a, create_like(tmp_path / "b.exact", INFO) as b:
        a.add(made_up(20))
        b.add(made_up(20, seed=1))  # the same ids, other people
        with pytest.raises(GalleryError, match=r"Vectors of .* differ"):
            copy_rows(a, b)


@pytest.mark.parametrize("what", ["Person", "Camera"])
def test_a_number_that_is_another_in_the_target_is_refused(tmp_path: Path, what: str) -> None:
    kind, column = (PERSON, "pid") if what == "Person" else (CAMERA, "cam")

    def name(store: Store, number: int, called: str) -> None:
        with store.ledger.changing() as changes:
            changes.put(kind, str(number), {"name": called, "note": ""})

    with create_like(tmp_path / "a.exact", INFO) as a, create_like(tmp_path / "b.exact", INFO) as b:
        a.add(made_up(20))
        rows, number = made_up(20, start=100), 2
        same = rows.frame.with_columns(pl.lit(number).cast(rows.frame[column].dtype).alias(column))
        b.add(Rows(frame=same, vectors=rows.vectors))
        assert number in a.frame()[column].to_list()
        name(a, number, "Anna")
        name(b, number, "Bob")
        told = f"{what} {number} is called Anna in .*a.exact and Bob in .*b.exact, which has images"
        with pytest.raises(GalleryError, match=told):
            copy_rows(a, b)
        assert b.count() == 20
        name(b, number, "anna")  # one, as somebody says
        assert copy_rows(a, b).added == 20
        name(a, number, "Anna Smith")  # the target's rows of that number are the source's
        b.remove_ids(made_up(20, start=100).ids)
        assert copy_rows(a, b).added == 0


@pytest.fixture(params=["exact", "lance"])
def source(request, tmp_path: Path, monkeypatch) -> str:
    """A store of many files."""
    monkeypatch.setattr(copying, "BATCH", PART)
    location = str(tmp_path / f"people.{request.param}")
    with create_like(location, INFO) as store:
        for part in range(PARTS[request.param]):
            store.add(made_up(PART, start=part * PART))
    return location


def answers(store: Store, ids: list[str]) -> list[list[tuple[str, float]]]:
    hits = store.search(store.get(ids).vectors, 8, exact=True)
    return [[(hit.id, round(hit.distance, 6)) for hit in found] for found in hits]


def test_what_others_add_label_and_remove_meanwhile(source: str, tmp_path: Path) -> None:
    """Of one moment: nothing of what was added; and nothing of what was removed."""
    gone = [f"row-{n:07}" for n in (3, 25, 33, 79)]
    relabelled = f"row-{44:07}"
    with open_store(source) as store:
        before = store.frame()
    others_turn = iter(range(1_000))

    def others_write(_: int) -> None:
        turn = next(others_turn)
        if turn > 3:
            return
        with open_store(source) as other:
            other.add(made_up(1, start=10_000 + turn))
            if turn == 1:
                rows = other.get([relabelled])
                named = rows.frame.with_columns(pl.lit(77, pl.Int64).alias("pid"))
                other.update(type(rows)(frame=named, vectors=rows.vectors))
            if turn == 2:
                assert other.remove_ids(gone) == len(gone)

    target = tmp_path / "backup.lance"
    with open_store(source) as store, create_like(target, INFO) as copy:
        done = copy_rows(store, copy, advance=others_write)
        assert next(others_turn) > 3
        # After a removal a reader of many files begins again, and sees what was added until then.
        late = {row for row in copy.frame()["id"] if row >= f"row-{10_000:07}"}
        assert bool(late) == (store.kind == "lance")
        expected = set(before["id"]) - set(gone)
        assert set(copy.frame()["id"]) - late == expected
        assert (done.rows, done.added, done.others) == (len(expected | late),) * 2 + (0,)
        kept = copy.labels([relabelled])["pid"][0]
        assert kept in {77, before.filter(pl.col("id") == relabelled)["pid"][0]}


def test_a_backup_taken_while_another_process_enrols_is_restored_and_answers_the_same(
    tmp_path: Path,
) -> None:
    location, backup, restored = (str(tmp_path / f"{n}.lance") for n in ("a", "b", "c"))
    create_like(location, INFO).close()
    command = [sys.executable, "-m", "tests.gallery.writer", location, str(40 * BATCH), "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def write_on(_: int = 0) -> None:
            writer.stdin.write("go on\n")
            writer.stdin.flush()
            writer.stdout.readline()

        for _ in range(10):
            write_on()
        with open_store(location) as store, create_like(backup, INFO) as copy:
            done = copy_rows(store, copy, advance=write_on)
            assert done.rows >= 10 * BATCH
            assert store.count() > done.rows  # it has been written to meanwhile
        writer.stdin.close()
        writer.stdout.read()
    assert writer.returncode == 0
    main(["gallery", "copy", backup, restored])
    of_that_moment = [name_of(number) for number in range(done.rows)]
    with (
        open_store(location) as store,
        open_store(restored) as again,
        create_like(tmp_path / "moment.lance", INFO) as moment,
    ):
        moment.add(store.get(of_that_moment))
        assert again.frame()["id"].to_list() == of_that_moment
        assert answers(again, of_that_moment[::20]) == answers(moment, of_that_moment[::20])


def test_rows_that_only_the_target_has_are_told(tmp_path: Path, capsys) -> None:
    source, target = str(tmp_path / "a.exact"), str(tmp_path / "b.exact")
    with create_like(source, INFO) as store:
        store.add(made_up(20))
    main(["gallery", "copy", source, target])
    assert "only in" not in capsys.readouterr().out
    main(["gallery", "remove", source, "--id", "row-0000003"])
    capsys.readouterr()
    main(["gallery", "copy", source, target])
    assert f"1 more rows are only in {target}" in capsys.readouterr().out


def test_names_are_those_of_the_moment_of_the_rows(source: str, tmp_path: Path) -> None:
    """Whoever is merged meanwhile has a name in the copy, whoever is removed has none."""
    with open_store(source) as store:
        pids = sorted(store.frame()["pid"].drop_nulls().unique().to_list())[1:4]
        for pid, called in zip(pids, ("Anna", "Ben", "Carl"), strict=True):
            describe(store, pid, name=called)
    others_turn = iter(range(1_000))

    def others_write(_: int) -> None:
        if next(others_turn) == 0:
            with open_store(source) as other:
                merge(other, [find(other, called) for called in ("Ben", "Anna")])
                other.remove(Filter(pids=frozenset({pids[2]})))

    with open_store(source) as store, create_like(tmp_path / "copy.lance", store.info) as copy:
        copy_rows(store, copy, advance=others_write)
    with open_store(tmp_path / "copy.lance") as copy:
        people = set(copy.frame()["pid"].drop_nulls().to_list())
        names = names_of(copy).people
        assert pids[2] not in people
        assert {pid: names[pid] for pid in people & set(pids)} == names
        assert "Carl" not in names.values()
        assert b"Carl" not in (tmp_path / "copy.lance" / "people.sqlite").read_bytes()


def test_why_a_target_cannot_be_opened_is_told(tmp_path: Path, capsys) -> None:
    source, target = tmp_path / "a.exact", tmp_path / "b.exact"
    create_like(source, INFO).close()
    create_like(target, INFO).close()
    (target / "store.json").write_text("{")
    with pytest.raises(SystemExit):
        main(["gallery", "copy", str(source), str(target)])
    said = capsys.readouterr().err
    assert "store.json" in said
    assert "another name" not in said


def test_nothing_is_made_where_a_milvus_store_is_not(tmp_path: Path) -> None:
    pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    folder = tmp_path / "b.milvus"
    folder.mkdir()
    with pytest.raises(GalleryError, match="There is no store at"):
        open_store(folder)
    assert list(folder.iterdir()) == []
    create_like(folder, INFO).close()
    with open_store(folder) as store:
        assert store.count() == 0
