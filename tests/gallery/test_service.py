"""What the service answers."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.testclient import TestClient

from crosslight.errors import GalleryError
from crosslight.gallery.copying import copy_rows
from crosslight.gallery.search import Searcher
from crosslight.gallery.service.app import create_app
from crosslight.gallery.stores.opening import create_like, open_store
from crosslight.gallery.stores.rows import build_rows
from tests.gallery.served import (
    CALIBRATION,
    CAMS,
    EMBEDDER,
    EPOCH_S,
    PEOPLE,
    SECRET_FOLDER,
    embed,
    encoded,
    made_searcher,
    made_store,
    picture,
    row_id,
)

Serve = Callable[..., TestClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a made-up gallery in this process."""
    clients: list[TestClient] = []

    def start(**options: Any) -> TestClient:
        app = create_app(made_searcher(tmp_path / f"{len(clients)}.exact", **options))
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


def found(client: TestClient, *, image: bytes | None = None, **fields: Any) -> dict[str, Any]:
    answer = client.post(
        "/api/search", data=fields, files={"image": image} if image is not None else None
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("person", range(PEOPLE))
@pytest.mark.parametrize("cam", CAMS)
def test_an_uploaded_person_is_found_in_every_light(client, person: int, cam: int) -> None:
    reply = found(client, image=encoded(picture(person, cam)), top=3)
    assert [result["pid"] for result in reply["results"]] == [person] * 3
    assert {result["cam"] for result in reply["results"]} == set(CAMS)
    assert [result["rank"] for result in reply["results"]] == [1, 2, 3]
    assert reply["query"]["modality"] == ("infrared" if cam == 3 else "visible")
    assert reply["query"]["guessed"]
    assert reply["verdict"] == "in-gallery"


@pytest.mark.parametrize("name", ["people.lance", "people.exact"])
def test_a_running_service_sees_who_is_enrolled_and_what_is_calibrated_later(
    tmp_path: Path, name: str
) -> None:
    with made_store(tmp_path / name, people=3, calibrated=False) as before:
        model = before.info.model
    searcher = Searcher(open_store(tmp_path / name), EMBEDDER)
    with TestClient(create_app(searcher), base_url="http://127.0.0.1") as client:
        late = encoded(picture(6, 3))
        reply = found(client, image=late)
        assert (reply["searched"], reply["verdict"]) == (3 * len(CAMS), "unknown")
        columns = {
            "id": ["late"],
            "pid": [6],
            "cam": [1],
            "modality": [0],
            "path": ["late.png"],
            "thumbnail": [encoded(picture(6, 1), "JPEG")],
        }
        with open_store(tmp_path / name) as writer:
            writer.set_calibration(CALIBRATION.to_plain())
            writer.add(build_rows(columns, embed([picture(6, 1)], [0]), model=model))
        reply = found(client, image=late)
        assert reply["searched"] == 3 * len(CAMS) + 1
        assert (reply["verdict"], reply["results"][0]["pid"]) == ("in-gallery", 6)
        assert reply["results"][0]["probability"] > 0.5


def test_results_come_nearest_first_with_falling_probabilities(client) -> None:
    reply = found(client, image=encoded(picture(2, 3)), top=200)
    distances = [result["distance"] for result in reply["results"]]
    chances = [result["probability"] for result in reply["results"]]
    assert len(distances) == PEOPLE * len(CAMS) == reply["searched"]
    assert distances == sorted(distances)
    assert chances == sorted(chances, reverse=True)
    assert all(0 <= chance <= 1 for chance in chances)
    assert [result["accepted"] for result in reply["results"]] == [
        distance <= 0.1 for distance in distances
    ]


def test_a_search_from_a_row_leaves_the_row_out(client) -> None:
    reply = found(client, row=row_id(4, 3), top=2)
    assert [result["id"] for result in reply["results"]] != []
    assert {result["id"] for result in reply["results"]} == {row_id(4, 1), row_id(4, 2)}
    assert reply["query"] == {
        "row": row_id(4, 3),
        "modality": "infrared",
        "guessed": False,
        "sha256": None,
        "picture": None,
    }
    assert reply["searched"] == PEOPLE * len(CAMS) - 1


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"cam": [1]}, lambda row: row["cam"] == 1),
        ({"cam": [1, 3]}, lambda row: row["cam"] in {1, 3}),
        ({"light": ["infrared"]}, lambda row: row["modality"] == "infrared"),
        ({"light": ["visible"], "cam": [2]}, lambda row: row["cam"] == 2),
        ({"since": EPOCH_S + 600}, lambda row: row["time"] >= EPOCH_S + 600),
        ({"until": EPOCH_S + 60}, lambda row: row["time"] <= EPOCH_S + 60),
        ({"since": EPOCH_S + 60, "cam": [2]}, lambda row: row["cam"] == 2 and row["pid"] >= 0),
        ({"cam": [9]}, lambda row: row["cam"] == 9),
    ],
)  # fmt: skip
def test_filters_hold_for_search_and_list(client, fields: dict[str, Any], fits) -> None:
    whole = client.get("/api/rows", params={"limit": 200}).json()["rows"]
    expected = {row["id"] for row in whole if fits(row)}
    reply = found(client, image=encoded(picture(1, 3)), top=200, **fields)
    assert {result["id"] for result in reply["results"]} == expected
    assert reply["searched"] == len(expected)
    listed = client.get("/api/rows", params={"limit": 200, **fields}).json()
    assert {row["id"] for row in listed["rows"]} == expected
    assert listed["total"] == len(expected)


