"""Serves a gallery over HTTP: the API and the page."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from crosslight.commands.serve_address import print_code, reachable
from crosslight.errors import ConfigError
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.audit import audit_of
from crosslight.gallery.search import Searcher
from crosslight.gallery.service.access import Access
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits, is_loopback
from crosslight.gallery.service.proxies import Proxies
from crosslight.gallery.service.settings import Address, Allowed
from crosslight.gallery.service.users import UsersFile, exposure_of, new_token
from crosslight.gallery.stores.opening import open_store

TOKEN_VARIABLE = "CROSSLIGHT_TOKEN"
CONNECTIONS = 256
LEAVING_S = 10
"""Seconds that running requests get when the service stops."""


def run_serve(
    location: str,
    address: Address,
    allowed: Allowed,
    *,
    model: Path | None,
) -> None:
    """Serves until SIGINT or SIGTERM; requests that run then are finished first.

    Raises:
        GalleryError: There is no such store, or its model is another one.
        ConfigError: The address cannot be bound, or the token, the users or a proxy is unusable.
    """
    host, port = address.host, address.port
    proxies = Proxies(address.trusted_proxy)
    users = None if address.users is None else UsersFile(address.users)
    token = None if users else token_for(address)
    Access(token, users)  # what is wrong with them is said before a model is loaded
    audit = audit_of(address.audit)
    store = open_store(location)
    searcher = Searcher(store, embedder_for(store.info, model))
    limits = Limits(**vars(allowed))
    app = create_app(
        searcher, token=token, users=users, proxies=proxies, limits=limits, audit=audit
    )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        proxy_headers=False,  # it believes whatever the client wrote first; see service/proxies.py
        server_header=False,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=LEAVING_S,
    )
    listening = _listen(host, port)
    page = f"http://{reachable(host)}:{listening.getsockname()[1]}/"
    opened = f"{page}#token={token}" if token else page
    print(f"Gallery:  {location}, {store.count():,} images", flush=True)
    print(f"Page:     {opened}", flush=True)
    print(f"API:      {page}docs", flush=True)
    if not is_loopback(host):
        print_code(opened)
    server = uvicorn.Server(config)
    with _stops_are_ordinary(server):
        print("Ctrl-C stops it.", flush=True)
        server.run(sockets=[listening])
    print("Stopped.", flush=True)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{host}:{port} cannot be listened on ({error}); say --port 0 for any free port, and "
            "--host with an address of this machine."
        ) from error


@contextmanager
def _stops_are_ordinary(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM end the service in good order, whenever they come.

    Uvicorn listens to them only while it serves: before that they would be lost, and once it has
    finished it sends itself the signal again, which would end the process.
    """

    def stop(_: int, __: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def token_for(address: Address) -> str | None:
    """The token from the file, from the environment, or a new one where others can come in.

    Raises:
        ConfigError: The file cannot be read.
    """
    file = address.token_file
    if file is not None:
        try:
            token = file.read_text(encoding="utf-8").strip()
            exposed = exposure_of(file, file.stat().st_mode)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The token cannot be read from {file} ({error}); expected a text file."
            ) from error
        if exposed:
            print(exposed, file=sys.stderr)
        return token
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        return given.strip()
    if is_loopback(address.host) and not address.trusted_proxy:
        return None
    way = "The named proxy" if is_loopback(address.host) else address.host
    print(
        f"{way} can be reached by others, so a token was made; keep one of your own with "
        f"--token-file FILE or {TOKEN_VARIABLE}, or name users with --users FILE.",
        file=sys.stderr,
    )
    if not address.trusted_proxy:
        print(
            "The connection is not encrypted; docs/operations.md says how to put it behind TLS.",
            file=sys.stderr,
        )
    return new_token()
