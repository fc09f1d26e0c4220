"""The protocol of a gallery's store; everything else in this room is written against it.

    store = open_store("gallery.lance")              # opening.py; also create_store(...)
    store.info                                       # StoreInfo: model, dim, distance ... of now
    store.add(rows)                                  # -> how many were new; returns when durable
    store.present(ids)                               # -> set of those that are there
    store.labels(ids)                                # -> frame of COLUMNS of those
    store.update(rows)                               # in place of those with the same ids
    store.search(vectors, 20, Filter(cams={3}))      # -> one list of Hit per vector, nearest first
    store.get(ids)                                   # -> Rows, with vectors and thumbnails
    store.page(Filter(), offset=0, limit=50)         # -> frame of COLUMNS, in a stable order
    store.remove(Filter(pids={7}))                   # -> how many; store.remove_ids([...])
    store.check()                                    # GalleryError where it cannot be read now
    store.count(), store.frame(), store.batches(1000)
    store.optimize()                                 # maintenance, in the writer
    store.set_calibration({...})
    store.ledger                                     # names, notes and marks: ledger.py
    store.begin_writing(); store.end_writing()       # several changes, nobody else's between
    store.close()                                    # or `with open_store(...) as store:`

`Rows`, `Filter` and `Hit` are in rows.py. A store is safe to read from several threads of
one process. Several processes may read a store in a folder, or on a server, while one writes, and
see what it has written; of a server not a new `info`, and Milvus Lite is for one process. Writers
exclude each other. What an engine or the disk raises becomes a `GalleryError`.
Distances are smaller for nearer rows everywhere: `cosine` is 1 - cosine, `euclidean` is the
Euclidean distance, `dot` is the negative inner product.

The kinds:

- `exact`  (exact.py): all vectors in memory, files on disk; exact; the yardstick.
- `lance`  (lance/): LanceDB, the default; millions of rows on one machine.
- `milvus` (milvus/): Milvus Lite (a file) or a Milvus server.

One suite, tests/gallery/test_every_store.py, holds them all to this protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.gallery.stores.ledger import Ledger
from crosslight.gallery.stores.rows import COLUMNS, EVERYTHING, Filter, Hit, Rows, Vectors
from crosslight.types import DeepRange, Distance

FORMAT = 1
"""Version of what stores write; a store of another version is refused, not misread."""


class RemovedMeanwhileError(GalleryError):
    """Rows were removed while all of a store was read; whoever reads must begin again."""


@dataclass(frozen=True, kw_only=True)
class StoreInfo:
    """What a store knows about itself.

    Attributes:
        model: Fingerprint of the model that fills it (hexadecimal).
        method: Name of the model's method, for people to read.
        run: Run folder of the model, where it was when the store was created.
        dim: D, numbers per vector.
        distance: How vectors are compared.
        interpolation: How the model's images are brought to their size, for people to read.
        created: ISO date.
        deep_range: Values of black and white of images of one channel with more than 8 bits, in
            which they are enrolled and searched; None: their full range.
        calibration: What `crosslight gallery calibrate` fitted, as plain values; empty before.
        format: Version of the store's format.
    """

    model: str
    method: str
    run: str
    dim: int
    distance: Distance
    interpolation: str = "bilinear"
    created: str = ""
    deep_range: DeepRange | None = None
    calibration: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_plain(self) -> dict[str, Any]:
        """As JSON can write it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], *, where: str) -> StoreInfo:
        """What `to_plain` gave.

        Raises:
            GalleryError: Damaged, or of a version that this crosslight does not know.
        """
        if plain.get("format") != FORMAT:
            raise GalleryError(
                f"{where} has the format {plain.get('format')!r}, this crosslight reads {FORMAT}; "
                "update crosslight, or create the store again."
            )
        try:
            deep_range = plain.get("deep_range")
            info = cls(**{**plain, "deep_range": None if deep_range is None else tuple(deep_range)})
        except TypeError as error:
            raise GalleryError(_damaged(where, str(error))) from error
        wrong = [
            name
            for name, kind in (("model", str), ("method", str), ("run", str), ("created", str))
            if not isinstance(getattr(info, name), kind)
        ]
        if wrong or not isinstance(info.calibration, Mapping):
            raise GalleryError(_damaged(where, f"{[*wrong, 'calibration'][0]} is of another kind"))
        if type(info.dim) is not int or info.dim < 1 or info.distance not in get_args(Distance):
            raise GalleryError(_damaged(where, f"{info.dim!r} numbers, {info.distance!r}"))
        return info

    def ranged(self, deep_range: DeepRange) -> StoreInfo:
        """The same with another range."""
        return replace(self, deep_range=deep_range)

    def calibrated(self, calibration: Mapping[str, Any]) -> StoreInfo:
        """The same with another calibration."""
        return replace(self, calibration=calibration)


def _damaged(where: str, found: str) -> str:
    return (
        f"The description of {where} is damaged ({found}); put back the whole store from a copy, "
        "or create it again."
    )