def test_the_light_of_the_query_can_be_stated(client) -> None:
    reply = found(client, image=encoded(picture(1, 3)), modality="visible")
    assert (reply["query"]["modality"], reply["query"]["guessed"]) == ("visible", False)


def test_without_calibration_there_are_distances_only(serve: Serve) -> None:
    client = serve(calibrated=False)
    reply = found(client, image=encoded(picture(1, 3)))
    assert reply["verdict"] == "unknown"
    assert {result["probability"] for result in reply["results"]} == {None}
    assert not client.get("/api/gallery").json()["calibrated"]


def test_a_stranger_is_said_to_be_a_stranger(client) -> None:
    reply = found(client, image=encoded(picture(99, 1)))
    assert reply["verdict"] == "not-in-gallery"
    assert reply["false_alarms"] == 0.01
    assert reply["alarm"] > 0.01
    assert reply["share_found"] == pytest.approx(0.8)


def test_a_rate_that_nobody_can_show_is_told(client) -> None:
    answer = client.post(
        "/api/search", data={"false_alarms": 0.003}, files={"image": encoded(picture(1, 1))}
    )
    assert answer.status_code == 422
    # Two lights share the alarms.
    assert "the 499 people with whom" in answer.json()["error"]
    assert "none below 0.004; ask for 0.004 or more" in answer.json()["error"]


