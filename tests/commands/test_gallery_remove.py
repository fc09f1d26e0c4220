"""Removing people from a gallery as a user does: looked at before, asked about, by age."""

from __future__ import annotations

from datetime import datetime
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


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """A store of twelve people of three images each, a day apart; rows 34 and 35 have no date."""
    folder, now = tmp_path / "crowd.exact", datetime.now().timestamp()
    ids = [f"row-{n:02}" for n in range(36)]
    rows = build_rows(
        {
            "id": ids,
            "pid": [n // 3 for n in range(36)],
            "cam": [n % 3 for n in range(36)],
            "path": [f"{i}.jpg" for i in ids],
            "time": [*(now - 86_400 * (n + 0.5) for n in range(34)), 40.0, None],
        },
        np.random.default_rng(0).normal(size=(36, DIM)),
        model=MODEL,
    )
    with create_like(folder, INFO) as made:
        made.add(rows)
    return folder


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
