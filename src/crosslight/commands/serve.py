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

from crosslight.commands.flag_numbers import require_from_to
from crosslight.errors import ConfigError
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.opening import open_store
from crosslight.gallery.search import Searcher
from crosslight.gallery.service.access import new_token
from crosslight.gallery.service.app import create_app
from crosslight.gallery.service.limits import Limits, is_loopback
from crosslight.gallery.service.settings import Address, Allowed

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
        ConfigError: The address cannot be bound, or the token is unusable.
    """
    host, port = address.host, address.port
    require_from_to("port", port, 0, 65_535)
    token = token_for(host, address.token_file)
    store = open_store(location)
    searcher = Searcher(store, embedder_for(store.info, model))
    app = create_app(searcher, token=token, limits=Limits(**vars(allowed)))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        # A client may write any X-Forwarded-For; the rate must count its true address.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=LEAVING_S,
    )
    listening = _listen(host, port)
    name = f"[{host}]" if ":" in host else host
    bound = listening.getsockname()[1]
    print(f"Gallery:  {location}, {store.count():,} images", flush=True)
    print(f"Page:     http://{name}:{bound}/{f'#token={token}' if token else ''}", flush=True)
    print(f"API:      http://{name}:{bound}/docs", flush=True)
    print("Ctrl-C stops it.", flush=True)
    with _stops_are_ordinary():
        uvicorn.Server(config).run(sockets=[listening])
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
def _stops_are_ordinary() -> Iterator[None]:
    """Uvicorn sends itself the signal again once it has finished, which would end the process."""
    before = {number: signal.signal(number, _ignored) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignored(_: int, __: FrameType | None) -> None:
    """Of the signal that has been obeyed already."""


def token_for(host: str, file: Path | None) -> str | None:
    """The token from the file, from the environment, or a new one where others can come in.

    Raises:
        ConfigError: The file cannot be read.
    """
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The token cannot be read from {file} ({error}); expected a text file."
            ) from error
    given = os.environ.get(TOKEN_VARIABLE)
    if given:
        return given.strip()
    if is_loopback(host):
        return None
    print(
        f"{host} can be reached by others, so a token was made; keep one of your own with "
        f"--token-file FILE or {TOKEN_VARIABLE}. The connection is not encrypted; docs/service.md "
        "says how to put it behind TLS.",
        file=sys.stderr,
    )
    return new_token()