def test_two_pictures_are_compared(client, serve: Serve) -> None:
    def asked(*people: int, of=client, **fields: Any) -> dict[str, Any]:
        files = {
            "first": encoded(picture(people[0], 1)),
            "second": encoded(picture(people[1], 3)),
        }
        answer = of.post("/api/same", files=files, data=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    one, two = asked(2, 2), asked(2, 5)
    assert (one["answer"], two["answer"]) == ("same", "different")
    assert (one["first"], one["second"]) == ("visible", "infrared")
    for reply in (one, two):
        assert reply["interval"]["low"] < reply["probability"] < reply["interval"]["high"]
        assert reply["ratio"] == pytest.approx(reply["probability"] / (1 - reply["probability"]))
    rare = asked(2, 2, prior=0.01, first_modality="infrared")
    assert rare["probability"] < one["probability"]
    assert rare["first"] == "infrared"
    bare = asked(2, 2, of=serve(calibrated=False))
    assert bare["answer"] == "unknown"
    assert bare["distance"] == one["distance"]
    assert bare["probability"] is None
    assert client.post("/api/same", files={"first": b"x"}).status_code == 422


def test_people_of_a_street_are_found_from_left_to_right(client, drawn_people) -> None:
    street = Image.new("RGB", (830, 520), (120, 120, 120))
    places = [(600, 300), (40, 60)]
    for person, place in zip(drawn_people, places, strict=True):
        street.paste(person, place)
    turned = Image.Exif()
    turned[0x0112] = 8  # the camera was held upright: turn by 270 degrees to see it
    lying = encoded(street.rotate(-90, expand=True), "JPEG", exif=turned, quality=95)
    for content in (encoded(street), lying):
        reply = client.post("/api/boxes", files={"image": content}).json()
        assert (reply["width"], reply["height"]) == (830, 520)
        assert len(reply["boxes"]) == 2
        for box, (left, top), person in zip(
            reply["boxes"], sorted(places), drawn_people[::-1], strict=True
        ):
            assert box["left"] < left + person.width / 2 < box["right"]
            assert box["top"] < top + person.height / 2 < box["bottom"]
            assert 0.5 <= box["score"] <= 1
    empty = client.post("/api/boxes", files={"image": encoded(Image.new("RGB", (300, 200)))})
    assert empty.json()["boxes"] == []


def test_a_picture_that_can_show_nobody_is_warned_about(client) -> None:
    gray = encoded(Image.new("RGB", (64, 128), (90, 90, 90)))
    said = "The picture is of one gray and shows nobody."
    assert found(client, image=gray)["warning"] == said
    assert found(client, image=encoded(picture(1, 1)))["warning"] is None
    tiny = encoded(picture(1, 1).resize((3, 5)))
    both = client.post("/api/same", files={"first": gray, "second": tiny}).json()
    assert both["warning"].startswith("The first picture is of one gray and shows nobody. The seco")
    good = {"first": encoded(picture(1, 1)), "second": encoded(picture(2, 1))}
    assert client.post("/api/same", files=good).json()["warning"] is None


def test_an_empty_gallery_answers(serve: Serve) -> None:
    client = serve(people=0)
    assert found(client, image=encoded(picture(1, 1)))["results"] == []
    facts = client.get("/api/gallery").json()
    assert (facts["rows"], facts["cams"], facts["earliest"]) == (0, [], None)
    assert client.get("/api/rows").json() == {"rows": [], "total": 0}


def test_pages_of_the_list_hold_every_row_once(client) -> None:
    ids = []
    for offset in range(0, PEOPLE * len(CAMS) + 5, 5):
        page = client.get("/api/rows", params={"offset": offset, "limit": 5}).json()
        assert page["total"] == PEOPLE * len(CAMS)
        ids += [row["id"] for row in page["rows"]]
    assert sorted(ids) == sorted(row_id(p, c) for p in range(PEOPLE) for c in CAMS)


def test_facts_of_the_gallery(client) -> None:
    facts = client.get("/api/gallery").json()
    assert facts["rows"] == PEOPLE * len(CAMS)
    assert facts["people"] == PEOPLE
    assert facts["cams"] == [{"cam": cam, "name": None, "rows": PEOPLE} for cam in CAMS]
    assert facts["modalities"] == [
        {"modality": "visible", "rows": 2 * PEOPLE},
        {"modality": "infrared", "rows": PEOPLE},
    ]
    assert facts["earliest"] == EPOCH_S
    assert (facts["translates"], facts["swaps"]) == (False, False)


def test_no_reply_tells_where_files_are(client) -> None:
    for reply in (
        client.get("/api/rows"),
        client.get("/api/gallery"),
        client.post("/api/search", data={"row": row_id(0, 1)}),
    ):
        assert SECRET_FOLDER not in reply.text
        assert str(Path.home()) not in reply.text
    assert client.get("/api/rows").json()["rows"][0]["name"] == "0-1.png"


@pytest.mark.parametrize(
    ("fields", "image", "status", "words"),
    [
        ({}, None, 422, "Neither image nor row"),
        ({"row": row_id(0, 1)}, b"x", 422, "Both image and row"),
        ({"row": "nobody"}, None, 404, "no such row"),
        ({"row": "../../etc/passwd"}, None, 404, "no such row"),
        ({"row": row_id(0, 1), "top": 0}, None, 422, "top"),
        ({"row": row_id(0, 1), "top": 201}, None, 422, "top"),
        ({"row": row_id(0, 1), "cam": "x"}, None, 422, "cam"),
        ({"row": row_id(0, 1), "cam": 2**70}, None, 422, "cam"),
        ({"row": row_id(0, 1), "since": "nan"}, None, 422, "since"),
        ({"row": row_id(0, 1), "since": "2026"}, None, 422, "write 2026-01-01 for"),
        ({"row": row_id(0, 1), "until": "20261102"}, None, 422, "until: 20261102 may be a date"),
        ({"row": row_id(0, 1), "until": "1e308"}, None, 422, "after the year 2200"),
        ({"row": row_id(0, 1), "light": "ultraviolet"}, None, 422, "light"),
    ],
)
def test_a_wrong_search_is_refused_with_a_sentence(
    client, fields: dict[str, Any], image: bytes | None, status: int, words: str
) -> None:
    files_sent = None if image is None else {"image": image}
    reply = client.post("/api/search", data=fields, files=files_sent)
    assert reply.status_code == status
    assert words in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "address", "fields", "words"),
    [
        ("POST", "search", {"row": row_id(0, 1), "camera": 1}, "'camera'; did you mean 'cam'?"),
        ("POST", "search", {"row": row_id(0, 1), "lights": "x"}, "'lights'; did you mean 'light'?"),
        ("POST", "search?cam=1", {"row": row_id(0, 1)}, "cam stands in the wrong place; send it"),
        ("POST", "search?camera=1", {"row": row_id(0, 1)}, "'camera'; did you mean 'cam'?"),
        ("POST", "draw", {"row": row_id(0, 1), "kind": "swap", "bod": 1}, "did you mean 'body'?"),
        ("GET", "rows?camera=1", None, "Unknown field 'camera'; did you mean 'cam'?"),
        ("GET", "rows?person=1", None, "Unknown field 'person'; "),
        ("GET", "rows?since=2026", None, "since: 2026 may be a date or seconds; write 2026-01-01"),
        ("GET", "rows", {"cam": 1}, "takes no body; its fields stand in the address: cam, light"),
        ("GET", "people?top=3", None, "Unknown field 'top'; known are limit, offset."),
        ("GET", "picture?row=x&v=2", None, "Unknown field 'v'; known are row."),
        ("GET", "gallery?cam=1", None, "Unknown field 'cam'; send none."),
        ("DELETE", "rows?row=x&all=1", None, "Unknown field 'all'; "),
        ("PUT", "person", {"person": 1, "called": "Ann"}, "'called'; known are name, note, person"),
        ("POST", "label", {"row": row_id(0, 1), "person": 1, "track": 1}, "field 'track'; "),
        ("POST", "marks/clear", {"row": row_id(0, 1)}, "takes no body; send none"),
        ("GET", "rows?\ud800=1", None, "Unknown field"),
    ],
)
def test_a_field_that_a_call_does_not_have_is_refused(
    client, method: str, address: str, fields: dict[str, Any] | None, words: str
) -> None:
    target = "/api/" + address.encode(errors="surrogatepass").decode(errors="replace")
    reply = client.request(method, target, data=fields)
    assert reply.status_code == 422, reply.text
    assert words in reply.json()["error"]


