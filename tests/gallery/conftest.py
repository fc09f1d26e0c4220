from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from crosslight.gallery.stores.opening import create_like
from crosslight.gallery.stores.store import Store, StoreInfo
from tests.gallery.milvus_server import MilvusServer, location
from tests.gallery.rows import INFO

Create = Callable[..., Store]


_SHARED = "CROSSLIGHT_TESTS_MILVUS_PORT"
"""Where processes that test together find the one server; two on one machine do not start."""


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    """Starts the server before the processes that share it."""
    config = session.config
    together = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if together and config.option.markexpr == "milvus_server":
        stack = ExitStack()
        folder = stack.enter_context(TemporaryDirectory(prefix="crosslight-milvus-"))
        server = stack.enter_context(MilvusServer(Path(folder)))
        os.environ[_SHARED] = str(server.port)
        config.add_cleanup(stack.close)
    return (yield)


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """Where a store with a name is on a real Milvus server, on free ports."""
    shared = os.environ.get(_SHARED)
    if shared is not None:
        yield partial(location, int(shared))
        return
    with MilvusServer(tmp_path_factory.mktemp("milvus")) as server:
        yield partial(location, server.port)


@pytest.fixture(
    params=[
        "exact",
        "lance",
        "milvus-lite",
        pytest.param("milvus-server", marks=pytest.mark.milvus_server),
    ]
)
def create(request, tmp_path: Path) -> Iterator[Create]:
    """Makes empty stores of one kind; they are closed, and on the server dropped, after."""
    kind = request.param
    if kind.startswith("milvus"):
        pytest.importorskip("pymilvus", reason="say: pip install 'crosslight[milvus]'")
    server = request.getfixturevalue("milvus_server") if kind == "milvus-server" else None
    made: list[Store] = []

    def make(name: str = "people", info: StoreInfo = INFO) -> Store:
        location = {
            "exact": tmp_path / f"{name}.exact",
            "lance": tmp_path / f"{name}.lance",
            "milvus-lite": tmp_path / f"{name}.milvus",
        }.get(kind) or server(f"{name}_{len(made)}_{abs(hash(tmp_path)) % 10**8}")
        store = create_like(location, info)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
