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
from crosslight.gallery.opening import create_like, open_store
from crosslight.gallery.store import Store
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