def test_an_upload_by_a_wrong_name_is_refused(client) -> None:
    upload = encoded(picture(0, 1))
    reply = client.post("/api/boxes", files={"image": upload, "picture": upload})
    assert (reply.status_code, reply.json()["error"]) == (
        422, "Unknown field 'picture'; known are image."
    )  # fmt: skip


def test_health_and_scrapers_may_add_what_they_like(client) -> None:
    for address in ("/health?at=1", "/metrics?target=here", "/?v=2", "/static/look.css?v=2"):
        assert client.get(address).status_code == 200


def test_drawing_the_query_in_the_other_light_and_on_another_body(serve: Serve) -> None:
    client = serve(drawing=True)
    assert client.get("/api/gallery").json()["translates"]
    sent = {"image": encoded(picture(1, 1))}
    drawn = client.post("/api/draw", data={"kind": "translation"}, files=sent).json()
    assert drawn["modality"] == "infrared"
    colours = decoded(drawn["picture"]).convert("RGB").getextrema()
    assert colours[0] == colours[1] == colours[2]
    back = client.post("/api/draw", data={"kind": "translation", "row": row_id(1, 3)}).json()
    assert back["modality"] == "visible"
    swapped = client.post(
        "/api/draw", data={"kind": "swap", "body": row_id(2, 3)}, files=sent
    ).json()
    assert (swapped["kind"], swapped["modality"]) == ("swap", "infrared")
    assert (decoded(swapped["picture"]).width, decoded(swapped["picture"]).height) == (32, 64)
    lacking = client.post("/api/draw", data={"kind": "swap", "row": row_id(2, 3)})
    assert lacking.status_code == 422
    assert "body" in lacking.json()["error"]


@pytest.mark.parametrize("kind", ["translation", "swap"])
def test_a_model_that_cannot_draw_says_so(client, kind: str) -> None:
    reply = client.post("/api/draw", data={"kind": kind, "row": row_id(1, 1), "body": row_id(2, 1)})
    assert reply.status_code == 404
    assert "pattern" in reply.json()["error"]


def test_pictures_of_rows(client) -> None:
    reply = client.get("/api/picture", params={"row": row_id(3, 2)})
    assert reply.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(reply.content)).size == (32, 64)
    assert client.get("/api/picture", params={"row": "nobody"}).status_code == 404


