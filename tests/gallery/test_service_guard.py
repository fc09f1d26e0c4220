"""What a request must pass: token, names, rate, size, time, and the queue before the model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from crosslight.errors import ConfigError
from crosslight.gallery.service.access import Access
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import (
    KEPT_CLIENTS,
    Allowance,
    Limits,
    client_of,
    is_loopback,
)
from crosslight.gallery.service.users import new_token, session_of
from tests.gallery.served import encoded, made_searcher, picture, row_id

TOKEN = "correct-horse-battery-staple"
BASE = "http://127.0.0.1"


@pytest.fixture
def searcher(tmp_path: Path):
    return made_searcher(tmp_path / "people.exact", people=2)


def client_for(searcher, *, base_url: str = BASE, **options: Any) -> TestClient:
    """The clock stands: however long the requests take, no allowance grows meanwhile."""
    options.setdefault("clock", lambda: 0.0)
    return TestClient(create_app(searcher, **options), base_url=base_url)


@pytest.mark.parametrize("path", ["/api/gallery", "/api/rows", "/metrics", "/api/picture?row=x"])
def test_without_the_token_nothing_of_the_gallery_is_told(searcher, path: str) -> None:
    client = client_for(searcher, token=TOKEN)
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        reply = client.get(path, headers=headers)
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        assert "token" in reply.json()["error"]
    reply = client.get(path, headers={"authorization": f"Bearer {TOKEN}"})
    assert reply.status_code in {200, 404}


@pytest.mark.parametrize("path", ["/", "/docs", "/health", "/openapi.json", "/static/app.js"])
def test_page_description_and_health_need_no_token(searcher, path: str) -> None:
    assert client_for(searcher, token=TOKEN).get(path).status_code == 200


def test_the_token_buys_a_cookie_that_opens_pictures(searcher) -> None:
    client = client_for(searcher, token=TOKEN)
    assert client.post("/api/session").status_code == 401
    reply = client.post("/api/session", headers={"authorization": f"Bearer {TOKEN}"})
    assert reply.status_code == 204
    cookie = reply.headers["set-cookie"]
    assert TOKEN not in cookie
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert "Secure" not in cookie
    assert client.get("/api/picture", params={"row": row_id(0, 1)}).status_code == 200


def test_the_cookie_of_another_token_opens_nothing(searcher) -> None:
    client = client_for(searcher, token=TOKEN)
    client.cookies.set(Access(TOKEN).cookie_name, session_of("another-token-of-some-length"))
    assert client.get("/api/gallery").status_code == 401
    client.cookies.clear()
    broken = {"cookie": f"{Access(TOKEN).cookie_name}=\xff".encode("latin-1")}
    assert client.get("/api/gallery", headers=broken).status_code == 401


@pytest.mark.parametrize(
    "beside",
    [
        "theme=dark", 'prefs={"a":1}', "dash[tab]=2", "name=Jos\u00e9", "flag", "", "=", 'a="b; c"',
        "{}=" + "0" * 64, "{}=", "{}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["{0}; {1}", "{1}; {0}", "{1};{0}", "{1}; {0}; {1}"])
def test_cookies_of_other_applications_of_the_host_lock_nobody_out(
    searcher, beside: str, order: str
) -> None:
    client, name = client_for(searcher, token=TOKEN), Access(TOKEN).cookie_name
    ours, other = f"{name}={session_of(TOKEN)}", beside.replace("{}", name)
    cookie = order.format(ours, other).encode("latin-1")
    assert client.get("/api/gallery", headers={"cookie": cookie}).status_code == 200


def test_over_tls_the_cookie_is_for_tls_only(searcher) -> None:
    client = client_for(searcher, token=TOKEN, base_url="https://gallery.example")
    reply = client.post("/api/session", headers={"authorization": f"Bearer {TOKEN}"})
    assert "Secure" in reply.headers["set-cookie"]


def test_whoever_guesses_tokens_is_slowed_down_but_open_browsers_go_on(searcher) -> None:
    client = client_for(searcher, token=TOKEN, limits=Limits(failures_per_minute=10))
    right = {"authorization": f"Bearer {TOKEN}"}
    client.post("/api/session", headers=right)
    cookies = dict(client.cookies)
    client.cookies.clear()
    wrong = {"authorization": "Bearer guess"}
    statuses = [client.get("/api/gallery", headers=wrong).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]
    assert client.get("/api/gallery", headers=right).status_code == 429
    client.cookies.update(cookies)
    assert client.get("/api/gallery").status_code == 200


def test_a_short_token_is_refused(searcher) -> None:
    with pytest.raises(ConfigError, match="5 characters"):
        create_app(searcher, token="12345")


def test_new_tokens_differ_and_are_long_enough() -> None:
    tokens = {new_token() for _ in range(20)}
    assert len(tokens) == 20
    assert all(Access(token).needs_token for token in tokens)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[::1", 421),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_answered(
    searcher, host: str, status: int
) -> None:
    reply = client_for(searcher).get("/api/gallery", headers={"host": host})
    assert reply.status_code == status


def test_with_a_token_any_name_is_answered(searcher) -> None:
    headers = {"host": "gallery.example", "authorization": f"Bearer {TOKEN}"}
    assert client_for(searcher, token=TOKEN).get("/api/gallery", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": BASE, "sec-fetch-site": "same-origin"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
    ],
)
def test_pages_of_other_sites_may_not_search(searcher, headers, status: int) -> None:
    reply = client_for(searcher).post("/api/search", data={"row": row_id(0, 1)}, headers=headers)
    assert reply.status_code == status


def test_over_tls_the_same_name_without_it_is_another_site(searcher) -> None:
    client = client_for(searcher, base_url="https://127.0.0.1")
    for origin, status in (("https://127.0.0.1", 200), ("http://127.0.0.1", 403)):
        reply = client.post("/api/search", data={"row": row_id(0, 1)}, headers={"origin": origin})
        assert reply.status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_pages_of_other_sites_may_change_nothing(searcher, method: str) -> None:
    headers = {"origin": "http://evil.example"}
    reply = client_for(searcher).request(method, "/api/rows", headers=headers)
    assert reply.status_code == 403
    assert "other sites" in reply.json()["error"]


def test_a_client_in_a_hurry_is_told_when_to_come_back(searcher) -> None:
    client = client_for(searcher, limits=Limits(searches_per_minute=10))
    replies = [client.post("/api/search", data={"row": row_id(0, 1)}) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 200, 429, 429]
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 6
    assert "try again in" in replies[-1].json()["error"]
    assert client.get("/api/rows").status_code == 200
    assert 'crosslight_refused_total{reason="rate"} 2' in client.get("/metrics").text


def test_reads_have_an_allowance_of_their_own(searcher) -> None:
    client = client_for(searcher, limits=Limits(reads_per_minute=10))
    assert [client.get("/health").status_code for _ in range(3)] == [200, 200, 429]
    assert client.post("/api/search", data={"row": row_id(0, 1)}).status_code == 200


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_large_is_refused(searcher, stated: bool) -> None:
    client = client_for(searcher, limits=Limits(upload_mib=2000 / 2**20))
    content = b"x" * 2001
    body: Any = content if stated else iter([content[:1500], content[1500:]])
    reply = client.post("/api/search", content=body)
    assert reply.status_code == 413
    assert "MiB" in reply.json()["error"]
    small = client.post("/api/search", data={"row": row_id(0, 1)})
    assert small.status_code == 200


@pytest.mark.parametrize(
    ("stated", "sent", "read"), [(2001, 3, 3), (8000, 8, 8), (8001, 9, 0), (0, 9, 9), (0, 90, 9)]
)
def test_what_is_too_large_is_read_to_its_end_or_not_much_further_than_it_may_be(
    searcher, stated: int, sent: int, read: int
) -> None:
    """An answer is lost where the connection ends while the other side still sends."""
    app = create_app(searcher, limits=Limits(upload_mib=2000 / 2**20))
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 999, "more_body": taken < sent}

    reply = asyncio.run(answer_of(app, receive, str(stated or "").encode()))
    assert (reply["status"], taken) == (413, read)
    headers = dict(reply["headers"])
    assert (headers.get(b"connection") == b"close") is (read < sent)


def test_an_image_with_too_many_pixels_is_refused(searcher) -> None:
    client = client_for(searcher, limits=Limits(upload_megapixels=0.001))
    reply = client.post("/api/search", files={"image": encoded(picture(0, 1))})
    assert reply.status_code == 422
    assert "pixels" in reply.json()["error"]


def test_a_body_that_does_not_arrive_is_given_up(searcher) -> None:
    app = create_app(searcher, limits=Limits(body_s=0.05))

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert asyncio.run(answer_of(app, receive, b"10"))["status"] == 408


async def answer_of(app: Any, receive: Any, length: bytes) -> dict[str, Any]:
    """How the answer to a search begins."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/search",
        "headers": [(b"host", b"127.0.0.1"), *([(b"content-length", length)] if length else [])],
        "client": ("127.0.0.1", 1),
        "query_string": b"",
        "app": app,
    }
    await app(scope, receive, send)
    return sent[0]


