"""`crosslight users` as a keeper of a service types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosslight.cli import main
from crosslight.gallery.service.users import UsersFile, session_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "users.txt"


def test_a_user_is_added_listed_and_removed(file: Path, capsys) -> None:
    main(["users", "add", str(file), "anna", "--role", "remove"])
    told = capsys.readouterr()
    token = told.out.strip()
    assert told.out == f"{token}\n"  # so that it can be put away: ... add users.txt anna > anna.txt
    assert "anna may search and label and remove" in told.err
    visitor = UsersFile(file).by_session(session_of(token))
    assert visitor is not None
    assert visitor.name == "anna"
    main(["users", "add", str(file), "benedikt"])
    assert "benedikt may search." in capsys.readouterr().err
    main(["users", "list", str(file)])
    assert capsys.readouterr().out == "anna      remove\nbenedikt  search\n"
    main(["users", "remove", str(file), "anna"])
    assert "anna was removed" in capsys.readouterr().out
    main(["users", "list", str(file)])
    assert capsys.readouterr().out == "benedikt  search\n"


def test_what_cannot_be_done_is_told(file: Path, tmp_path: Path, fails) -> None:
    assert "crosslight users add" in fails("users", "list", file)
    main(["users", "add", str(file), "anna"])
    assert "has a user anna already" in fails("users", "add", file, "anna", "--role", "remove")
    assert "has no user ben; it has anna" in fails("users", "remove", file, "ben")
    assert "cannot be used" in fails("users", "add", file, "two words")
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(bytes(range(256)) * 8)
    picture.chmod(0o600)
    assert "Line 1 of" in fails("users", "add", picture, "anna")
    assert picture.read_bytes() == bytes(range(256)) * 8
    assert "directory" in fails("users", "add", tmp_path, "anna")
