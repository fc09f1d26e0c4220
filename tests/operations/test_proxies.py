"""The samples of deploy/ in real proxies: TLS, each client its own limit, and its own page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.proxies import Proxies
from crosslight.gallery.service.users import Role, UsersFile
from tests.gallery.browsing import browser, running
from tests.gallery.served import encoded, made_searcher, picture, row_id
from tests.last_resort import HANG_MS, HANG_S

pytestmark = pytest.mark.operations

DEPLOY = Path(__file__).parents[2] / "deploy"
SAMPLE_NAME = "gallery.example.org"
NGINX = """
daemon off;
user root;
pid {folder}/pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""
CADDY = "{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{site}"


@dataclass(frozen=True)
class Behind:
    """A service behind a proxy.

    Attributes:
        address: Of the proxy.
        tokens: Of the users anna and ben.
    """

    address: str
    tokens: dict[str, str]

    def ask(
        self, method: str, path: str, *, by: str = "anna", client: str = "127.0.0.2", **sent
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.tokens.get(by, by)}", **sent.pop("headers", {})}
        transport = httpx.HTTPTransport(verify=False, local_address=client)
        with httpx.Client(transport=transport, timeout=HANG_S) as asking:
            return asking.request(method, f"{self.address}{path}", headers=headers, **sent)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl in the PATH; Debian: apt install openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextmanager
def _process(command: list[str], *, ready: str, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    assert process.stderr is not None
    try:
        told = []
        for line in process.stderr:
            told.append(line)
            if ready in line:
                break
        else:
            raise AssertionError("".join(told))
        yield
    finally:
        process.terminate()
        process.communicate(timeout=HANG_S)


@pytest.fixture(params=["nginx", "caddy"])
def behind(request, tmp_path: Path, certificate) -> Iterator[Behind]:
    name = request.param
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        package = {"nginx": "nginx-light", "caddy": "caddy"}[name]
        pytest.skip(f"no {name} in the PATH; Debian: apt install {package}")
    users = UsersFile(tmp_path / "users.txt")
    tokens = {name: users.add(name, Role.LABEL) for name in ("anna", "ben")}
    app = create_app(
        made_searcher(tmp_path / "people.exact", people=3),
        users=users,
        proxies=Proxies(["127.0.0.1"]),
        limits=Limits(searches_per_minute=10, failures_per_minute=10),
        clock=lambda: 0.0,
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    cert, key = map(str, certificate)
    with running(app) as inside:
        upstream = inside.removeprefix("http://").rstrip("/")
        if name == "nginx":
            site = (DEPLOY / "nginx.conf").read_text()
            changes = {
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                f"/etc/letsencrypt/live/{SAMPLE_NAME}/fullchain.pem": cert,
                f"/etc/letsencrypt/live/{SAMPLE_NAME}/privkey.pem": key,
                SAMPLE_NAME: "localhost",
                "127.0.0.1:8000": upstream,
            }
            (tmp_path / "site.conf").write_text(_changed(site, changes))
            (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path))
            command, ready = [program, "-c", str(tmp_path / "nginx.conf")], "start worker process"
        else:
            site = (DEPLOY / "Caddyfile").read_text()
            changes = {
                f"{SAMPLE_NAME} {{": f"https://localhost:{port} {{\n\tbind 127.0.0.1\n"
                f"\ttls {cert} {key}",
                "127.0.0.1:8000": upstream,
            }
            (tmp_path / "Caddyfile").write_text(CADDY.format(site=_changed(site, changes)))
            command = [program, "run", "--config", str(tmp_path / "Caddyfile")]
            ready = "serving initial configuration"
        home = {key: str(tmp_path) for key in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
        with _process(command, ready=ready, env={**os.environ, **home}):
            yield Behind(f"https://localhost:{port}", tokens)


def _changed(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_the_cookie_is_for_tls_only_and_opens_the_gallery(behind: Behind) -> None:
    reply = behind.ask("POST", "/api/session")
    assert reply.status_code == 204
    assert "Secure" in reply.headers["set-cookie"]
    cookie = reply.headers["set-cookie"].partition(";")[0]
    shown = behind.ask("GET", "/api/session", by="nobody", headers={"cookie": cookie})
    assert shown.json() == {"name": "anna", "role": "label"}


def test_each_client_guesses_on_its_own_account_and_cannot_change_it(behind: Behind) -> None:
    """Two guesses are granted; the address that counts is where the connection came from."""
    forged = [
        {},
        {"x-forwarded-for": "203.0.113.9"},
        {"forwarded": "for=203.0.113.10;proto=https"},
        {"x-forwarded-for": "203.0.113.9", "forwarded": "for=203.0.113.9"},
        {"x-real-ip": "203.0.113.11", "x-forwarded-proto": "http"},
    ]
    statuses = [
        behind.ask("GET", "/api/gallery", by="guess" * 5, headers=headers).status_code
        for headers in forged
    ]
    assert statuses == [401, 401, 429, 429, 429]
    assert behind.ask("GET", "/api/gallery").status_code == 429
    for client in ("127.0.0.3", "127.0.0.4"):
        assert behind.ask("GET", "/api/gallery", client=client).status_code == 200
    # The proxy asks from 127.0.0.1; a client at that address is no more than a client.
    headers = {"x-forwarded-for": "127.0.0.2"}
    assert behind.ask("GET", "/api/rows", client="127.0.0.1", headers=headers).status_code == 200


def test_users_have_limits_of_their_own_wherever_they_are(behind: Behind) -> None:
    def search(by: str, client: str) -> int:
        files = {"image": encoded(picture(1, 1))}
        return behind.ask("POST", "/api/search", by=by, client=client, files=files).status_code

    assert [search("anna", f"127.0.0.{n}") for n in (2, 3, 4)] == [200, 200, 429]
    assert search("ben", "127.0.0.2") == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 403), ("http://{host}", 403), ("https://{host}", 200)],
)
def test_only_its_own_page_may_search(behind: Behind, origin: str, status: int) -> None:
    headers = {"origin": origin.format(host=behind.address.removeprefix("https://"))}
    reply = behind.ask("POST", "/api/search", headers=headers, data={"row": row_id(0, 1)})
    assert reply.status_code == status


def test_a_request_that_is_too_large_is_refused(behind: Behind) -> None:
    reply = behind.ask("POST", "/api/search", files={"image": bytes(12 * 2**20)})
    assert reply.status_code == 413
    reply = behind.ask("POST", "/api/search", files={"image": bytes(10 * 2**20 + 100_000)})
    assert reply.status_code == 413
    assert "MiB" in reply.json()["error"]


def test_the_page_searches_through_the_proxy(behind: Behind, tmp_path: Path) -> None:
    query = tmp_path / "query.png"
    query.write_bytes(encoded(picture(2, 1)))
    with browser() as chromium:
        page = chromium.new_page(ignore_https_errors=True)
        page.set_default_timeout(HANG_MS)
        page.goto(f"{behind.address}/#token={behind.tokens['anna']}")
        page.locator("#facts b").wait_for()
        assert "token" not in page.url
        page.locator("input[type=file]").first.set_input_files(query)
        found = page.locator("#cards img").first
        assert found.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        page.close()
