from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crosslight.gallery.stores.opening import create_like
from crosslight.gallery.stores.store import Store, StoreInfo
from tests.gallery.milvus_server import MilvusServer
from tests.gallery.rows import INFO

Create = Callable[..., Store]


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory) -> Iterator[MilvusServer]:
    """A real Milvus server of this session's own, on free ports."""
    with MilvusServer(tmp_path_factory.mktemp("milvus")) as server:
        yield server


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
        }.get(kind) or server.location(f"{name}_{len(made)}_{abs(hash(tmp_path)) % 10**8}")
        store = create_like(location, info)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()
