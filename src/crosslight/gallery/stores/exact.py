"""A store that holds every vector in memory and compares with all of them: the yardstick.

On disk it is a folder of Parquet segments. Each `add` writes one, whole or not at all, so that
what was acknowledged survives a crash; where they become many, small ones are joined, by `optimize`
all of them. A crash while they are joined can leave a row in two segments: reading keeps the first,
removing removes both. A segment that holds removed rows is written again without them; whoever has
the store open reads all again, and of the rest the segments that are new.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.files import written_whole
from crosslight.gallery.stores.complaints import sentence, told
from crosslight.gallery.stores.description import Description, new_folder, write_description
from crosslight.gallery.stores.forgetting import forget_gone
from crosslight.gallery.stores.joining import PARTS_AT_MOST, joined_from
from crosslight.gallery.stores.ledger import FileLedger
from crosslight.gallery.stores.removal import (
    Mark,
    mark,
    marked,
    state_of,
    sweep,
    tell_changed,
    unmark,
)
from crosslight.gallery.stores.rows import (
    COLUMNS,
    EVERYTHING,
    SCHEMA,
    Filter,
    Hit,
    Rows,
    Vectors,
    hits_from,
)
from crosslight.gallery.stores.store import (
    ClosedAtTheEnd,
    StoreInfo,
    checked_queries,
    checked_rows,
)
from crosslight.gallery.stores.writing import WriterLock
from crosslight.types import DeepRange, Distance

VECTOR = "vector"
_ENGINE = (pl.exceptions.PolarsError,)
_ASKED_AGAIN = 3
_SEGMENT = re.compile(r"rows-[0-9]{2,}\.parquet")
_COMPARED_AT_ONCE = 50_000_000  # similarities: 200 MB


class ExactStore(ClosedAtTheEnd):
    """See the module's docstring and `crosslight.gallery.stores.store.Store`."""

    kind = "exact"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._description = Description(folder, self.kind)
        self._lock = WriterLock(folder)
        self._guard = threading.RLock()
        self.ledger = FileLedger(folder)
        self._changed: tuple[int, int] | None = None
        self._have_read: set[str] = set()
        self._load()
        self._finish_removal()

    @classmethod
    def create(cls, folder: Path, info: StoreInfo) -> ExactStore:
        """Makes an empty store.

        Raises:
            GalleryError: Something is there already.
        """
        with new_folder(folder) as part:
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
            new = np.array([i not in self._positions for i in rows.ids], dtype=bool)
            rows = rows.take(np.flatnonzero(new))
            if len(rows):
                with self._told():
                    path = self._write_segment(rows)
                self._append([rows.vectors], rows.frame.select(list(COLUMNS)))
                self._have_read.add(path.name)
                self._join_small()
            return len(rows)

    def _join_small(self) -> None:
        """The rows stay in their order; see joining.py."""
        paths = self._segments()
        if len(paths) <= PARTS_AT_MOST:
            return
        with self._told():
            start = joined_from([path.stat().st_size for path in paths])
            self._have_read.add(self._join(paths[start:]).name)

    def _join(self, old: Sequence[Path]) -> Path:
        joined = pl.concat([pl.read_parquet(path) for path in old]).unique(
            "id", keep="first", maintain_order=True
        )
        path = self._next_segment()
        _write_parquet(path, joined)
        for one in old:
            one.unlink()
        return path

    def present(self, ids: Sequence[str]) -> set[str]:
        """As `Store.present`."""
        with self._guard:
            self._read_changed()
            return {i for i in ids if i in self._positions}

    def labels(self, ids: Sequence[str]) -> pl.DataFrame:
        """As `Store.labels`."""
        with self._guard:
            self._read_changed()
            return self._frame[[self._positions[i] for i in set(ids) & self._positions.keys()]]

    def update(self, rows: Rows) -> int:
        """As `Store.update`, a segment at a time."""
        with self._guard:
            self._begin_writing()
            rows = checked_rows(self.info, rows)
            rows = rows.take([n for n, i in enumerate(rows.ids) if i in self._positions])
            if len(rows):
                with self._told():
                    for path in self._segments():
                        _replace_rows(path, self._with_vectors(rows))
                    tell_changed(self._folder)
                self._load()
            return len(rows)

    def search(
        self,
        vectors: NDArray[Any],
        k: int,
        where: Filter = EVERYTHING,
        *,
        exact: bool = False,  # noqa: ARG002  it always is
    ) -> list[list[Hit]]:
        """As `Store.search`; always exact."""
        info = self.info
        queries = checked_queries(info, vectors, k)
        with self._guard:
            self._read_changed()
            frame, known = self._frame, self._joined()
        fits = None if where.everything else _fitting(frame, where)
        chosen = known if fits is None else known[torch.from_numpy(fits)]
        count = min(k, len(chosen))
        if not count:
            return [[] for _ in queries]
        answers = []
        step = max(1, _COMPARED_AT_ONCE // len(chosen))
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            nearest = _nearest(torch.from_numpy(part), chosen, count, info.distance)
            for query, found in zip(part, nearest, strict=True):
                distances = distances_to(query, chosen[found].numpy(), info.distance)
                order = np.lexsort((found.numpy(), distances))
                rows = found.numpy()[order] if fits is None else fits[found.numpy()[order]]
                answers.append(hits_from(frame[rows].to_dicts(), distances[order]))
        return answers

    def get(self, ids: Sequence[str]) -> Rows:
        """As `Store.get`."""
        with self._told():
            for _ in range(_ASKED_AGAIN):
                try:
                    return self._get(ids)
                except FileNotFoundError:  # a segment of nothing but removed rows
                    continue
            return self._get(ids)

    def _get(self, ids: Sequence[str]) -> Rows:
        with self._guard:
            self._read_changed()
            rows = np.array([self._positions[i] for i in ids if i in self._positions], dtype=int)
            frame, vectors = self._frame[rows], self._joined()[torch.from_numpy(rows)]
            segments = self._present_segments()
        wanted = frame.select("id").unique()
        thumbnails = [
            _columns_of(path, ["id", "thumbnail"]).join(wanted, on="id", how="semi")
            for path in segments
        ]
        if thumbnails:
            found = pl.concat(thumbnails).unique("id")
            frame = frame.join(found, on="id", how="left", maintain_order="left")
        return Rows(
            frame=frame.select(list(SCHEMA)) if thumbnails else _without_rows(),
            vectors=vectors.numpy(),
        )

    def frame(
        self, where: Filter = EVERYTHING, *, columns: Sequence[str] = tuple(COLUMNS)
    ) -> pl.DataFrame:
        """As `Store.frame`."""
        self._read_changed()
        return self._frame.filter(where.expression()).sort("id").select(columns)

    def page(self, where: Filter = EVERYTHING, *, offset: int = 0, limit: int = 50) -> pl.DataFrame:
        """As `Store.page`."""
        self._read_changed()
        return self._frame.filter(where.expression()).slice(offset, limit)

    def batches(self, size: int) -> Iterator[Rows]:
        """As `Store.batches`."""
        self._read_changed()
        ids = self._frame["id"].to_list()
        for start in range(0, len(ids), size):
            yield self.get(ids[start : start + size])

    def remove(self, where: Filter) -> int:
        """As `Store.remove`."""
        with self._guard:
            self._begin_writing()  # others may have added rows that are meant too
            count = self.remove_ids(self._frame.filter(where.expression())["id"].to_list())
            if not count:
                forget_gone(self)  # names may be of people of whom no row came
            return count

    def remove_ids(self, ids: Sequence[str]) -> int:
        """As `Store.remove_ids`."""
        with self._guard:
            self._begin_writing()
            gone = self.present(ids)
            if gone:
                with self._told():
                    mark(self._folder, Mark(ids=tuple(sorted(gone))))
                self._write_without(gone)
            return len(gone)

    def _write_without(self, gone: Collection[str]) -> None:
        """Ends the removal that is marked."""
        doomed = pl.Series("id", sorted(gone), dtype=pl.String).implode()
        with self._told():
            for path in self._segments():
                segment = pl.read_parquet(path)
                kept = segment.filter(~pl.col("id").is_in(doomed))
                if not kept.height:
                    path.unlink()
                elif kept.height < segment.height:
                    _write_parquet(path, kept)
            tell_changed(self._folder)
        self._load()
        forget_gone(self)
        with self._told():
            unmark(self._folder)

    def _finish_removal(self) -> None:
        """Where a process was killed while it removed; one that is at it is left alone."""
        if marked(self._folder) is None:
            return
        try:
            self._begin_writing()
        except GalleryError:
            return
        self._lock.release()

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `Store.count`."""
        self._read_changed()
        if where.everything:
            return self._frame.height
        return int(self._frame.select(where.expression().sum()).item() or 0)

    def check(self) -> None:
        """As `Store.check`."""
        self._description.read()
        with self._told():
            for path in self._present_segments():
                pl.read_parquet_schema(path)

    def optimize(self) -> str:
        """Joins the segments into one."""
        with self._guard:
            self._begin_writing()
            with self._told():
                sweep(self._folder)
            old = self._segments()
            if len(old) < 2:
                return "There was nothing to join."
            with self._told():
                self._join(old)
            self._load()
            return f"{len(old)} segments joined into one."

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

    def _told(self) -> AbstractContextManager[None]:
        return told(str(self._folder), *_ENGINE)

    def _describe(self, change: Callable[[StoreInfo], StoreInfo]) -> None:
        with self._guard:
            self._begin_writing()
            with self._told():
                self._description.write(change)

    def _begin_writing(self) -> None:
        if self._lock.acquire():
            try:
                self._description.read()
                with self._told():
                    for part in self._folder.glob(".rows-*.part"):  # of a process that was killed
                        part.unlink()
                gone = marked(self._folder)
                if gone is not None:
                    self._write_without(gone.ids)
                self._load()  # somebody else may have written since this store was opened
            except BaseException:
                self._lock.release()  # or the next change would be made without all this
                raise

    def _read_changed(self) -> None:
        """Reads what another process has added; all rows where it has removed or changed some."""
        with self._guard:
            now = state_of(self._folder)
            if now is not None and now != self._changed:
                self._load()
                return
            with suppress(OSError):  # moved away: what is in memory answers
                if _segments_in(self._folder, without=self._have_read):
                    self._load(added=True)

    def _load(self, *, added: bool = False) -> None:
        read = self._read_added if added else self._read_all
        with told(str(self._folder), *_ENGINE, ValueError):
            for _ in range(_ASKED_AGAIN):
                try:
                    return read()
                except FileNotFoundError:  # a segment of nothing but removed rows, or joined
                    continue
            return read()

    def _read_all(self) -> None:
        changed, paths = state_of(self._folder), self._segments()
        blocks, frame = self._rows_of(paths, known=())
        # Together at the end: a reader that finds a segment damaged goes on with what it had.
        positions = {i: n for n, i in enumerate(frame["id"].to_list())}
        self._blocks, self._positions, self._frame = blocks, positions, frame
        self._changed, self._have_read = changed, {path.name for path in paths}

    def _read_added(self) -> None:
        paths = self._segments()
        new = [path for path in paths if path.name not in self._have_read]
        self._append(*self._rows_of(new, known=self._positions))
        self._have_read = {path.name for path in paths}

    def _rows_of(
        self, paths: Sequence[Path], known: Collection[str]
    ) -> tuple[list[Vectors], pl.DataFrame]:
        """Of segments, each row once; without the rows that are known."""
        blocks: list[Vectors] = []
        frames = [pl.DataFrame(schema=COLUMNS)]
        found: set[str] = set()
        for path in paths:
            segment = _columns_of(path, [*COLUMNS, VECTOR])
            segment = segment.with_columns(pl.col(n).cast(k) for n, k in COLUMNS.items())
            new = [i not in known and i not in found for i in segment["id"].to_list()]
            segment = segment.filter(pl.Series(new, dtype=pl.Boolean))
            found.update(segment["id"].to_list())
            blocks.append(_vectors_of(segment, self.info.dim))
            frames.append(segment.select(list(COLUMNS)))
        return blocks, pl.concat(frames)

    def _append(self, blocks: Sequence[Vectors], frame: pl.DataFrame) -> None:
        start = len(self._positions)
        self._positions.update({i: start + n for n, i in enumerate(frame["id"].to_list())})
        self._blocks.extend(blocks)
        self._frame = pl.concat([self._frame, frame])

    def _joined(self) -> torch.Tensor:
        """(N, D)."""
        if len(self._blocks) != 1:
            empty = np.zeros((0, self.info.dim), np.float32)
            self._blocks = [np.concatenate([empty, *self._blocks])]
        return torch.from_numpy(self._blocks[0])

    def _segments(self) -> list[Path]:
        return [self._folder / name for name in sorted(_segments_in(self._folder))]

    def _present_segments(self) -> list[Path]:
        """As `_segments`, of a store whose rows are in memory: the files may have gone since."""
        found = self._segments()
        if self._frame.height and not found:
            raise GalleryError(sentence(self.location, FileNotFoundError(errno.ENOENT, "rows")))
        return found

    def _next_segment(self) -> Path:
        last = self._segments()[-1:]
        number = 1 + (int(last[0].stem.removeprefix("rows-")) if last else 0)
        return self._folder / f"rows-{number:08}.parquet"

    def _write_segment(self, rows: Rows) -> Path:
        path = self._next_segment()
        _write_parquet(path, self._with_vectors(rows))
        return path

    def _with_vectors(self, rows: Rows) -> pl.DataFrame:
        vectors = pl.Series(VECTOR, rows.vectors, dtype=pl.Array(pl.Float32, self.info.dim))
        return rows.frame.with_columns(vectors)


def _segments_in(folder: Path, without: Collection[str] = ()) -> list[str]:
    names = os.listdir(folder)  # noqa: PTH208  asked before every search: quick
    return [name for name in names if name not in without and _SEGMENT.fullmatch(name)]


def distances_to(query: Vectors, vectors: Vectors, distance: Distance) -> NDArray[np.float64]:
    """(N,) distances of one prepared query to N prepared vectors, computed in float64."""
    wide, one = vectors.astype(np.float64), query.astype(np.float64)
    if distance == "euclidean":
        return np.asarray(np.linalg.norm(wide - one, axis=1))
    products = wide @ one
    return -products if distance == "dot" else np.clip(1 - products, 0, 2)


def _nearest(
    queries: torch.Tensor, vectors: torch.Tensor, k: int, distance: Distance
) -> torch.Tensor:
    """(Q, k) positions of the nearest vectors; their order is settled by the caller."""
    scores = queries @ vectors.T
    if distance == "euclidean":
        scores -= vectors.square().sum(dim=1) / 2
    return scores.topk(k, dim=1).indices


def _fitting(frame: pl.DataFrame, where: Filter) -> NDArray[np.int64]:
    fits = frame.select(where.expression().alias("fits"))["fits"].to_numpy()
    return np.flatnonzero(np.broadcast_to(fits, frame.height))


def _vectors_of(frame: pl.DataFrame, dim: int) -> Vectors:
    # A copy: torch warns about memory that it may not write to.
    return np.array(frame[VECTOR].to_numpy(), dtype=np.float32).reshape(-1, dim)


def _without_rows() -> pl.DataFrame:
    return pl.DataFrame(schema=SCHEMA)


def _replace_rows(path: Path, rows: pl.DataFrame) -> None:
    """Writes a segment again, whole or not at all, where it holds some of the rows."""
    segment = pl.read_parquet(path)
    replaced = rows.join(segment, on="id", how="semi").select(segment.columns)
    if replaced.height:
        kept = segment.join(replaced, on="id", how="anti", maintain_order="left")
        _write_parquet(path, pl.concat([kept, replaced]))


def _columns_of(path: Path, columns: list[str]) -> pl.DataFrame:
    # Of one file from end to end: by its name polars opens it more than once, and a removal may
    # have put another one in its place.
    with path.open("rb") as file:
        return pl.read_parquet(file, columns=columns)


def _write_parquet(path: Path, frame: pl.DataFrame) -> None:
    with written_whole(path) as file:
        frame.write_parquet(file)
