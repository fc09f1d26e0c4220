"""The default store: a LanceDB table in a folder, for millions of people on one machine.

The folder holds `store.json`, the table, and from `scan.SCANNED_FROM` rows on a copy of what
searches ask (flat_scan.py), which answers where it is whole and of the newest version. LanceDB does
not bring its files to the disk by itself: here every commit is synced before `add` and `remove`
return. One process writes, any number read; they see a commit at once. What is removed is taken out
of the files too (purge.py), by the next process if one is killed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import lancedb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.files import sync_folder
from crosslight.gallery.stores.complaints import told
from crosslight.gallery.stores.description import Description, new_folder, write_description
from crosslight.gallery.stores.forgetting import forget_gone
from crosslight.gallery.stores.known_ids import KnownIds
from crosslight.gallery.stores.lance.index import maintain, tidy
from crosslight.gallery.stores.lance.purge import purge
from crosslight.gallery.stores.lance.scan import VECTOR, ScanBeside, Versions
from crosslight.gallery.stores.lance.sql import among_ids, condition
from crosslight.gallery.stores.ledger import FileLedger
from crosslight.gallery.stores.removal import Mark, mark, marked, sweep, unmark
from crosslight.gallery.stores.rows import COLUMNS, EVERYTHING, SCHEMA, Filter, Hit, Rows, hits_from
from crosslight.gallery.stores.store import (
    ClosedAtTheEnd,
    RemovedMeanwhileError,
    StoreInfo,
    checked_queries,
    checked_rows,
)
from crosslight.gallery.stores.writing import SyncedVersion, WriterLock, files_below, sync_new
from crosslight.types import DeepRange, Distance

TABLE = "rows"
DISTANCE = "_distance"
METRICS: dict[Distance, Literal["cosine", "l2", "dot"]] = {
    "cosine": "cosine",
    "euclidean": "l2",
    "dot": "dot",
}

_ENGINE = (RuntimeError, ValueError, OSError, pa.ArrowException)
_MISSING = "not found"
_ASKED_AGAIN = 3
T = TypeVar("T")
_IDS_AT_ONCE = 5_000


class LanceStore(ClosedAtTheEnd):
    """See the module's docstring and `crosslight.gallery.stores.store.Store`."""

    kind = "lance"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._description = Description(folder, self.kind)
        info = self._description.info
        self._lock = WriterLock(folder)
        self._guard = threading.RLock()
        self._synced: set[str] = set()
        self._known: KnownIds | None = None
        self._versions = Versions(folder / f"{TABLE}.lance")
        self._synced_version = SyncedVersion(folder)
        self.ledger = FileLedger(folder)
        with self._told():
            connection = lancedb.connect(folder, read_consistency_interval=timedelta(0))
            self._table = connection.open_table(TABLE)
            if self._table.schema != _schema(info.dim):
                raise GalleryError(
                    f"The table of {folder} is not the one that its description says; put back "
                    "the whole folder from a copy, or create the store again."
                )
        self._scan = ScanBeside(folder, self._table, info)
        self._finish_removal()

    @classmethod
    def create(cls, folder: Path, info: StoreInfo) -> LanceStore:
        """Makes an empty store.

        Raises:
            GalleryError: Something is there already.
        """
        with new_folder(folder, *_ENGINE) as part:
            lancedb.connect(part).create_table(TABLE, schema=_schema(info.dim))
            sync_new(part, set())
            write_description(part, cls.kind, info)
        return cls(folder)

    @property
    def info(self) -> StoreInfo:
        """What the store knows about itself."""
        return self._description.info

    @property
    def location(self) -> str:
        """Its folder."""
        return str(self._folder)

    def add(self, rows: Rows) -> int:
        """As `Store.add`."""
        with self._guard:
            self._begin_writing()
            rows = checked_rows(self.info, rows)
            known = self._known_ids()
            there = self.present(known.maybe(rows.frame["id"]).to_list())
            if there:
                new = [i not in there for i in rows.ids]
                rows = rows.take(np.flatnonzero(new))
            if len(rows):
                with self._told():
                    before = self._scan.state()
                    self._table.add(_to_arrow(rows, self.info.dim))
                    self._committed()
                    self._scan.carry(before, rows)
                known.update(rows.frame["id"])
            return len(rows)

    def present(self, ids: Sequence[str]) -> set[str]:
        """As `Store.present`."""
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_AT_ONCE):
            part = ids[start : start + _IDS_AT_ONCE]
            found.update(self._read(among_ids(part), ["id"]).column("id").to_pylist())
        return found

    def labels(self, ids: Sequence[str]) -> pl.DataFrame:
        """As `Store.labels`."""
        wanted = list(dict.fromkeys(ids))
        parts = [
            self._read(among_ids(wanted[start : start + _IDS_AT_ONCE]), list(COLUMNS))
            for start in range(0, len(wanted), _IDS_AT_ONCE)
        ]
        return pl.concat([pl.DataFrame(schema=COLUMNS), *map(_small, parts)])

    def update(self, rows: Rows) -> int:
        """As `Store.update`, in one commit."""
        with self._guard:
            self._begin_writing()
            rows = checked_rows(self.info, rows)
            there = self.present(rows.ids)
            rows = rows.take([n for n, i in enumerate(rows.ids) if i in there])
            if len(rows):
                with self._told():
                    before = self._scan.state()
                    merge = self._table.merge_insert("id").when_matched_update_all()
                    merge.execute(_to_arrow(rows, self.info.dim))
                    self._committed()
                    self._scan.carry(before, rows, replaced=True)
            return len(rows)

    def search(
        self, vectors: NDArray[Any], k: int, where: Filter = EVERYTHING, *, exact: bool = False
    ) -> list[list[Hit]]:
        """As `Store.search`; exact where there is no scan or the filter leaves few rows."""
        queries = checked_queries(self.info, vectors, k)
        found = None if exact else self._scan.search(queries, k, where)
        if found is None:
            rendered = condition(where)
            found = [self._nearest(query, k, rendered) for query in queries]
        return found

    def get(self, ids: Sequence[str]) -> Rows:
        """As `Store.get`."""
        wanted = list(dict.fromkeys(ids))
        parts = [
            self._read(among_ids(wanted[start : start + _IDS_AT_ONCE]), [*SCHEMA, VECTOR])
            for start in range(0, len(wanted), _IDS_AT_ONCE)
        ] or [self._read("1 = 0", [*SCHEMA, VECTOR])]
        found = _from_arrow(pa.concat_tables(parts), self.info.dim)
        places = {i: n for n, i in enumerate(found.ids)}
        return found.take([places[i] for i in ids if i in places])

    def frame(
        self, where: Filter = EVERYTHING, *, columns: Sequence[str] = tuple(COLUMNS)
    ) -> pl.DataFrame:
        """As `Store.frame`."""
        found = _small(self._read(condition(where), list(columns)))
        return (found.sort("id") if "id" in columns else found).select(columns)

    def page(self, where: Filter = EVERYTHING, *, offset: int = 0, limit: int = 50) -> pl.DataFrame:
        """As `Store.page`."""
        rendered = condition(where)
        with self._told():
            query = self._table.search().select(list(COLUMNS)).offset(offset).limit(limit)
            if rendered:
                query = query.where(rendered)
            return _small(self._asked(query.to_arrow))

    def batches(self, size: int) -> Iterator[Rows]:
        """As `Store.batches`."""
        with self._told(), self._not_purged_meanwhile():
            reader = self._table.search().select([*SCHEMA, VECTOR]).to_batches(size)
            for batch in reader:
                if len(batch):
                    yield _from_arrow(pa.Table.from_batches([batch]), self.info.dim)

    def remove(self, where: Filter) -> int:
        """As `Store.remove`."""
        with self._guard:
            count = self._remove(condition(where) or "1 = 1")
            if not count:
                forget_gone(self)  # names may be of people of whom no row came
            return count

    def remove_ids(self, ids: Sequence[str]) -> int:
        """As `Store.remove_ids`."""
        return self._remove(among_ids(ids)) if ids else 0

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `Store.count`."""
        with self._told():
            return int(self._asked(lambda: self._table.count_rows(condition(where))))

    def check(self) -> None:
        """As `Store.check`."""
        self._description.read()
        self.page(limit=1)

    def optimize(self) -> str:
        """As `Store.optimize`; see index.py and scan.py."""
        with self._guard:
            self._begin_writing()
            with self._told():
                before = self._scan.state()
                sweep(self._folder)
                done = maintain(self._table, self._folder)
                self._committed()
                searched = self._scan.maintain(before)
            return f"{self.count()} rows: {done}; {searched}."

    def set_calibration(self, calibration: Mapping[str, Any]) -> None:
        """As `Store.set_calibration`."""
        self._describe(lambda info: info.calibrated(calibration))

    def set_range(self, deep_range: DeepRange) -> None:
        """As `Store.set_range`."""
        self._describe(lambda info: info.ranged(deep_range))

    def begin_writing(self) -> None:
        """As `Store.begin_writing`."""
        with self._guard:
            self._begin_writing()

    def end_writing(self) -> None:
        """As `Store.end_writing`."""
        self._lock.release()

    def close(self) -> None:
        """Lets others write."""
        self._lock.release()

    def _describe(self, change: Callable[[StoreInfo], StoreInfo]) -> None:
        with self._guard:
            self._begin_writing()
            with self._told():
                self._description.write(change)

    def _begin_writing(self) -> None:
        if self._lock.acquire():
            try:
                self._description.read()
                self._end_removal()
            except BaseException:
                self._lock.release()  # or the next change would be made without all this
                raise
            self._known = None  # others may have added since
            if self._synced_version.is_of(self._versions.place()):
                self._synced = files_below(self._folder)

    def _known_ids(self) -> KnownIds:
        if self._known is None:
            known = KnownIds()
            with self._told():
                for batch in self._table.search().select(["id"]).to_batches(100_000):
                    known.update(_ids_of(batch))
            self._known = known
        return self._known

    def _committed(self) -> None:
        """Brings what was committed to the disk, and now and then tidies up."""
        tidy(self._table, self._folder)
        self._sync()

    def _sync(self) -> None:
        # Also what a writer that was killed before it could sync has left: its rows count as
        # present from now on.
        self._synced = sync_new(self._folder, self._synced)
        self._synced_version.write(self._versions.place())

    def _remove(self, rendered: str) -> int:
        with self._guard:
            self._begin_writing()
            with self._told():
                count = int(self._table.count_rows(rendered))
                if count:
                    mark(self._folder, Mark(where=rendered))
                    self._scan.drop()
                    self._table.delete(rendered)
                    self._committed()  # nobody finds them from here on
                    self._purge()
            return count

    def _purge(self) -> None:
        with self._told():
            self._scan.drop()
            purge(self._table, self._folder)
            self._sync()
            for place in (self._folder / f"{TABLE}.lance").glob("**/"):
                sync_folder(place)
            forget_gone(self)
            self._scan.make_again()
            unmark(self._folder)

    def _finish_removal(self) -> None:
        """Where a process was killed while it removed; one that is at it is left alone."""
        if marked(self._folder) is None:
            return
        try:
            self._lock.acquire()
        except GalleryError:
            return
        try:
            self._end_removal()
        finally:
            self._lock.release()

    def _end_removal(self) -> None:
        """Of a process that was killed, if there is one."""
        going = marked(self._folder)
        if going is None:
            return
        if going.where is not None:
            with self._told():
                self._table.delete(going.where)
        self._purge()

    def _asked(self, question: Callable[[], T]) -> T:
        """Asks again where a removal took away the version that was read."""
        for _ in range(_ASKED_AGAIN):
            try:
                return question()
            except _ENGINE as error:
                if _MISSING not in str(error).lower():
                    raise
            self._table.checkout_latest()  # type: ignore[no-untyped-call]
        return question()

    @contextmanager
    def _not_purged_meanwhile(self) -> Iterator[None]:
        version = self._table.version
        try:
            yield
        except _ENGINE as error:
            if _MISSING in str(error).lower() and self._table.version != version:
                raise RemovedMeanwhileError(
                    f"Rows were removed from {self._folder} while all of it was read; run the same "
                    "command again."
                ) from error
            raise

    def _read(self, rendered: str | None, columns: list[str]) -> pa.Table:
        with self._told():
            query = self._table.search().select(columns)
            return self._asked((query.where(rendered) if rendered else query).to_arrow)

    def _told(self) -> AbstractContextManager[None]:
        return told(str(self._folder), *_ENGINE)

    def _searching(self, query: NDArray[np.float32]) -> Any:
        # Typed by LanceDB as what all kinds of queries share.
        return self._table.search(query, vector_column_name=VECTOR)

    def _nearest(self, query: NDArray[np.float32], k: int, rendered: str | None) -> list[Hit]:
        asked = (
            self._searching(query)
            .distance_type(METRICS[self.info.distance])
            .select([*COLUMNS, DISTANCE])
            .limit(k)
        )
        if rendered is not None:
            asked = asked.where(rendered, prefilter=True)
        # Stores of before had an index of vectors, until they are optimized.
        with self._told():
            found = self._asked(asked.bypass_vector_index().to_arrow)
        distances = _own_distance(
            found.column(DISTANCE).to_numpy().astype(np.float64), self.info.distance
        )
        rows = found.drop_columns([DISTANCE]).to_pylist()
        order = sorted(range(len(rows)), key=lambda n: (distances[n], rows[n]["id"]))
        return hits_from([rows[n] for n in order], distances[order])


def _own_distance(given: NDArray[np.float64], distance: str) -> NDArray[np.float64]:
    """LanceDB's cosine may fall below 0 by rounding, its l2 is squared, its dot is 1 - product."""
    if distance == "euclidean":
        return np.sqrt(np.maximum(given, 0))
    return given - 1 if distance == "dot" else np.clip(given, 0, 2)


