"""Named users: what each may do, and what the file of them tells, takes and refuses."""

from __future__ import annotations

import asyncio
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from crosslight.errors import ConfigError
from crosslight.gallery.audit import Audit
from crosslight.gallery.service.access import Access
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.people_routes import people_router
from crosslight.gallery.service.roles import Needs
from crosslight.gallery.service.routes import router
from crosslight.gallery.service.users import Role, UsersFile, session_of
from crosslight.gallery.stores.opening import open_store
from crosslight.locking import LOCK_NAME
from tests.gallery.served import made_searcher, made_store, row_id
from tests.incapable import IncapableError
from tests.unprivileged import NOBODY, as_nobody

TOKEN = "correct-horse-battery-staple"
HARMLESS = {"GET", "HEAD"}
SEARCHING = {"/api/search", "/api/same", "/api/draw", "/api/boxes", "/api/session"}
"""Asked with POST, for the picture that is sent; they change nothing."""


@pytest.fixture
def file(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users.txt")


@pytest.fixture
def tokens(file: UsersFile) -> dict[str, str]:
    return {
        "sam": file.add("sam", Role.SEARCH),
        "lea": file.add("lea", Role.LABEL),
        "rob": file.add("rob", Role.REMOVE),
    }


@pytest.fixture
def client(tmp_path: Path, file: UsersFile, tokens) -> TestClient:
    return client_for(tmp_path, users=file)


def client_for(tmp_path: Path, **options: Any) -> TestClient:
    searcher = made_searcher(tmp_path / "people.exact", people=2)
    searcher.store.close()  # who filled it is another process than the service
    app = create_app(searcher, clock=lambda: 0.0, **options)
    return TestClient(app, base_url="http://127.0.0.1")


def shown(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_each_user_is_known_by_a_token_and_by_its_cookie(client, tokens) -> None:
    for name, role in (("sam", "search"), ("lea", "label"), ("rob", "remove")):
        by_token = client.get("/api/session", headers=shown(tokens[name]))
        assert by_token.json() == {"name": name, "role": role}
        client.post("/api/session", headers=shown(tokens[name]))
        assert client.get("/api/session").json() == {"name": name, "role": role}
        client.cookies.clear()
    assert client.get("/api/session").status_code == 401
    assert client.get("/api/session", headers=shown("x" * 32)).status_code == 401


def test_the_file_tells_neither_tokens_nor_cookies(file, tokens) -> None:
    told = file.path.read_text()
    for token in tokens.values():
        assert token not in told
        assert session_of(token) not in told
    # Nor is what stands in it worth anything as one of them.
    for user in file.users():
        assert file.by_session(user.mark) is None
        assert file.by_session(session_of(user.mark)) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes; run it on Linux or macOS")
def test_a_new_file_is_the_owners_alone(file, tokens) -> None:
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.path.chmod(0o640)
    file.remove("sam")
    assert file.path.stat().st_mode & 0o777 == 0o640


def test_only_the_role_remove_removes(tmp_path: Path, client, tokens) -> None:
    row = {"row": [row_id(0, 1), "nobody"]}
    for name in ("sam", "lea"):
        reply = client.delete("/api/rows", params=row, headers=shown(tokens[name]))
        assert reply.status_code == 403
        assert f"{name} has the role" in reply.json()["error"]
    assert client.get("/api/rows", headers=shown(tokens["rob"])).json()["total"] == 6
    picture = {"params": {"row": row_id(0, 1)}, "headers": shown(tokens["rob"])}
    assert client.get("/api/picture", **picture).status_code == 200
    assert client.get("/api/gallery", headers=shown(tokens["rob"])).json()["rows"] == 6
    reply = client.delete("/api/rows", params=row, headers=shown(tokens["rob"]))
    assert reply.json() == {"removed": 1}
    assert client.get("/api/rows", headers=shown(tokens["sam"])).json()["total"] == 5
    assert client.get("/api/gallery", headers=shown(tokens["sam"])).json()["rows"] == 5
    assert client.get("/api/picture", **picture).status_code == 404
    with open_store(tmp_path / "people.exact") as store:
        assert not store.present([row_id(0, 1)])


def test_after_a_removal_others_may_write_and_before_it_they_are_waited_for(
    tmp_path: Path, file, tokens
) -> None:
    made_store(tmp_path / "others.exact", people=1).close()
    searcher = made_searcher(tmp_path / "people.lance", people=2)
    log = tmp_path / "audit.jsonl"
    app = create_app(searcher, users=file, audit=Audit(log))
    client = TestClient(app, base_url="http://127.0.0.1")
    rob = shown(tokens["rob"])
    with open_store(tmp_path / "others.exact") as other:
        rows = other.get([row_id(0, 1)])
    searcher.store.close()
    with open_store(tmp_path / "people.lance") as writer:
        writer.set_range((0.0, 1.0))
        reply = client.delete("/api/rows", params={"row": row_id(0, 1)}, headers=rob)
        assert reply.status_code == 503
        assert "Another process is writing" in reply.json()["error"]
        assert reply.headers["retry-after"] == "5"
        assert not log.exists()  # nothing was removed
    assert client.delete("/api/rows", params={"row": row_id(0, 1)}, headers=rob).is_success
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["rows"] == 1
    with open_store(tmp_path / "people.lance") as writer:
        assert writer.add(rows) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes; run it on Linux or macOS")
@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_a_service_that_may_not_write_says_so_and_not_that_another_does(
    reachable: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    folder, users = reachable / f"people.{kind}", UsersFile(reachable / "users.txt")
    rob = shown(users.add("rob", Role.REMOVE))
    if not os.geteuid():
        os.chown(users.path, NOBODY, -1)
    searcher = made_searcher(folder, people=2)
    client = TestClient(create_app(searcher, users=users), base_url="http://127.0.0.1")
    assert client.delete("/api/rows", params={"row": "nobody"}, headers=rob).is_success
    (folder / LOCK_NAME).chmod(0o400)
    with as_nobody():
        reply = client.delete("/api/rows", params={"row": row_id(0, 1)}, headers=rob)
    assert reply.status_code == 503
    assert "may not read or write all of the gallery" in reply.json()["error"]
    assert "retry-after" not in reply.headers
    assert str(reachable) not in reply.text
    assert f"{folder} cannot be used (Permission denied)" in caplog.text


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_changes_of_one_service_wait_for_each_other(
    tmp_path: Path, file, tokens, kind: str
) -> None:
    searcher = made_searcher(tmp_path / f"people.{kind}", people=4)
    searcher.store.close()
    app = create_app(searcher, users=file)
    rob = shown(tokens["rob"])

    async def at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1", headers=rob
        ) as client:
            return await asyncio.gather(
                *(
                    client.delete("/api/rows", params={"row": row_id(person, cam)})
                    for person in range(4)
                    for cam in (1, 2)
                ),
                *(
                    client.post("/api/label", data={"row": row_id(person, 3), "person": "Anna"})
                    for person in range(4)
                ),
            )

    replies = asyncio.run(at_once())
    assert [reply.status_code for reply in replies] == [200] * 12, replies[-1].text
    assert [reply.json()["removed"] for reply in replies[:8]] == [1] * 8
    with open_store(tmp_path / f"people.{kind}") as other:
        other.begin_writing()  # the service lets others write
        assert set(other.frame()["id"]) == {row_id(person, 3) for person in range(4)}
        assert other.frame()["pid"].n_unique() == 1


@pytest.mark.parametrize("token", [None, TOKEN])
def test_who_has_no_name_may_not_remove(tmp_path: Path, token: str | None) -> None:
    client = client_for(tmp_path, token=token)
    headers = shown(token) if token else {}
    assert client.get("/api/session", headers=headers).json() == {"name": None, "role": "label"}
    reply = client.delete("/api/rows", params={"row": row_id(0, 1)}, headers=headers)
    assert reply.status_code == 403
    assert "--users" in reply.json()["error"]
    assert client.get("/api/rows", headers=headers).json()["total"] == 6


def test_every_route_that_changes_something_says_who_may() -> None:
    changing = [
        route
        for route in (*router.routes, *people_router.routes)
        if isinstance(route, APIRoute) and route.methods - HARMLESS and route.path not in SEARCHING
    ]
    assert changing
    for route in changing:
        stated = [given.dependency for given in route.dependencies]
        asked = [needs.role for needs in stated if isinstance(needs, Needs)]
        assert asked, f"{route.methods} {route.path} needs a role"
        assert "DELETE" not in route.methods or asked == [Role.REMOVE]


def test_a_removed_user_is_refused_at_once_and_a_new_one_let_in(client, file, tokens) -> None:
    client.post("/api/session", headers=shown(tokens["sam"]))
    assert client.get("/api/gallery").status_code == 200
    file.remove("sam")
    assert client.get("/api/gallery").status_code == 401
    assert client.get("/api/gallery", headers=shown(tokens["sam"])).status_code == 401
    again = file.add("sam", Role.REMOVE)
    assert client.get("/api/session", headers=shown(again)).json()["role"] == "remove"
    assert client.get("/api/session", headers=shown(tokens["sam"])).status_code == 401


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("sam search\n"),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_text(path.read_text().replace("sam search", "sam admin")),
        lambda path: path.write_text(path.read_text() * 2),
        lambda path: path.chmod(0o644),
        lambda path: path.chmod(0o620),
    ],
    ids=["gone", "short", "binary", "role", "twice", "readable", "writable"],
)
def test_a_file_that_cannot_be_trusted_lets_nobody_in_until_it_is_mended(
    client, file, tokens, spoil, caplog
) -> None:
    before, mode = file.path.read_text(), file.path.stat().st_mode
    client.post("/api/session", headers=shown(tokens["rob"]))
    spoil(file.path)
    reply = client.get("/api/gallery")
    assert reply.status_code == 503
    assert "its log says why" in reply.json()["error"]
    assert str(file.path) not in reply.text
    assert str(file.path) in caplog.text
    assert client.get("/").status_code == 200
    with pytest.raises(ConfigError):
        Access(users=file)
    file.path.write_text(before)
    file.path.chmod(mode)
    assert client.get("/api/gallery").status_code == 200


