"""Whom a request is taken to come from, with proxies that were named and with forged headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from crosslight.errors import ConfigError
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.proxies import Proxies
from tests.gallery.served import made_searcher, row_id

TOKEN = "correct-horse-battery-staple"
PROXY = "10.0.0.1"
NAMED = Proxies([PROXY, "172.16.0.0/12", "fd00::/8"])

Headers = list[tuple[str, str]]
Ask = Callable[..., Any]


def seen(*headers: tuple[str, str], peer: str = PROXY) -> tuple[str, str]:
    scope = {
        "type": "http",
        "scheme": "http",
        "client": (peer, 1234),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    found = NAMED.seen_through(scope)
    return found["client"][0], found["scheme"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], (PROXY, "http")),
        ([("x-forwarded-for", "198.51.100.7")], ("198.51.100.7", "http")),
        ([("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")],
         ("198.51.100.7", "https")),
        # What the client wrote stands left of what the proxy saw.
        ([("x-forwarded-for", "1.1.1.1, 198.51.100.7")], ("198.51.100.7", "http")),
        ([("x-forwarded-for", "10.0.0.1, 198.51.100.7")], ("198.51.100.7", "http")),
        ([("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7")],
         ("198.51.100.7", "http")),
        # A second named proxy is passed, and no more than that.
        ([("x-forwarded-for", "1.1.1.1, 198.51.100.7, 172.20.0.5")], ("198.51.100.7", "http")),
        ([("x-forwarded-for", "198.51.100.7, 172.20.0.5"), ("x-forwarded-proto", "https, http")],
         ("198.51.100.7", "https")),
        ([("x-forwarded-for", "172.20.0.5, 172.20.0.6")], ("172.20.0.5", "http")),
        ([("x-forwarded-for", "198.51.100.7:5511")], ("198.51.100.7", "http")),
        ([("x-forwarded-for", "2001:db8::7")], ("2001:db8::7", "http")),
        ([("x-forwarded-for", "[2001:db8::7]:443")], ("2001:db8::7", "http")),
        ([("x-forwarded-for", "::ffff:198.51.100.7")], ("198.51.100.7", "http")),
        # What is no address ends the way.
        ([("x-forwarded-for", "1.1.1.1, unknown")], (PROXY, "http")),
        ([("x-forwarded-for", "1.1.1.1, ")], (PROXY, "http")),
        ([("x-forwarded-for", "\xff")], (PROXY, "http")),
        ([("x-forwarded-proto", "https")], (PROXY, "https")),
        ([("x-forwarded-proto", "HTTPS")], (PROXY, "https")),
        ([("x-forwarded-proto", "javascript")], (PROXY, "http")),
        ([("forwarded", "for=198.51.100.7;proto=https")], ("198.51.100.7", "https")),
        ([("forwarded", 'For="[2001:db8::7]:4711"; Proto=https')], ("2001:db8::7", "https")),
        ([("forwarded", 'for=1.1.1.1, for="198.51.100.7";proto=https;host="a,b;c"')],
         ("198.51.100.7", "https")),
        ([("forwarded", "for=198.51.100.7"), ("forwarded", "for=172.20.0.5")],
         ("198.51.100.7", "http")),
        ([("forwarded", "for=_hidden;proto=https")], (PROXY, "https")),
        ([("forwarded", 'for="198.51.100.7')], (PROXY, "http")),
        ([("forwarded", "nonsense")], (PROXY, "http")),
        # One that the proxy did not write: the two do not agree.
        ([("forwarded", "for=1.1.1.1;proto=https"), ("x-forwarded-for", "198.51.100.7")],
         (PROXY, "http")),
        ([("forwarded", "for=198.51.100.7;proto=https"), ("x-forwarded-for", "198.51.100.7"),
          ("x-forwarded-proto", "https")], ("198.51.100.7", "https")),
    ],
)  # fmt: skip
def test_a_named_proxy_is_believed_about_its_client(headers: Headers, expected: Any) -> None:
    assert seen(*headers) == expected


@pytest.mark.parametrize("peer", ["198.51.100.9", "10.0.0.2", "127.0.0.1", "2001:db8::1", "", "x"])
def test_nobody_else_is(peer: str) -> None:
    forged = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=1.1.1.1;proto=https"),
    ]
    assert seen(*forged, peer=peer) == (peer, "http")


@pytest.mark.parametrize("peer", ["172.31.255.255", "fd00::1", "::ffff:10.0.0.1"])
def test_networks_and_mapped_addresses_are_named_too(peer: str) -> None:
    assert seen(("x-forwarded-for", "1.1.1.1"), peer=peer) == ("1.1.1.1", "http")


def test_who_comes_by_no_address_is_left_as_it_is() -> None:
    scope = {"type": "http", "client": None, "headers": [(b"x-forwarded-for", b"1.1.1.1")]}
    assert NAMED.seen_through(scope) is scope


ADDRESSES = st.ip_addresses().map(str)


@given(st.lists(st.one_of(ADDRESSES, st.text(max_size=12))), ADDRESSES)
def test_whatever_a_client_writes_its_own_address_counts(forged: list[str], client: str) -> None:
    alone = seen(("x-forwarded-for", client))
    text = ", ".join([*forged, client]).encode("utf-8", "replace").decode("latin-1")
    if not _is_named(alone[0]):
        assert seen(("x-forwarded-for", text)) == alone


@given(st.text())
def test_no_header_makes_it_fail(text: str) -> None:
    sent = text.encode("utf-8", "replace").decode("latin-1")
    for name in ("x-forwarded-for", "x-forwarded-proto", "forwarded"):
        seen((name, sent))


def _is_named(address: str) -> bool:
    return seen(("x-forwarded-for", "192.0.2.200"), peer=address)[0] == "192.0.2.200"


@pytest.mark.parametrize("named", ["caddy", "10.0.0.300", "", "0.0.0.0/0", "::/0", "10.0.0.1/99"])
def test_a_proxy_that_is_no_address_or_everybody_is_refused(named: str) -> None:
    with pytest.raises(ConfigError, match=r"--trusted-proxy .* say the"):
        Proxies([named])


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Asks from any address; the clock of the allowances stands."""
    app = create_app(
        made_searcher(tmp_path / "people.exact", people=2),
        token=TOKEN,
        proxies=NAMED,
        limits=Limits(searches_per_minute=10, failures_per_minute=10),
        clock=lambda: 0.0,
    )

    def asked(method: str, path: str, *, peer: str = PROXY, token: str = TOKEN, **sent: Any) -> Any:
        headers = {"authorization": f"Bearer {token}", **sent.pop("headers", {})}
        client = TestClient(app, base_url="http://gallery.example", client=(peer, 1))
        return client.request(method, path, headers=headers, **sent)

    return asked


