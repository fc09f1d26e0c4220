"""A store in Milvus: a server where one machine is outgrown, or a local file with Milvus Lite.

The same client code speaks to both. `milvus://host:port/name` is a server's collection; its user
name and password or token come from the environment variable CROSSLIGHT_MILVUS_TOKEN.
`people.milvus` is a folder with a Milvus Lite file, which a single process can open: it is meant
for tests and for trying things out.

What Milvus lacks is made up for in rows.py. What the store knows about itself is in a
second collection, `name_info`. An `add` of more than `ATOMIC_ROWS` rows may be cut in two by a
crash; each id is still there once, because rows are put in their place by their id.

Milvus marks removed rows. In a local file all others are put into a new collection, `people_kept`,
that takes the place of the old one, which becomes `people_gone` and is deleted. A server is asked
to compact; when it deletes the files of before is its own affair (`dataCoord.gc`).
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pymilvus import CollectionSchema, DataType, MilvusClient
from pymilvus.exceptions import MilvusException
from pymilvus.milvus_client.index import IndexParams

from crosslight.errors import GalleryError
from crosslight.gallery.stores.complaints import complaint, sentence, told
from crosslight.gallery.stores.description import LITE_FILE, NoStoreError, require_new
from crosslight.gallery.stores.forgetting import forget_gone
from crosslight.gallery.stores.ledger import FileLedger, Ledger
from crosslight.gallery.stores.milvus.ledger import MilvusLedger
from crosslight.gallery.stores.milvus.lite import LiteClient
from crosslight.gallery.stores.milvus.nearest import Nearest
from crosslight.gallery.stores.milvus.rows import (
    KEY,
    SMALL,
    VECTOR,
    condition,
    from_milvus,
    keys_among,
    small_from_milvus,
    to_milvus,
)
from crosslight.gallery.stores.rows import COLUMNS, EVERYTHING, SCHEMA, Filter, Hit, Rows, hits_from
from crosslight.gallery.stores.store import ClosedAtTheEnd, StoreInfo, checked_queries, checked_rows
from crosslight.types import DeepRange, Distance

T = TypeVar("T")

_LOGS = ("pymilvus", "milvus_lite")
"""They write every error down with a traceback before raising it; here each becomes a sentence."""

TOKEN = "CROSSLIGHT_MILVUS_TOKEN"
KEPT, GONE = "people_kept", "people_gone"
ATOMIC_ROWS = 1_000
METRICS: dict[Distance, str] = {"cosine": "COSINE", "euclidean": "L2", "dot": "IP"}

_LONGEST_TEXT = 65_535  # bytes, Milvus's limit
_KEYS_AT_ONCE = 1_000
_LARGEST_WINDOW = 16_384  # Milvus's limit of offset + limit
_SEARCH_WIDTH = 256
_READ_AT_ONCE = 1_000


class MilvusStore(ClosedAtTheEnd):
    """See the module's docstring and `crosslight.gallery.stores.store.Store`."""

    kind = "milvus"

    def __init__(self, location: str) -> None:
        self._location = location
        if not _is_server(location):
            with told(location):
                there = (Path(location) / LITE_FILE).exists()
            if not there:  # Milvus Lite would make it
                raise NoStoreError(location)
        self._client, self._name = _connected(location)
        self.ledger: Ledger = (
            MilvusLedger(self._client, f"{self._name}_info", self._ask)
            if _is_server(location)
            else FileLedger(Path(location))
        )
        try:
            if not _is_server(location):
                self._finish_removal()
            there = _told(location, lambda: self._client.has_collection(self._name))
            if not there:
                raise NoStoreError(location)
            for collection in (self._name, f"{self._name}_info"):
                # Milvus Lite lets go of what the process that wrote it had loaded.
                self._ask(lambda name=collection: self._client.load_collection(name))  # type: ignore[misc]
            self._info = self._read_info()
            if self._is_removing():
                self._rewrite()
        except GalleryError:
            self._client.close()
            raise

    @classmethod
    def create(cls, location: str, info: StoreInfo) -> MilvusStore:
        """Makes an empty store.

        Raises:
            GalleryError: Something is there already, or the server does not answer.
        """
        if not _is_server(location):
            require_new(Path(location))
        client, name = _connected(location)
        try:
            if _told(location, lambda: client.has_collection(name)):
                raise GalleryError(f"{location} exists already; give the new store another name.")
            _told(location, lambda: _make_collections(client, name, info, _is_server(location)))
            _told(location, lambda: _write_info(client, name, info))
        finally:
            client.close()
        return cls(location)

    @property
    def info(self) -> StoreInfo:
        """What the store knows about itself."""
        return self._info

    @property
    def location(self) -> str:
        """What opens it again."""
        return self._location

    def add(self, rows: Rows) -> int:
        """As `Store.add`, at most `ATOMIC_ROWS` at a time."""
        rows = checked_rows(self._info, rows)
        there = self.present(rows.ids)
        rows = rows.take([n for n, i in enumerate(rows.ids) if i not in there])
        self._put(rows)
        return len(rows)

    def present(self, ids: Sequence[str]) -> set[str]:
        """As `Store.present`."""
        return {row["name"] for row in self._rows_by_id(ids, ["name"])}

    def labels(self, ids: Sequence[str]) -> pl.DataFrame:
        """As `Store.labels`."""
        return small_from_milvus(list(self._rows_by_id(list(dict.fromkeys(ids)), list(SMALL))))

    def update(self, rows: Rows) -> int:
        """As `Store.update`, at most `ATOMIC_ROWS` at a time."""
        rows = checked_rows(self._info, rows)
        there = self.present(rows.ids)
        rows = rows.take([n for n, i in enumerate(rows.ids) if i in there])
        self._put(rows)
        return len(rows)

    def search(
        self, vectors: NDArray[Any], k: int, where: Filter = EVERYTHING, *, exact: bool = False
    ) -> list[list[Hit]]:
        """As `Store.search`; `exact` reads every vector that fits from the server."""
        queries = checked_queries(self._info, vectors, k)
        if exact:
            return self._search_exactly(queries, k, where)
        found = self._ask(
            lambda: self._client.search(
                self._name,
                queries.tolist(),
                limit=min(k, _LARGEST_WINDOW),
                filter=condition(where),
                output_fields=list(SMALL),
                search_params={"params": {"ef": min(max(_SEARCH_WIDTH, 2 * k), 32_768)}},
                consistency_level="Strong",
            )
        )
        answers = []
        for hits in found:
            rows = small_from_milvus([hit["entity"] for hit in hits]).to_dicts()
            distances = [self._own_distance(float(hit["distance"])) for hit in hits]
            order = sorted(range(len(rows)), key=lambda n: (distances[n], rows[n]["id"]))
            answers.append(hits_from([rows[n] for n in order], [distances[n] for n in order]))
        return answers

    def get(self, ids: Sequence[str]) -> Rows:
        """As `Store.get`."""
        given = list(self._rows_by_id(list(dict.fromkeys(ids)), [*SMALL, "thumbnail", VECTOR]))
        found = from_milvus(given, self._info.dim)
        places = {i: n for n, i in enumerate(found.ids)}
        return found.take([places[i] for i in ids if i in places])

    def frame(
        self, where: Filter = EVERYTHING, *, columns: Sequence[str] = tuple(COLUMNS)
    ) -> pl.DataFrame:
        """As `Store.frame`."""
        rows = [row for part in self._iterate(where, list(SMALL)) for row in part]
        return small_from_milvus(rows).sort("id").select(columns)

    def page(self, where: Filter = EVERYTHING, *, offset: int = 0, limit: int = 50) -> pl.DataFrame:
        """As `Store.page`."""
        if offset + limit > _LARGEST_WINDOW:
            return self.frame(where).slice(offset, limit)
        rows = self._ask(
            lambda: self._client.query(
                self._name,
                filter=condition(where),
                output_fields=list(SMALL),
                offset=offset,
                limit=limit,
                consistency_level="Strong",
            )
        )
        return small_from_milvus(rows)

    def batches(self, size: int) -> Iterator[Rows]:
        """As `Store.batches`."""
        for part in self._iterate(EVERYTHING, [*SMALL, "thumbnail", VECTOR], size):
            yield from_milvus(part, self._info.dim)

    def remove(self, where: Filter) -> int:
        """As `Store.remove`."""
        count = self.count(where)
        if count:
            # Milvus wants a condition, also where every row is meant.
            self._remove([condition(where) or f'{KEY} != ""'])
        else:
            forget_gone(self)  # names may be of people of whom no row came
        return count

    def remove_ids(self, ids: Sequence[str]) -> int:
        """As `Store.remove_ids`."""
        there = sorted(self.present(ids))
        starts = range(0, len(there), _KEYS_AT_ONCE)
        self._remove([keys_among(there[start : start + _KEYS_AT_ONCE]) for start in starts])
        return len(there)

    def _remove(self, conditions: Sequence[str]) -> None:
        if not conditions:
            return
        local = not _is_server(self._location)
        if local and not self._is_removing():  # from now on a removal that is cut off is known
            self._ask(lambda: _make_rows(self._client, KEPT, self._info, server=False))
        for rendered in conditions:
            self._ask(lambda text=rendered: self._client.delete(self._name, filter=text))  # type: ignore[misc]
        if local:
            self._rewrite()
        else:
            self._ask(lambda: self._client.compact(self._name))
            forget_gone(self)

    def _is_removing(self) -> bool:
        return not _is_server(self._location) and self._has(KEPT)

    def _has(self, collection: str) -> bool:
        return bool(self._ask(lambda: self._client.has_collection(collection)))

    def _rewrite(self) -> None:
        """Puts all rows that are left into a new collection, and that into the old one's place."""
        if not self._ask(lambda: self._client.list_indexes(KEPT)):  # killed while it was made
            index = _row_index(self._client, self._info, server=False)
            self._ask(lambda: self._client.create_index(KEPT, index))
        self._ask(lambda: self._client.load_collection(KEPT))
        for rows in self.batches(ATOMIC_ROWS):
            part = to_milvus(rows)
            self._ask(lambda part=part: self._client.upsert(KEPT, part))  # type: ignore[misc]
        self._ask(lambda: self._client.flush(KEPT))
        forget_gone(self)
        # Renamed before it is dropped: while it has its own name, it is whole.
        self._ask(lambda: self._client.rename_collection(self._name, GONE))
        self._finish_removal()
        self._ask(lambda: self._client.load_collection(self._name))

    def _finish_removal(self) -> None:
        """Gives the new collection its name and drops the old one, where the new one is whole."""
        if not self._has(self._name) and self._has(KEPT):
            self._ask(lambda: self._client.rename_collection(KEPT, self._name))
        if self._has(GONE):
            self._ask(lambda: self._client.drop_collection(GONE))

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `Store.count`."""
        rows = self._ask(
            lambda: self._client.query(
                self._name,
                filter=condition(where),
                output_fields=["count(*)"],
                consistency_level="Strong",
            )
        )
        return int(rows[0]["count(*)"])

    def check(self) -> None:
        """As `Store.check`."""
        if not _is_server(self._location):
            with told(self._location):
                (Path(self._location) / LITE_FILE).stat()
        self.count()

    def optimize(self) -> str:
        """Seals what was added, so that Milvus indexes it; the rest it does by itself."""
        self._ask(lambda: self._client.flush(self._name))
        return f"{self.count()} rows: flushed; Milvus compacts and indexes them by itself."

    def set_calibration(self, calibration: Mapping[str, Any]) -> None:
        """As `Store.set_calibration`."""
        self._keep(self._read_info().calibrated(calibration))

    def set_range(self, deep_range: DeepRange) -> None:
        """As `Store.set_range`."""
        self._keep(self._read_info().ranged(deep_range))

    def _keep(self, info: StoreInfo) -> None:
        self._ask(lambda: _write_info(self._client, self._name, info))
        self._info = info

    def begin_writing(self) -> None:
        """As `Store.begin_writing`: Milvus keeps nobody from writing."""

    def end_writing(self) -> None:
        """As `Store.end_writing`."""

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _ask(self, question: Callable[[], T]) -> T:
        return _told(self._location, question)

    def _own_distance(self, given: float) -> float:
        """Milvus gives the cosine and the product themselves, and the square of L2."""
        if self._info.distance == "euclidean":
            return float(max(given, 0.0) ** 0.5)
        return -given if self._info.distance == "dot" else min(max(1 - given, 0.0), 2.0)

    def _put(self, rows: Rows) -> None:
        for start in range(0, len(rows), ATOMIC_ROWS):
            part = to_milvus(rows.take(range(start, min(start + ATOMIC_ROWS, len(rows)))))
            # Not `insert`: it would double the row of another writer that was quicker.
            self._ask(lambda part=part: self._client.upsert(self._name, part))  # type: ignore[misc]

    def _rows_by_id(self, ids: Sequence[str], fields: list[str]) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(ids), _KEYS_AT_ONCE):
            part = keys_among(ids[start : start + _KEYS_AT_ONCE])
            yield from self._ask(
                lambda part=part: self._client.query(  # type: ignore[misc]
                    self._name, filter=part, output_fields=fields, consistency_level="Strong"
                )
            )

    def _iterate(
        self, where: Filter, fields: list[str], size: int = _READ_AT_ONCE
    ) -> Iterator[list[Mapping[str, Any]]]:
        if not self.count(where):  # an iterator over nothing is an error on some servers
            return
        iterator = self._ask(
            lambda: self._client.query_iterator(
                self._name,
                batch_size=min(size, _READ_AT_ONCE),
                filter=condition(where),
                output_fields=[KEY, *fields],
                consistency_level="Strong",
            )
        )
        try:
            while part := self._ask(iterator.next):
                yield part
        finally:
            iterator.close()

    def _search_exactly(
        self, queries: NDArray[np.float32], k: int, where: Filter
    ) -> list[list[Hit]]:
        nearest = Nearest(len(queries), k, self._info.distance)
        for part in self._iterate(where, ["name", VECTOR]):
            vectors = np.array([row[VECTOR] for row in part], dtype=np.float32)
            nearest.update(queries, vectors, [row["name"] for row in part])
        answers = []
        for ids, distances in nearest.ranked():
            rows = {row["id"]: row for row in self.get(ids).frame.select(list(SCHEMA)).to_dicts()}
            kept = [(rows[i], d) for i, d in zip(ids, distances, strict=True) if i in rows]
            answers.append(hits_from([row for row, _ in kept], [d for _, d in kept]))
        return answers

    def _read_info(self) -> StoreInfo:
        rows = self._ask(
            lambda: self._client.query(
                f"{self._name}_info",
                filter='key == "info"',
                output_fields=["text"],
                consistency_level="Strong",
            )
        )
        if not rows:
            raise GalleryError(
                f"{self._location} is no store of crosslight, or its making was interrupted; "
                "drop the collection, or give another name."
            )
        try:
            plain = json.loads(rows[0]["text"])
        except ValueError as error:
            raise GalleryError(sentence(self._location, error)) from error
        return StoreInfo.from_plain(plain, where=self._location)


def _is_server(location: str) -> bool:
    return location.startswith("milvus://")


def _connected(location: str) -> tuple[MilvusClient, str]:
    for name in _LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not _is_server(location):
        folder = Path(location)
        return _told(location, lambda: LiteClient(folder / LITE_FILE, (KEPT, GONE))), "people"
    parts = urlsplit(location)
    name = parts.path.strip("/")
    if not parts.hostname or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,200}", name):
        raise GalleryError(
            f"{location} does not name a store on a Milvus server; write milvus://host:19530/name "
            "with a name of letters, digits and underscores."
        )
    if parts.username or parts.password:
        raise GalleryError(
            f"Leave the password out of the store's name and set {TOKEN}=user:password instead: "
            "names end up in logs."
        )
    uri = f"http://{parts.hostname}:{parts.port or 19530}"
    token = os.environ.get(TOKEN, "")
    return _told(location, lambda: MilvusClient(uri, token=token, timeout=30)), name


def _told(location: str, question: Callable[[], T]) -> T:
    """Asks, and turns Milvus's complaint into a sentence."""
    with told(location):
        try:
            return question()
        except MilvusException as error:
            if not _is_server(location):
                raise complaint(location, error) from error
            reason = str(error.message or error).splitlines()[0]
            raise GalleryError(
                f"Milvus at {location} answered: {reason}. See that it runs and can be reached."
            ) from error