def test_a_file_that_names_nobody_is_told(file, tokens) -> None:
    for name in tokens:
        file.remove(name)
    with pytest.raises(ConfigError, match="names nobody"):
        Access(users=file)


@pytest.mark.parametrize("name", ["", "two words", "a/b", "#sam", "x" * 65, "a\nrob"])
def test_a_name_that_cannot_be_a_word_is_refused(file, tokens, name: str) -> None:
    before = file.path.read_text()
    with pytest.raises(ConfigError, match="cannot be used"):
        file.add(name, Role.SEARCH)
    assert file.path.read_text() == before


def test_names_of_any_language_and_comments_stay(file, tokens) -> None:
    file.path.write_text(f"# who left\n\n{file.path.read_text()}")
    token = file.add("Zoë.Ünal@büro", Role.LABEL)
    visitor = file.by_session(session_of(token))
    assert visitor is not None
    assert (visitor.name, visitor.role) == ("Zoë.Ünal@büro", Role.LABEL)
    assert [user.name for user in file.users()][:3] == ["sam", "lea", "rob"]


def test_a_user_has_one_allowance_wherever_and_leaves_others_theirs(
    tmp_path: Path, file, tokens
) -> None:
    client = client_for(tmp_path, users=file, limits=Limits(searches_per_minute=10))

    def search(name: str) -> int:
        data = {"row": row_id(0, 1)}
        return client.post("/api/search", data=data, headers=shown(tokens[name])).status_code

    assert [search("sam") for _ in range(3)] == [200, 200, 429]
    assert [search("lea") for _ in range(3)] == [200, 200, 429]