def searched(ask: Ask, forwarded: str, **options: Any) -> int:
    headers = {"x-forwarded-for": forwarded}
    data = {"row": row_id(0, 1)}
    return ask("POST", "/api/search", headers=headers, data=data, **options).status_code


def test_behind_a_named_proxy_each_client_has_its_own_allowance(ask: Ask) -> None:
    for client in ("198.51.100.7", "198.51.100.8"):
        assert [searched(ask, client) for _ in range(3)] == [200, 200, 429]


def test_no_forged_header_gives_a_fresh_allowance(ask: Ask) -> None:
    assert [searched(ask, f"1.1.1.{n}, 198.51.100.7") for n in range(3)] == [200, 200, 429]
    direct = [searched(ask, f"1.1.2.{n}", peer="198.51.100.9") for n in range(3)]
    assert direct == [200, 200, 429]


def test_no_forged_header_locks_somebody_else_out(ask: Ask) -> None:
    for _ in range(3):
        wrong = {"x-forwarded-for": "198.51.100.7"}
        ask("GET", "/api/gallery", peer="203.0.113.5", token="guess" * 5, headers=wrong)
    assert searched(ask, "198.51.100.7") == 200


@pytest.mark.parametrize(
    ("headers", "peer", "secure"),
    [
        ({"x-forwarded-proto": "https"}, PROXY, True),
        ({"forwarded": "for=198.51.100.7;proto=https"}, PROXY, True),
        ({}, PROXY, False),
        ({"x-forwarded-proto": "https"}, "198.51.100.9", False),
    ],
)
def test_the_cookie_is_for_tls_where_the_browser_used_it(
    ask: Ask, headers: dict[str, str], peer: str, secure: bool
) -> None:
    reply = ask("POST", "/api/session", peer=peer, headers=headers)
    assert reply.status_code == 204
    assert ("Secure" in reply.headers["set-cookie"]) is secure


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://gallery.example", 200),
        ("http://gallery.example", 403),
        ("https://evil.example", 403),
        ("https://gallery.example:444", 403),
        ("null", 403),
    ],
)
def test_behind_tls_only_its_own_page_may_search(ask: Ask, origin: str, status: int) -> None:
    headers = {"origin": origin, "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}
    reply = ask("POST", "/api/search", headers=headers, data={"row": row_id(0, 1)})
    assert reply.status_code == status