def _make_rows(client: MilvusClient, name: str, info: StoreInfo, *, server: bool) -> None:
    client.create_collection(
        name,
        schema=_row_schema(client, info),
        index_params=_row_index(client, info, server=server),
        consistency_level="Strong",
    )


def _row_schema(client: MilvusClient, info: StoreInfo) -> CollectionSchema:
    rows = client.create_schema(auto_id=False, enable_dynamic_field=False)
    rows.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=64)
    for text in ("name", "track", "path", "model", "thumbnail"):
        rows.add_field(text, DataType.VARCHAR, max_length=_LONGEST_TEXT)
    for number in ("pid", "cam", "modality"):
        rows.add_field(number, DataType.INT64)
    rows.add_field("time", DataType.DOUBLE)
    rows.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=info.dim)
    return rows


def _row_index(client: MilvusClient, info: StoreInfo, *, server: bool) -> IndexParams:
    index = client.prepare_index_params()
    # Milvus Lite answers as fast without a graph, and exactly.
    kind, settings = ("HNSW", {"M": 32, "efConstruction": 256}) if server else ("FLAT", {})
    index.add_index(VECTOR, index_type=kind, metric_type=METRICS[info.distance], params=settings)
    return index


def _make_collections(client: MilvusClient, name: str, info: StoreInfo, server: bool) -> None:
    _make_rows(client, name, info, server=server)
    about = client.create_schema(auto_id=False, enable_dynamic_field=False)
    about.add_field("key", DataType.VARCHAR, is_primary=True, max_length=64)
    about.add_field("text", DataType.VARCHAR, max_length=_LONGEST_TEXT)
    about.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=2)  # Milvus wants one in every collection
    index = client.prepare_index_params()
    index.add_index(VECTOR, index_type="FLAT", metric_type="L2", params={})
    client.create_collection(
        f"{name}_info", schema=about, index_params=index, consistency_level="Strong"
    )


def _write_info(client: MilvusClient, name: str, info: StoreInfo) -> None:
    row = {"key": "info", "text": json.dumps(info.to_plain()), VECTOR: [0.0, 0.0]}
    client.upsert(f"{name}_info", [row])
