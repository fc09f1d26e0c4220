"""From the name of a store to the store: `gallery.lance`, `people.exact`, `milvus://host/name`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from crosslight.errors import GalleryError
from crosslight.gallery.stores.description import NoStoreError, read_description
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.stores.relabelling import finish_what_was_cut_off
from crosslight.gallery.stores.store import Store, StoreInfo
from crosslight.parts import named_if_missing
from crosslight.types import DeepRange, Distance

if TYPE_CHECKING:
    from crosslight.gallery.stores.lance.store import LanceStore
    from crosslight.gallery.stores.milvus.store import MilvusStore

MILVUS = "milvus://"
MILVUS_LITE = ".milvus"
EXACT = ".exact"


def open_store(location: str | Path) -> Store:
    """Opens a store that exists.

    Args:
        location: A folder (whatever its name, its description says what it is), the file of a
            Milvus Lite store (`people.milvus`), or `milvus://host:port/name`.

    Raises:
        GalleryError: There is none, or it is damaged.
        MissingPartError: What it needs is not installed.
    """
    store = _opened(str(location))
    try:
        finish_what_was_cut_off(store)
    except BaseException:
        store.close()
        raise
    return store


def _opened(name: str) -> Store:
    if _is_milvus(name):
        return _milvus_store()(name)
    folder = Path(name)
    kind, _ = read_description(folder)
    if kind == "exact":
        return ExactStore(folder)
    if kind == "lance":
        return _lance_store()(folder)
    raise GalleryError(f"{folder} is a store of the kind {kind!r}; update crosslight to read it.")


def create_store(
    location: str | Path,
    *,
    model: str,
    method: str,
    run: str,
    dim: int,
    distance: Distance,
    interpolation: str = "bilinear",
    deep_range: DeepRange | None = None,
) -> Store:
    """Makes an empty store; the name's ending decides the kind, `lance` where it says nothing.

    Args:
        location: As in `open_store`; a folder that ends in `.exact` becomes an exact store.
        model: Fingerprint of the model that will fill it.
        method: Name of the model's method.
        run: Its run folder.
        dim: Numbers per vector.
        distance: How vectors are compared.
        interpolation: How the model's images are brought to their size.
        deep_range: As in `StoreInfo`.

    Raises:
        GalleryError: Something is there already.
        MissingPartError: What it needs is not installed.
    """
    info = StoreInfo(
        model=model,
        method=method,
        run=run,
        dim=dim,
        distance=distance,
        interpolation=interpolation,
        deep_range=deep_range,
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
    )
    return create_like(location, info)


def create_like(location: str | Path, info: StoreInfo) -> Store:
    """Makes an empty store for rows of the same model, with the same calibration."""
    name = str(location)
    if _is_milvus(name):
        return _milvus_store().create(name, info)
    if name.endswith(EXACT):
        return ExactStore.create(Path(name), info)
    return _lance_store().create(Path(name), info)


def open_or_create(location: str | Path, info: StoreInfo) -> Store:
    """Opens a store; where nothing is yet, makes an empty one for rows of the same model.

    Raises:
        GalleryError: What is there cannot be opened.
        MissingPartError: What it needs is not installed.
    """
    try:
        return open_store(location)
    except NoStoreError:
        return create_like(location, info)


def _lance_store() -> type[LanceStore]:
    with named_if_missing():
        from crosslight.gallery.stores.lance.store import LanceStore
    return LanceStore


def _milvus_store() -> type[MilvusStore]:
    with named_if_missing():
        from crosslight.gallery.stores.milvus.store import MilvusStore
    return MilvusStore


def _is_milvus(name: str) -> bool:
    return name.startswith(MILVUS) or name.endswith(MILVUS_LITE)
