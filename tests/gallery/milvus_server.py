"""A real Milvus server for tests, from the PyPI package `milvus`: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path
from typing import Self

import pytest

from tests.last_resort import HANG_MS

_STOPS_WITHIN_S = 10


class MilvusServer:
    """Runs while the block lasts, on free ports, with its data in a folder of its own.

    Skips the test where the package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        package = pytest.importorskip(
            "milvus", reason="say: make test-milvus (Linux x86-64; it installs milvus==2.3.5)"
        )
        config = package.MilvusServerConfig(data_dir=str(folder))
        ports = [key for key in config.configurable_items if key.endswith("_port")]
        config.update(**dict(zip(ports, free_ports(len(ports)), strict=True)))
        self._server = package.MilvusServer(config, wait_for_started=False)
        self._server.webservice_port = free_ports(1)[0]

    def __enter__(self) -> Self:
        self._server.start()
        self._server.wait_started(timeout=int(HANG_MS))
        return self

    def __exit__(self, *_: object) -> None:
        # The package's own stop() waits a second only; its process is ended by its id either way.
        process = self._server.server_proc
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOPS_WITHIN_S)
        self._server.stop()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.listen_port)


def location(port: int, name: str) -> str:
    """Of a store with this name on a server of this machine."""
    return f"milvus://127.0.0.1:{port}/{name}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; held until all are found, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