class Store(Protocol):
    """A gallery's rows on disk or on a server; see the module's docstring for the whole."""

    @property
    def info(self) -> StoreInfo:
        """What the store knows about itself."""
        ...

    @property
    def location(self) -> str:
        """What opens it again."""
        ...

    @property
    def kind(self) -> str:
        """`exact`, `lance` or `milvus`."""
        ...

    def add(self, rows: Rows) -> int:
        """Adds the rows whose id is not there yet; returns how many once they are durable.

        All of a call's new rows appear, or none of them.

        Raises:
            GalleryError: Rows of another model or length, or somebody else is writing.
        """
        ...

    def present(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that the store holds."""
        ...

    def labels(self, ids: Sequence[str]) -> pl.DataFrame:
        """`COLUMNS` of those of the ids that the store holds, in any order."""
        ...

    def update(self, rows: Rows) -> int:
        """Puts rows in the place of those with the same ids; the others of them are left out.

        A crash leaves each row as it was or as it was to be.

        Returns:
            How many were replaced, once that is durable.

        Raises:
            GalleryError: As `add`.
        """
        ...

    def search(
        self, vectors: NDArray[Any], k: int, where: Filter = EVERYTHING, *, exact: bool = False
    ) -> list[list[Hit]]:
        """The k nearest rows of each query, nearest first; fewer where the filter leaves fewer.

        Args:
            vectors: (Q, D).
            k: Hits per query.
            where: Which rows may be found.
            exact: Compare with every row, whatever index there is.
        """
        ...

    def get(self, ids: Sequence[str]) -> Rows:
        """The rows with these ids in the order asked for, without those that are not there."""
        ...

    def frame(
        self, where: Filter = EVERYTHING, *, columns: Sequence[str] = tuple(COLUMNS)
    ) -> pl.DataFrame:
        """`COLUMNS` of every row that fits, ordered by id; or some of them, in any order."""
        ...

    def page(self, where: Filter = EVERYTHING, *, offset: int = 0, limit: int = 50) -> pl.DataFrame:
        """`COLUMNS` of a few rows, in an order that stays while nobody writes."""
        ...

    def batches(self, size: int) -> Iterator[Rows]:
        """Every row that is there now once, `size` at a time, whatever others add meanwhile.

        Raises:
            RemovedMeanwhileError: Others removed some, and what was there cannot be read any more.
        """
        ...

    def remove(self, where: Filter) -> int:
        """Removes the rows that fit and returns how many, once that is durable.

        What is known of people without any row is forgotten, also where none fits.
        """
        ...

    def remove_ids(self, ids: Sequence[str]) -> int:
        """Removes rows by id and returns how many, once that is durable."""
        ...

    def count(self, where: Filter = EVERYTHING) -> int:
        """How many rows fit."""
        ...

    def check(self) -> None:
        """Reads a little of what is stored.

        Raises:
            GalleryError: It is moved away or damaged, or its disk or server fails.
        """
        ...

    def optimize(self) -> str:
        """Maintenance: compacts, and builds or checks what makes searches quick.

        Returns:
            What was done, in a sentence.
        """
        ...

    def set_calibration(self, calibration: Mapping[str, Any]) -> None:
        """Keeps a calibration in `info`, durably."""
        ...

    def set_range(self, deep_range: DeepRange) -> None:
        """Keeps a range in `info`, durably."""
        ...

    @property
    def ledger(self) -> Ledger:
        """What is known beside the rows."""
        ...

    def begin_writing(self) -> None:
        """Keeps other processes from writing, where the kind can, and sees what they have written.

        Raises:
            StoreBusyError: Another process writes.
        """
        ...

    def end_writing(self) -> None:
        """Lets others write."""
        ...

    def close(self) -> None:
        """Lets go of files and connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ClosedAtTheEnd:
    """What makes a store usable in a `with`."""

    def close(self) -> None:
        """As `Store.close`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def checked_rows(info: StoreInfo, rows: Rows) -> Rows:
    """The rows as a store keeps them: of its model, its length, each id once, and normalised.

    Raises:
        GalleryError: Rows of another model or length.
    """
    others = set(rows.frame["model"].unique().to_list()) - {info.model}
    if others:
        raise GalleryError(refusal(info, others.pop()))
    if len(rows) and rows.vectors.shape[1] != info.dim:
        raise GalleryError(
            f"The store keeps vectors of {info.dim} numbers, these have {rows.vectors.shape[1]}; "
            "use the model that the store was created with."
        )
    if rows.frame["id"].n_unique() != len(rows):
        first = rows.frame.select(pl.col("id").is_first_distinct())["id"].to_numpy()
        rows = rows.take(np.flatnonzero(first))
    return Rows(frame=rows.frame, vectors=prepared(rows.vectors, info.distance))


def checked_queries(info: StoreInfo, vectors: NDArray[Any], k: int) -> Vectors:
    """The queries as they are compared.

    Raises:
        GalleryError: Of another length, not finite, or k is below 1.
    """
    queries = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    if queries.shape[1] != info.dim:
        raise GalleryError(
            f"The query has {queries.shape[1]} numbers, the store's vectors {info.dim}; embed it "
            "with the model that the store was created with."
        )
    if not np.isfinite(queries).all():
        raise GalleryError("The query's embedding is not finite; use other weights.")
    if k < 1:
        raise GalleryError(f"{k} results were asked for; ask for 1 or more.")
    return prepared(queries, info.distance)


def prepared(vectors: NDArray[Any], distance: Distance) -> Vectors:
    """Of length 1 for the cosine (a row of zeros stays), else unchanged."""
    kept: Vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if distance == "cosine":
        norms = np.linalg.norm(kept, axis=1, keepdims=True)
        kept = (kept / np.where(norms > 0, norms, 1)).astype(np.float32)
    return kept


def refusal(info: StoreInfo, other: str) -> str:
    """Why another model's rows or queries are not taken."""
    return (
        f"The store was filled by the model {info.model[:12]} ({info.method}, {info.run}), but "
        f"this one is {other[:12]}: their embeddings cannot be compared. Use that run, or create "
        "another store for this one."
    )
