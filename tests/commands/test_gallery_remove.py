"""Removing people from a gallery as a user does: looked at before, asked about, by age."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.gallery.rows import DIM, INFO, MODEL

from crosslight import cli
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import build_rows


def said(capsys, *arguments: object) -> str:
    capsys.readouterr()
    cli.main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def made(folder: Path, times: list[float | None]) -> Path:
    """A store of people of three images each, taken at these times."""
    ids = [f"row-{n:02}" for n in range(len(times))]
    rows = build_rows(
        {
            "id": ids,
            "pid": [n // 3 for n in range(len(ids))],
            "cam": [n % 3 for n in range(len(ids))],
            "path": [f"{i}.jpg" for i in ids],
            "time": times,
        },
        np.random.default_rng(0).normal(size=(len(ids), DIM)),
        model=MODEL,
    )
    with create_like(folder, INFO) as store:
        store.add(rows)
    return folder


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """A store of twelve people of three images each, a day apart; rows 34 and 35 have no date."""
    now = datetime.now().timestamp()
    times = [*(now - 86_400 * (n + 0.5) for n in range(34)), 40.0, None]
    return made(tmp_path / "crowd.exact", times)


def test_what_would_go_is_listed_and_nothing_goes(capsys, crowd):
    listed = said(capsys, "gallery", "remove", crowd, "--camera", 1, "--dry-run").splitlines()
    assert len(listed) == 13
    assert listed[0].startswith("row-01  person 0, cam 1")
    assert listed[-1] == "12 of 36 rows would go, 12 people; none is removed."
    assert "now holds 36" in said(capsys, "gallery", "remove", crowd, "--id", "nobody")


def test_a_name_without_an_image_is_forgotten(capsys, crowd, fails):
    with open_store(crowd) as store, store.ledger.changing() as changes:
        changes.put("person", "90", {"name": "Secret Name", "note": "", "made": True})
    out = said(capsys, "gallery", "remove", crowd, "--person", "Secret Name", "--dry-run")
    assert "0 of 36 rows would go" in out
    assert b"Secret Name" in (crowd / "people.sqlite").read_bytes()
    out = said(capsys, "gallery", "remove", crowd, "--person", "Secret Name")
    assert out.splitlines()[1:] == ["Secret Name had no image here; the name is forgotten."]
    assert b"Secret Name" not in (crowd / "people.sqlite").read_bytes()
    assert "Nobody of" in fails("gallery", "remove", crowd, "--person", "Secret Name")


def test_many_people_are_removed_only_by_whoever_says_so(capsys, crowd, fails, monkeypatch):
    words = ("gallery", "remove", crowd, "--camera", 1)
    refused = fails(*words)
    assert f"This would remove 12 rows of 12 people from {crowd}; say --yes" in refused
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer in ("", "n", "yes please"):
        monkeypatch.setattr("builtins.input", lambda _, answer=answer: answer)
        assert "Nothing was removed" in fails(*words)
    with open_store(crowd) as store:
        assert store.count() == 36
    asked = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "y")
    assert said(capsys, *words).startswith("12 removed")
    assert asked == [f"Remove 12 rows of 12 people from {crowd}, for good? [y/N] "]
    people = ("--person", *range(10))
    assert said(capsys, "gallery", "remove", crowd, *people).startswith("20 removed")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "now holds 0" in said(capsys, "gallery", "remove", crowd, "--all", "--yes")


def test_what_is_old_goes_and_what_has_no_date_stays(capsys, crowd, fails):
    assert "days is 0" in fails("gallery", "retain", crowd, "--days", 0)
    would = said(capsys, "gallery", "retain", crowd, "--days", 30, "--dry-run")
    assert "2 rows have no time of capture, or one before 1973: they are kept too." in would
    assert "4 of 36 rows would go, 2 people; none is removed." in would
    assert "4 removed" in said(capsys, "gallery", "retain", crowd, "--days", 30)
    assert "0 removed" in said(capsys, "gallery", "retain", crowd, "--days", 30)
    with open_store(crowd) as store:
        assert store.frame()["id"].to_list() == [
            f"row-{n:02}" for n in range(36) if n not in (30, 31, 32, 33)
        ]


def test_what_is_later_than_now_stays_and_is_counted(capsys, tmp_path):
    now = datetime.now().timestamp()
    in_milliseconds, tomorrow = 1000 * (now - 86_400 * 60), now + 86_400
    store = made(tmp_path / "odd.exact", [in_milliseconds, tomorrow, now - 86_400 * 60, None])
    told = said(capsys, "gallery", "retain", store, "--days", 30)
    assert "\n1 rows have no time of capture" in told
    assert "\n2 rows have a time after 20" in told
    assert "Z, which is now: they are kept too; gallery list " in told
    assert "\n1 removed; " in told
    assert "kept too" not in said(
        capsys, "gallery", "retain", made(tmp_path / "one.exact", [now - 60]), "--days", 30
    )


def test_until_when_is_told_in_utc_as_lists_do(capsys, crowd, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        before = datetime.now(UTC).replace(microsecond=0)
        told = said(capsys, "gallery", "retain", crowd, "--days", 30, "--dry-run").splitlines()[0]
        after = datetime.now(UTC)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert told.startswith("Kept is what was taken after ")
    assert told.endswith("Z.")
    limit = datetime.fromisoformat(told.removeprefix("Kept is what was taken after ")[:-1])
    assert before <= limit + timedelta(days=30) <= after


def test_rows_that_came_while_somebody_was_asked_do_not_go(capsys, crowd, fails, monkeypatch):
    words = ("gallery", "remove", crowd, "--camera", 1)
    rows = build_rows(
        {"id": ["late"], "cam": [1], "path": ["late.jpg"]}, np.ones((1, DIM)), model=MODEL
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def somebody_comes(_: str) -> str:
        with open_store(crowd) as camera:
            camera.add(rows)
        return "y"

    monkeypatch.setattr("builtins.input", somebody_comes)
    assert "Nothing was removed: 1 rows came while you were asked" in fails(*words)
    with open_store(crowd) as store:
        assert store.count() == 37
    assert said(capsys, *words).startswith("13 removed")  # it is there already: none comes


@pytest.mark.parametrize("words", [("remove", "--id", "row-01"), ("retain", "--days", 30)])
def test_a_removal_that_cannot_begin_leaves_no_line_in_the_log(crowd, fails, tmp_path, words):
    log = tmp_path / "log.jsonl"
    with open_store(crowd) as writer:
        writer.begin_writing()
        sentence = fails("gallery", words[0], crowd, *words[1:], "--audit", log)
        assert "Another process is writing" in sentence
    assert not log.exists()