def _schema(dim: int) -> pa.Schema:
    return pa.schema(
        [
            ("id", pa.string()),
            ("pid", pa.int64()),
            ("cam", pa.int64()),
            ("modality", pa.uint8()),
            ("time", pa.float64()),
            ("track", pa.string()),
            ("path", pa.string()),
            ("model", pa.string()),
            ("thumbnail", pa.binary()),
            (VECTOR, pa.list_(pa.float16(), dim)),
        ]
    )


def _to_arrow(rows: Rows, dim: int) -> pa.Table:
    values = pa.array(rows.vectors.astype(np.float16).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(values, dim)
    small = rows.frame.to_arrow().append_column(VECTOR, vectors)
    return small.cast(_schema(dim))


def _from_arrow(table: pa.Table, dim: int) -> Rows:
    column = table.column(VECTOR).combine_chunks()
    # `flatten` and not `values`: the latter ignores where a slice begins.
    flat = column.flatten().to_numpy(zero_copy_only=False)
    frame = pl.DataFrame(pl.from_arrow(table.drop_columns([VECTOR])))
    return Rows(
        frame=frame.select([pl.col(name).cast(kind) for name, kind in SCHEMA.items()]),
        vectors=flat.astype(np.float32).reshape(-1, dim),
    )


def _small(table: pa.Table) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.select([pl.col(n).cast(kind) for n, kind in COLUMNS.items() if n in frame.columns])


def _ids_of(batch: pa.RecordBatch) -> pl.Series:
    return pl.Series("id", batch.column(0).to_pylist(), dtype=pl.String)