def test_health_and_metrics(client) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    found(client, row=row_id(0, 1))
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    assert 'crosslight_requests_total{method="POST",route="/api/search",status="200"} 1' in text
    assert 'crosslight_request_seconds_count{route="/api/search"} 1' in text
    assert 'crosslight_request_seconds_bucket{route="/api/search",le="+Inf"} 1' in text
    assert 'route="none",status="404"' in text
    assert "nowhere" not in text
    assert f"crosslight_gallery_rows {PEOPLE * len(CAMS)}" in text


def test_a_store_that_fails_is_a_503_without_details(serve: Serve, monkeypatch) -> None:
    client = serve()

    def broken(*_: object, **__: object) -> None:
        raise GalleryError(f"{SECRET_FOLDER} is gone")

    store = client.app.state.desk.searcher.store
    monkeypatch.setattr(store, "check", broken)
    reply = client.get("/health")
    assert reply.status_code == 503
    assert SECRET_FOLDER not in reply.text


def test_a_defect_is_a_500_without_a_traceback(serve: Serve, monkeypatch) -> None:
    client = serve()
    monkeypatch.setattr(client.app.state.desk.searcher.store, "check", lambda *_: 1 / 0)
    reply = client.get("/health")
    assert reply.status_code == 500
    assert reply.json() == {"error": "The service failed; its log says why."}


def test_the_store_is_closed_when_the_service_stops(tmp_path: Path, monkeypatch) -> None:
    searcher = made_searcher(tmp_path / "people.exact")
    closed = []
    monkeypatch.setattr(searcher.store, "close", lambda: closed.append(True))
    with TestClient(create_app(searcher), base_url="http://127.0.0.1"):
        assert not closed
    assert closed == [True]


def test_page_and_every_file_it_names_are_served_from_here(client) -> None:
    pages = [client.get(path) for path in ("/", "/docs")]
    names = {name for page in pages for name in re.findall(r"static/([\w.-]+)", page.text)}
    texts = {name: client.get(f"/static/{name}") for name in names}
    imported = {
        name for reply in texts.values() for name in re.findall(r'from "\./([\w.-]+)"', reply.text)
    }
    texts |= {name: client.get(f"/static/{name}") for name in imported}
    assert {"app.js", "cards.js", "marks.js", "page.css", "icon.svg"} <= set(texts)
    for reply in (*pages, *texts.values()):
        assert reply.status_code == 200
        assert "default-src 'none'" in reply.headers["content-security-policy"]
    present = {item.name for item in (files("crosslight.gallery") / "static").iterdir()}
    assert present == {*texts, "index.html", "api.html"}


def test_no_file_of_the_page_names_another_site() -> None:
    for item in (files("crosslight.gallery") / "static").iterdir():
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", item.read_text(encoding="utf-8"))
        assert set(addresses) <= {"http://www.w3.org"}, item.name


def test_a_file_of_the_page_is_not_sent_twice(client) -> None:
    first = client.get("/static/app.js")
    again = client.get("/static/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/static/nothing.js", "/static/..%2fservice%2fapp.py", "/static/app.py", "/etc/passwd"]
)
def test_other_files_are_not_served(client, path: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 404
    assert set(reply.json()) == {"error"}


def decoded(uri: str) -> Image.Image:
    assert uri.startswith("data:image/jpeg;base64,")
    return Image.open(BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_a_store_that_is_moved_away_is_503_and_answers_again_when_it_is_back(tmp_path, kind):
    folder = tmp_path / f"people.{kind}"
    made_store(tmp_path / "made.exact").close()
    with open_store(tmp_path / "made.exact") as made, create_like(folder, made.info) as store:
        copy_rows(made, store)
    app = create_app(Searcher(open_store(folder), EMBEDDER))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.get("/health").status_code == 200
        away = folder.rename(tmp_path / "away")
        for route in ("/health", f"/api/picture?row={quote(row_id(0, 1))}"):
            reply = client.get(route)
            assert reply.status_code == 503
            assert reply.json()["error"].endswith("the service's log says why.")
        away.rename(folder)
        assert client.get("/health").status_code == 200
        assert client.get(f"/api/picture?row={quote(row_id(0, 1))}").status_code == 200


def test_a_damaged_store_is_503(tmp_path):
    store = made_store(tmp_path / "people.exact")
    client = TestClient(
        create_app(Searcher(store, EMBEDDER)),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    )
    segment = next((tmp_path / "people.exact").glob("rows-*"))
    segment.write_bytes(segment.read_bytes()[:-100])
    assert client.get("/health").status_code == 503
    assert client.get(f"/api/picture?row={quote(row_id(0, 1))}").status_code == 503
