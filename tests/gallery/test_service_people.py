"""What the service answers about people: names, labels, merging, splitting, marks, the log."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from crosslight.gallery.audit import Audit
from crosslight.gallery.search import Searcher
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.users import Role, UsersFile
from crosslight.gallery.stores.opening import open_store
from tests.gallery.served import (
    PEOPLE,
    SECRET_FOLDER,
    encoded,
    made_searcher,
    picture,
    row_id,
    tracked,
)

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    clients: list[TestClient] = []

    def start(searcher: Searcher | None = None, **options: Any) -> TestClient:
        made = searcher or made_searcher(tmp_path / f"{len(clients)}.exact")
        app = create_app(made, clock=lambda: float(len(clients)), **options)
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(serve: Serve) -> TestClient:
    return serve()


def done(reply: Any) -> Any:
    assert reply.is_success, reply.text
    return reply.json() if reply.content else None


def refused(reply: Any, status: int = 422) -> str:
    assert reply.status_code == status, reply.text
    return reply.json()["error"]


def test_somebody_is_named_and_every_reply_says_so(client: TestClient) -> None:
    person = done(client.put("/api/person", data={"person": "5", "name": "Anna", "note": "red"}))
    assert (person["pid"], person["name"], person["note"], person["rows"]) == (5, "Anna", "red", 3)
    done(client.put("/api/camera", data={"cam": 3, "name": "Hof"}))
    reply = done(client.post("/api/search", files={"image": encoded(picture(5, 3))}))
    assert (reply["results"][0]["person"], reply["results"][0]["pid"]) == ("Anna", 5)
    assert {one["camera"] for one in reply["results"] if one["cam"] == 3} == {"Hof"}
    listed = done(client.get("/api/rows", params={"pid": 5}))
    assert listed["total"] == 3
    assert {row["person"] for row in listed["rows"]} == {"Anna"}
    people = done(client.get("/api/people"))
    assert people["people"][0] == person
    assert (people["total"], people["unknown"]) == (PEOPLE, 0)
    assert [one["pid"] for one in done(client.get("/api/people?offset=1&limit=2"))["people"]] == [
        0, 1,
    ]  # fmt: skip
    facts = done(client.get("/api/gallery"))
    assert {one["cam"]: one["name"] for one in facts["cams"]} == {1: None, 2: None, 3: "Hof"}
    who = done(client.get("/api/who", params={"row": row_id(5, 1)}))
    assert (who["person"], who["track"], who["track_rows"]) == (person, None, 0)
    assert "Person 5 is called" in refused(
        client.put("/api/person", data={"person": "6", "name": "ANNA"})
    )
    assert "Nobody of" in refused(client.put("/api/person", data={"person": "Ana", "name": "x"}))
    assert refused(client.get("/api/who?row=nobody"), 404)
    text = json.dumps([reply, people, facts, who])
    assert SECRET_FOLDER not in text


def test_no_sentence_tells_where_the_gallery_is(client: TestClient, tmp_path: Path) -> None:
    for reply in (
        client.put("/api/person", data={"person": "Ana", "name": "x"}),
        client.put("/api/person", data={"person": "99", "name": "x"}),
        client.post("/api/label", data={"row": "nobody", "person": "x"}),
        client.post("/api/merge", data={"person": ["1", "99"]}),
        client.post("/api/merge", data={"person": ["1", "track:x"]}),
        client.put("/api/mark", data={"row": "x", "mark": "right", "query_sha256": "ab" * 32}),
    ):
        assert str(tmp_path) not in refused(reply)


def test_images_and_tracks_are_labelled_merged_and_split(serve: Serve, tmp_path: Path) -> None:
    client = serve(tracked(tmp_path))
    given = done(
        client.post("/api/label", data={"row": "a/1", "person": "Anna", "whole_track": True})
    )
    assert (given["person"]["name"], given["rows"], given["person"]["rows"]) == ("Anna", 3, 3)
    assert done(client.get("/api/who", params={"row": "b/0"}))["track_rows"] == 3
    sentence = refused(client.post("/api/label", data={"row": "beside/0", "person": "Anna"}))
    assert "they are two people, and nothing was changed" in sentence
    merged = done(client.post("/api/merge", data={"person": ["track:b", "anna"]}))
    assert (merged["person"]["rows"], merged["person"]["tracks"]) == (6, 2)
    parted = done(
        client.post(
            "/api/split",
            data={"person": "Anna", "row": "b/0", "to": "Bob", "whole_track": True},
        )
    )
    assert (parted["person"]["name"], parted["rows"]) == ("Bob", 3)
    taken = done(client.post("/api/label", data={"row": "b/0", "person": "Anna"}))
    assert taken["said"] == ["1 image was taken from Bob."]
    done(client.post("/api/label", data={"row": "b/0", "person": "Bob"}))
    assert "all images" in refused(
        client.post("/api/split", data={"person": "Bob", "row": ["b/0", "b/1", "b/2"]})
    )
    done(client.post("/api/merge", data={"person": ["Bob", "track:beside"]}))
    assert "Track b is of Bob, who has 3 other images" in refused(
        client.post("/api/merge", data={"person": ["Anna", "track:b"]})
    )
    with open_store(tmp_path / "tracks.exact") as other:  # and others may write meanwhile
        other.begin_writing()
        reply = client.post("/api/label", data={"row": "a/0", "person": "Carl"})
        assert "Another process is writing" in refused(reply, 503)
        assert reply.headers["retry-after"] == "5"
        done(client.put("/api/person", data={"person": "Bob", "note": "tall"}))


def test_those_who_may_be_one_are_proposed_until_somebody_decides(
    serve: Serve, tmp_path: Path
) -> None:
    client = serve(tracked(tmp_path))
    found = done(client.get("/api/proposals"))["proposals"]
    assert [(one["first"]["who"], one["second"]["who"]) for one in found] == [
        ("track:a", "track:b")
    ]
    assert found[0]["probability"] > 0.9
    assert found[0]["first"]["row"] == "a/0"
    assert "one person already" in refused(
        client.post("/api/apart", data={"person": ["track:a", "track:a"]})
    )
    assert "3 people were named" in refused(
        client.post("/api/apart", data={"person": ["track:a", "track:b", "track:beside"]})
    )
    done(client.post("/api/apart", data={"person": ["track:a", "track:b"]}))
    assert done(client.get("/api/proposals"))["proposals"] == []


def test_marks_are_kept_for_everybody_and_exported(client: TestClient) -> None:
    found = done(client.post("/api/search", files={"image": encoded(picture(5, 3))}))
    sha, first = found["query"]["sha256"], found["results"][0]
    kept = {"row": first["id"], "query_sha256": sha, "query_file": "=x.png", "rank": 1}
    assert done(client.put("/api/mark", data={**kept, "mark": "right", "probability": 0.5})) == {
        "right": 1, "wrong": 0,
    }  # fmt: skip
    like = {"row": row_id(1, 1), "query_row": row_id(2, 1)}
    done(client.put("/api/mark", data={**like, "mark": "wrong"}))
    again = done(client.post("/api/search", files={"image": encoded(picture(5, 3))}))
    assert [one["mark"] for one in again["results"][:2]] == ["right", None]
    facts = done(client.get("/api/gallery"))
    assert (facts["right"], facts["wrong"]) == (1, 1)
    done(client.put("/api/person", data={"person": "5", "name": "=1+1"}))
    table = client.get("/api/marks.csv")
    assert table.headers["content-type"].startswith("text/csv")
    right, _ = csv.DictReader(StringIO(table.text))
    assert (right["query_file"], right["pid"], right["probability"]) == ("'=x.png", "5", "0.5")
    assert right["person"] == "'=1+1"
    assert done(client.put("/api/mark", data={**kept, "mark": "none"}))["right"] == 0
    assert done(client.post("/api/marks/clear")) == {"right": 0, "wrong": 0}
    for wrong in ({}, {**kept, **like}, {"row": "x", "query_sha256": sha}):
        refused(client.put("/api/mark", data={"row": row_id(1, 1), "mark": "right"} | wrong))


def test_roles_decide_who_may_label_and_marks_know_who_made_them(
    serve: Serve, tmp_path: Path
) -> None:
    users = UsersFile(tmp_path / "users.txt")
    sam, lea, rob = (
        {"authorization": f"Bearer {users.add(name, role)}"}
        for name, role in (("sam", Role.SEARCH), ("lea", Role.LABEL), ("rob", Role.REMOVE))
    )
    client = serve(users=users)
    kept = {"row": row_id(1, 1), "query_row": row_id(2, 1), "mark": "right"}
    calls = [
        ("PUT", "/api/person", {"person": "1", "name": "Anna"}),
        ("PUT", "/api/camera", {"cam": "1", "name": "Hof"}),
        ("POST", "/api/label", {"row": row_id(1, 1), "person": "1"}),
        ("POST", "/api/apart", {"person": ["1", "2"]}),
        ("POST", "/api/split", {"person": "1", "row": row_id(1, 1)}),
        ("POST", "/api/merge", {"person": ["3", "4"]}),
        ("PUT", "/api/mark", kept),
        ("POST", "/api/marks/clear", None),
    ]
    for method, path, data in calls:
        assert "sam has the role search" in refused(
            client.request(method, path, data=data, headers=sam), 403
        )
    done(client.get("/api/people", headers=sam))
    for method, path, data in calls[:-1]:
        done(client.request(method, path, data=data, headers=lea))
    done(client.put("/api/mark", data={**kept, "row": row_id(3, 1)}, headers=rob))
    assert done(client.post("/api/marks/clear", headers=lea)) == {"right": 1, "wrong": 0}
    (left,) = csv.DictReader(StringIO(client.get("/api/marks.csv", headers=sam).text))
    assert left["marked_by"] == "rob"


def test_users_mark_beside_each_other_and_each_sees_their_own(serve: Serve, tmp_path: Path) -> None:
    users = UsersFile(tmp_path / "users.txt")
    anna, bob = (
        {"authorization": f"Bearer {users.add(name, Role.LABEL)}"} for name in ("anna", "bob")
    )
    client = serve(users=users)
    query, row = row_id(2, 1), row_id(2, 2)

    def mark(by: dict[str, str], said: str) -> dict[str, int]:
        fields = {"row": row, "query_row": query, "mark": said}
        return done(client.put("/api/mark", data=fields, headers=by))

    def seen(by: dict[str, str]) -> str | None:
        found = done(client.post("/api/search", data={"row": query}, headers=by))["results"]
        return next(one["mark"] for one in found if one["id"] == row)

    assert mark(anna, "right") == {"right": 1, "wrong": 0}
    assert mark(bob, "wrong") == {"right": 1, "wrong": 1}
    assert (seen(anna), seen(bob)) == ("right", "wrong")
    table = csv.DictReader(StringIO(client.get("/api/marks.csv", headers=bob).text))
    assert {one["marked_by"]: one["mark"] for one in table} == {"anna": "right", "bob": "wrong"}
    assert done(client.post("/api/marks/clear", headers=bob)) == {"right": 1, "wrong": 0}
    assert mark(bob, "none") == {"right": 1, "wrong": 0}
    assert (seen(anna), seen(bob)) == ("right", None)


def test_the_log_says_who_searched_removed_and_exported(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "audit.jsonl"
    users = UsersFile(tmp_path / "users.txt")
    rob = {"authorization": f"Bearer {users.add('rob', Role.REMOVE)}"}
    client = serve(users=users, audit=Audit(log))
    found = done(
        client.post(
            "/api/search",
            files={"image": encoded(picture(5, 3))},
            data={"cam": [1, 2], "top": 7},
            headers=rob,
        )
    )
    done(client.post("/api/search", data={"row": row_id(1, 1)}, headers=rob))
    two = {"first": encoded(picture(1, 1)), "second": encoded(picture(1, 3))}
    done(client.post("/api/same", files=two, headers=rob))
    client.get("/api/marks.csv", headers=rob)
    client.app.state.desk.searcher.store.close()
    done(client.delete("/api/rows", params={"row": [row_id(1, 1), "nobody"]}, headers=rob))
    client.get("/api/rows", headers=rob)
    refused(client.post("/api/search", data={"row": row_id(1, 2)}), 401)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["action"], line["rows"]) for line in lines] == [
        ("search", 7), ("search", 20), ("compare", None), ("export", 0), ("remove", 1),
    ]  # fmt: skip
    assert {(line["who"], line["from"]) for line in lines} == {("rob", "testclient")}
    assert lines[0]["what"] == {"sha256": found["query"]["sha256"], "cams": [1, 2]}
    assert lines[1]["what"] == {"row": row_id(1, 1)}
    assert "data:" not in log.read_text()


def test_without_its_log_nothing_is_answered(serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    users = UsersFile(tmp_path / "users.txt")
    rob = {"authorization": f"Bearer {users.add('rob', Role.REMOVE)}"}
    client = serve(users=users, audit=Audit(log))
    log.mkdir()
    refused(client.post("/api/search", data={"row": row_id(1, 1)}, headers=rob), 503)
    client.app.state.desk.searcher.store.close()
    refused(client.delete("/api/rows", params={"row": row_id(1, 1)}, headers=rob), 503)
    assert done(client.get("/api/rows", headers=rob))["total"] == 3 * PEOPLE
