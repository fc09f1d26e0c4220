"""The service on a free port, and a browser to drive its page with."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from tests.last_resort import HANG_MS, HANG_S

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serves an application from a thread of this process; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(HANG_S)
        assert not thread.is_alive()


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium without a window; skips the test where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="say: pip install 'crosslight[dev]'"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium in the PATH; Debian: apt install chromium")
    with playwright.sync_playwright() as started:
        # Containers often run as root, where Chromium's sandbox does not start.
        chromium = started.chromium.launch(
            executable_path=path, args=["--no-sandbox"], timeout=HANG_MS
        )
        yield chromium
        chromium.close()
