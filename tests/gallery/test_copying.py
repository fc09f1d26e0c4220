"""A copy is whole, verified, and of one moment, whatever others write meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crosslight.cli import main
from crosslight.errors import GalleryError
from crosslight.gallery import copying
from crosslight.gallery.candidates import Candidate
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.people.marks import Query, keep_mark
from crosslight.gallery.people.names import names_of, numbered
from crosslight.gallery.people.people import describe, find, merge
from crosslight.gallery.stores.ledger import CAMERA, MARK, PERSON, TRACK, digest
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import Filter, Rows, build_rows
from crosslight.gallery.stores.store import Store
from tests.gallery.rows import INFO, MODEL, made_up
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
        told = f"{what} {number} is called Anna in .*a.exact and called Bob in .*b.exact, which has"
        with pytest.raises(GalleryError, match=told):
            copy_rows(a, b)
        assert b.count() == 20
        name(b, number, "anna")  # one, as somebody says
        assert copy_rows(a, b).added == 20
        name(a, number, "Anna Smith")  # the target's rows of that number are the source's
        b.remove_ids(made_up(20, start=100).ids)
        assert copy_rows(a, b).added == 0


def people(track: str, *pids: int | None) -> Rows:
    """A row for each, of a track and a camera of its own."""
    columns = {
        "id": [f"{track}-{n}" for n in range(len(pids))],
        "pid": list(pids),
        "track": [f"{track}{n}" for n in range(len(pids))],
    }
    vectors = np.random.default_rng(len(track)).normal(size=(len(pids), INFO.dim))
    return build_rows(columns, vectors, model=MODEL)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Two empty stores."""
    with create_like(tmp_path / "a.exact", INFO) as a, create_like(tmp_path / "b.exact", INFO) as b:
        yield a, b


def test_a_number_that_only_one_store_has_named_or_made_up_is_no_other_there(two) -> None:
    a, b = two
    a.add(people("x", None, None))
    merge(a, [find(a, "x0"), find(a, "x1")])  # person 1, without a name
    b.add(people("yy", 1))
    with pytest.raises(GalleryError, match=r"Person 1 is without a name in .* and without a name"):
        copy_rows(a, b)
    describe(b, 1, name="Bob")
    with pytest.raises(GalleryError, match=r"Person 1 is without a name in .* and called Bob in"):
        copy_rows(a, b)
    with pytest.raises(GalleryError, match=r"Person 1 is called Bob in .* and without a name in"):
        copy_rows(b, a)
    assert (a.count(), b.count()) == (2, 1)


def test_numbers_of_the_data_are_one_in_every_store(two) -> None:
    a, b = two
    a.add(people("x", 1, 2))
    b.add(people("yy", 1, 3))
    assert copy_rows(a, b).added == 2


def test_a_camera_that_one_store_has_made_up_is_no_other_there(two) -> None:
    a, b = two
    rows = people("x", None)
    named = [Candidate(id="x-0", image=Path("x"), path="x", cam="North")]
    (given,) = numbered(a, named)
    cam = pl.lit(given.cam, pl.Int64).alias("cam")
    a.add(Rows(frame=rows.frame.with_columns(cam), vectors=rows.vectors))
    other = people("yy", None)
    b.add(Rows(frame=other.frame.with_columns(cam), vectors=other.vectors))
    with pytest.raises(GalleryError, match=r"Camera 1 is called North in .* and without a name in"):
        copy_rows(a, b)


def test_a_name_that_is_of_another_number_in_the_target_is_refused(two) -> None:
    a, b = two
    a.add(people("x", 1, 2))
    b.add(people("yy", 5))
    describe(a, 2, name="Anna")
    describe(b, 5, name="ANNA")
    with pytest.raises(GalleryError, match="would be the name of person 5 and of person 2 in"):
        copy_rows(a, b)
    assert b.count() == 1
    b.remove_ids(["yy-0"])
    assert copy_rows(a, b).added == 2
    # Names that are given the other way round are two names still.
    for pid, name in ((2, "Bob"), (1, "Anna")):
        describe(a, pid, name=name)
    copy_rows(a, b)
    assert names_of(b).people == {1: "Anna", 2: "Bob"}


def test_a_copy_is_repeated_whoever_was_made_up_and_removed_since(two) -> None:
    a, b = two
    a.add(people("x", None, None, None))
    merge(a, [find(a, "x0"), find(a, "x1")])
    copy_rows(a, b)
    a.remove_ids(["x-0"])
    a.add(people("later", None))
    done = copy_rows(a, b)
    assert (done.added, done.others) == (1, 1)


def test_a_copy_that_is_repeated_takes_names_notes_marks_and_what_was_seen_since(two) -> None:
    a, b = two
    a.add(people("x", 1, 2, 3, None))
    for pid in (1, 2, 3):
        describe(a, pid, name=f"Name {pid}", note=f"Note {pid}")

    def seen_beside(*others: str) -> None:
        with a.ledger.changing() as changes:
            changes.put(TRACK, digest("x0"), {"track": "x0", "beside": list(others)})

    seen_beside("x1")
    keep_mark(a, Query(row="x-0"), "x-1", "right")
    assert copy_rows(a, b).said == ()
    describe(a, 1, name="Robert", note="red bag")
    describe(a, 2, name="", note="")
    seen_beside("x2")
    with a.ledger.changing() as changes:  # as if it were judged a second later
        ((name, mark),) = changes.every(MARK).items()
        changes.put(MARK, name, {**mark, "mark": "wrong", "marked_at": mark["marked_at"] + "1"})
    where = Path(b.location)
    assert copy_rows(a, b).said == (
        f"Person 1 is called Robert and not Name 1 in {where}.",
        f"Person 1 has the source's note now in {where}.",
    )
    kept = b.ledger.every(PERSON)
    assert kept["1"] == {"name": "Robert", "note": "red bag", "made": False}
    assert kept["2"]["name"] == "Name 2"  # what only the target knows
    assert b.ledger.every(TRACK)[digest("x0")]["beside"] == ["x1", "x2"]
    assert [mark["mark"] for mark in b.ledger.every(MARK).values()] == ["wrong"]
    b.add(people("own", 1))
    describe(a, 1, name="Rob")
    assert copy_rows(a, b).said == (f"Person 1 is called Robert and not Rob in {where}.",)
    assert names_of(b).people[1] == "Robert"


def test_the_command_says_which_names_were_taken(tmp_path: Path, capsys) -> None:
    source, target = str(tmp_path / "a.exact"), str(tmp_path / "b.exact")
    with create_like(source, INFO) as store:
        store.add(people("x", 1))
        describe(store, 1, name="Bob")
    main(["gallery", "copy", source, target])
    main(["gallery", "person", source, "Bob", "--name", "Robert"])
    main(["gallery", "copy", source, target])
    assert f"Person 1 is called Robert and not Bob in {target}." in capsys.readouterr().out


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