def test_one_shared_token_has_an_allowance_for_each_address(tmp_path: Path) -> None:
    app = create_app(
        made_searcher(tmp_path / "people.exact", people=2),
        token=TOKEN,
        limits=Limits(searches_per_minute=10),
        clock=lambda: 0.0,
    )
    for address in ("10.0.0.1", "10.0.0.2"):
        client = TestClient(app, base_url="http://127.0.0.1", client=(address, 1))
        asked = [
            client.post("/api/search", data={"row": row_id(0, 1)}, headers=shown(TOKEN))
            for _ in range(3)
        ]
        assert [reply.status_code for reply in asked] == [200, 200, 429]


def test_guessing_is_slowed_down_with_users_too(tmp_path: Path, file, tokens) -> None:
    client = client_for(tmp_path, users=file, limits=Limits(failures_per_minute=10))
    wrong = [client.get("/api/gallery", headers=shown("guess" * 5)) for _ in range(4)]
    assert [reply.status_code for reply in wrong] == [401, 401, 429, 429]
    assert client.get("/api/gallery", headers=shown(tokens["sam"])).status_code == 429


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such owners; run it on Linux or macOS")
def test_a_file_that_root_changes_stays_its_owners(file, tokens) -> None:
    if os.geteuid():
        raise IncapableError("only root can give a file away; run this test as root")
    os.chown(file.path, 12345, 23456)
    file.remove("sam")
    found = file.path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 23456, 0o600)


def test_users_who_are_added_and_removed_at_once_all_are(file, tokens) -> None:
    def change(number: int) -> tuple[str, str]:
        known = UsersFile(file.path)  # of another process, as far as the file can tell
        if number < len(tokens):
            known.remove(list(tokens)[number])
        return f"user-{number}", known.add(f"user-{number}", Role.SEARCH)

    with ThreadPoolExecutor(8) as pool:
        added = dict(pool.map(change, range(40)))
    assert {user.name for user in file.users()} == set(added)
    for name, token in added.items():
        visitor = file.by_session(session_of(token))
        assert visitor is not None
        assert visitor.name == name
    assert [path.name for path in file.path.parent.iterdir()] == ["users.txt"]


def test_a_link_to_the_file_stays_and_so_does_the_mode(file, tokens, tmp_path: Path) -> None:
    file.path.chmod(0o640)
    (tmp_path / "etc").mkdir()
    link = tmp_path / "etc" / "users.txt"
    link.symlink_to(file.path)
    UsersFile(link).add("eva", Role.LABEL)
    assert link.is_symlink()
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert [user.name for user in file.users()] == ["sam", "lea", "rob", "eva"]
    assert [path.name for path in link.parent.iterdir()] == ["users.txt"]
