"""Marks of results, in every kind of store."""

from __future__ import annotations

import csv
import io

import pytest

from crosslight.errors import ConfigError
from crosslight.gallery.people.marks import (
    COLUMNS,
    Found,
    Query,
    clear_marks,
    count_marks,
    every_mark,
    keep_mark,
    marks_of,
)
from crosslight.gallery.people.people import describe, name_camera
from crosslight.gallery.spreadsheet import as_csv
from crosslight.gallery.stores.ledger import MARK
from crosslight.gallery.stores.opening import open_store
from tests.gallery.rows import made_up

SHA = "ab" * 32


def test_marks_are_kept_replaced_taken_away_and_counted(create):
    store = create()
    store.add(made_up(20))
    describe(store, 1, name="Anna")
    name_camera(store, 2, "Gate")
    upload = Query(sha256=SHA, file="=night\x1b.png", modality="infrared")
    like = Query(row="row-0000003", modality="visible")
    found = Found(rank=1, distance=0.25, probability=0.75)
    keep_mark(store, upload, "row-0000006", "wrong", found=found, by="bob")
    keep_mark(store, upload, "row-0000006", "right", found=found, by="bob")
    keep_mark(store, like, "row-0000006", "wrong")
    keep_mark(store, like, "row-0000008", "wrong")
    keep_mark(store, like, "row-0000008", None)
    keep_mark(store, like, "row-0000009", None)
    store.close()
    with open_store(store.location) as again:
        assert count_marks(again) == {"right": 1, "wrong": 1}
        rows = ["row-0000006", "row-0000008", "nobody"]
        assert marks_of(again, upload, rows, by="bob") == {"row-0000006": "right"}
        assert marks_of(again, upload, rows) == {}
        assert marks_of(again, like, rows) == {"row-0000006": "wrong"}
        assert marks_of(again, Query(sha256="cd" * 32), rows) == {}
        told = {mark["mark"]: mark for mark in every_mark(again)}
        assert told["right"] | {"marked_at": None} == {
            "query_row": None, "query_file": "=night?.png", "query_sha256": SHA,
            "query_modality": "infrared", "row": "row-0000006", "pid": 1, "person": "Anna",
            "cam": 2, "camera": "Gate", "modality": "infrared", "time": 6.0, "rank": 1,
            "distance": 0.25, "probability": 0.75, "mark": "right", "marked_at": None,
            "marked_by": "bob",
        }  # fmt: skip
        head, *lines = csv.reader(io.StringIO(as_csv(COLUMNS, every_mark(again))))
        assert tuple(head) == COLUMNS
        assert {line[1] for line in lines} == {"'=night?.png", ""}
        assert clear_marks(again, "bob") == 1
        assert count_marks(again) == {"right": 0, "wrong": 1}
        assert clear_marks(again, None) == 1


def test_each_user_has_marks_of_their_own(create):
    store = create()
    store.add(made_up(5))
    query, row = Query(sha256=SHA), "row-0000001"
    judged = {None: "right", "anna": "right", "bob": "wrong"}
    for by, judgement in judged.items():
        keep_mark(store, query, row, judgement, by=by)
    for by, judgement in judged.items():
        assert marks_of(store, query, [row], by=by) == {row: judgement}
    assert count_marks(store) == {"right": 2, "wrong": 1}
    assert {mark["marked_by"] for mark in every_mark(store)} == {None, "anna", "bob"}
    keep_mark(store, query, row, None, by="anna")
    assert clear_marks(store, "bob") == 1
    assert [mark["marked_by"] for mark in every_mark(store)] == [None]


@pytest.mark.parametrize("by", [None, "anna", "bob"])
@pytest.mark.parametrize("judgement", ["wrong", None])
def test_a_mark_of_before_users_had_their_own_is_its_users(create, by, judgement):
    store = create()
    store.add(made_up(5))
    query, row = Query(sha256=SHA), "row-0000001"
    keep_mark(store, query, row, "right")
    with store.ledger.changing() as changes:  # as it was kept then
        ((name, mark),) = changes.every(MARK).items()
        changes.put(MARK, name, {**mark, "marked_by": "anna"})
    assert marks_of(store, query, [row], by="anna") == {row: "right"}
    assert marks_of(store, query, [row]) == marks_of(store, query, [row], by="bob") == {}
    keep_mark(store, query, row, judgement, by=by)
    expected = {"anna": "right", by: judgement}
    assert {mark["marked_by"]: mark["mark"] for mark in every_mark(store)} == {
        who: said for who, said in expected.items() if said is not None
    }


def test_a_mark_is_of_one_query_and_of_rows_that_are_there(create):
    store = create()
    store.add(made_up(5))
    for query in (Query(), Query(row="row-0000001", sha256=SHA)):
        with pytest.raises(ConfigError, match="of one query"):
            keep_mark(store, query, "row-0000002", "right")
    for query, row in ((Query(row="x"), "row-0000001"), (Query(sha256=SHA), "x")):
        with pytest.raises(ConfigError, match="has no row 'x'"):
            keep_mark(store, query, row, "right")


def test_marks_of_removed_rows_and_queries_go_with_them(create):
    store = create()
    store.add(made_up(10))
    keep_mark(store, Query(row="row-0000001"), "row-0000002", "right")
    keep_mark(store, Query(sha256=SHA, file="x.png"), "row-0000001", "right")
    keep_mark(store, Query(sha256=SHA), "row-0000003", "wrong")
    store.remove_ids(["row-0000001"])
    assert [mark["row"] for mark in every_mark(store)] == ["row-0000003"]