def test_too_many_searches_at_once_are_sent_away(searcher) -> None:
    """With one place before the model, of many searches at once some are answered, none fail."""
    app = create_app(searcher, limits=Limits(waiting=1))

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            asked = (client.post("/api/search", data={"row": row_id(0, 1)}) for _ in range(12))
            return [reply.status_code for reply in await asyncio.gather(*asked)]

    statuses = asyncio.run(ask())
    assert set(statuses) == {200, 429}


def test_every_answer_carries_the_security_headers(searcher) -> None:
    client = client_for(searcher, token=TOKEN)
    for reply in (client.get("/"), client.get("/api/rows"), client.get("/nowhere")):
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] == "no-referrer"


@given(st.floats(1, 1000), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_no_client_ever_gets_more_than_its_allowance(
    per_minute: float, pauses: list[float]
) -> None:
    now = 0.0
    allowance = Allowance(per_minute, clock=lambda: now)
    granted = 0
    for pause in pauses:
        now += pause
        said = allowance.wait_s("a")
        wait = allowance.spend("a")
        assert (said == 0) == (wait == 0)
        granted += wait == 0
        assert granted <= max(1.0, per_minute / 5) + now * per_minute / 60 + 1e-6
        if wait:
            now += wait * (1 + 1e-9) + 1e-9
            assert allowance.spend("a") == 0
            granted += 1
    assert allowance.spend("b") == 0


def test_only_so_many_clients_are_remembered() -> None:
    allowance = Allowance(60, clock=lambda: 0.0)
    for number in range(KEPT_CLIENTS + 50):
        allowance.spend(str(number))
    assert len(allowance._clients) == KEPT_CLIENTS


def test_an_ipv6_network_is_one_client() -> None:
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1")
    assert client_of("2001:db8:0:1::1") != client_of("2001:db8::1")
    assert client_of("10.0.0.1") != client_of("10.0.0.2")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("example.com", False),
     ("", False)],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
