"""A quick search beside a table: codes of all rows are compared, the nearest once more exactly.

    build(folder, parts, dim=512, distance="cosine", stamp="a1b2")   # once; whole or not at all
    extend(folder, frame, halves, before="a1b2", after="c3d4")       # with each commit of the table
    scan = FlatScan.opened(folder, stamp="c3d4", dim=512, distance="cosine")
    scan.search(queries, 10, Filter(cams={3}))                       # -> hits, nearest first

The codes (scan_codes.py) that a mask leaves are compared with the query, and the `CANDIDATES`
nearest by code in half precision as the table keeps them. What a hit says of its row is kept here
too (scan_files.py): a question to the table would take longer than the search.

The table is the truth, and this a copy of it that may be missing. `stamp` says of which state of
the table; in another one nothing is found here.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.files import sync_folder
from crosslight.gallery.stores.lance import scan_codes, scan_files
from crosslight.gallery.stores.lance.scan_files import (
    KNOWN,
    SHOWN,
    Halves,
    NoScanError,
    StaleError,
    State,
)
from crosslight.gallery.stores.rows import Filter, Hit, Vectors, hits_from
from crosslight.types import Distance

CANDIDATES = 200
"""Nearest by code, at least; five times as many as were asked for where that is more."""

COMPARED_AT_MOST = 4_000
"""Candidates read one by one; for more, comparing with the whole table is as quick."""

_UNCODED_AT_MOST = 20_000
_COMPARED_ONE_BY_ONE = 8
_LEFT_OUT_AFTERWARDS = 50
_READ_FIRST = 40
_SPREADS = 5.0
_ROUNDING = 10  # more than were asked for are compared in double precision


def build(
    folder: Path,
    parts: Iterable[tuple[pl.DataFrame, Halves]],
    *,
    dim: int,
    distance: Distance,
    stamp: str,
) -> None:
    """Writes all of it anew, in place of what is there.

    Args:
        folder: Its own.
        parts: All rows of the table: `COLUMNS` and (N, D) vectors of some rows after others.
        dim: D.
        distance: How they are compared.
        stamp: Of the table.

    Raises:
        OSError: The disk fails or is full; what was there is gone.
        NoScanError: turbovec is missing or fails.
    """
    scan_files.drop(folder)
    try:
        _write_anew(folder, parts, dim, distance, stamp)
    except (OSError, NoScanError):
        with suppress(OSError):
            scan_files.drop(folder)
        raise


def extend(
    folder: Path,
    frame: pl.DataFrame,
    halves: Halves,
    *,
    before: str | None,
    after: str,
    replaced: bool = False,
) -> bool:
    """Appends rows that the table has got, or replaces those with the same ids.

    Args:
        folder: Its own.
        frame: `COLUMNS` of the rows; none where the table was only tidied.
        halves: Their (N, D) vectors.
        before: Stamp of the table before.
        after: Stamp of the table now.
        replaced: Whether they stand in the place of others.

    Returns:
        False where it was of another state, or is damaged: it must be built again.

    Raises:
        OSError: The disk fails or is full; it is of another state now.
    """
    try:
        state = scan_files.read_state(folder)
        if before is None or state.stamp != before:
            return False
        if frame.height:
            if replaced:
                old = _places_of(folder, state, frame["id"].to_list())
                if len(old) != frame.height:
                    return False
                state = scan_files.mark_gone(folder, state, old)
            state = scan_files.append_rows(folder, state, frame, halves)
            if state.rows - state.coded > max(_UNCODED_AT_MOST, state.coded // 4):
                state = _coded(folder, state)
        scan_files.write_state(folder, replace(state, stamp=after))
        for path in state.folder(folder).glob("codes-*"):
            if path != state.codes(folder):
                path.unlink()
    except NoScanError:
        return False
    return True


def check(folder: Path, *, dim: int, distance: Distance) -> int:
    """Reads all of it, and compares every checksum.

    Returns:
        Rows that were replaced, which building it again would leave out.

    Raises:
        NoScanError: Something is damaged.
    """
    state = scan_files.read_state(folder)
    scan = FlatScan.opened(folder, stamp=state.stamp, dim=dim, distance=distance)
    step = max(1, (1 << 24) // dim)
    for start in range(0, state.rows, step):
        places = np.arange(start, min(start + step, state.rows))
        scan.vectors_at(places)
        scan.shown_at(places)
    return state.gone


class FlatScan:
    """What `build` and `extend` have written, opened for searching; several threads may."""

    def __init__(self, folder: Path, state: State, *, coded: bool = True) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._state = replace(state, rows=0, gone=0, known_sum=0, gone_sum=0, texts=0)
        self._columns = {name: np.empty(0, KNOWN[name]) for name in KNOWN.names or ()}
        self._ends = np.empty(0, np.int64)
        self._here = np.empty(0, np.bool_)
        with self._whole():
            self._index: Any = scan_codes.read(folder, state) if coded else None
        self._follow(state)

    @classmethod
    def opened(cls, folder: Path, *, stamp: str | None, dim: int, distance: Distance) -> FlatScan:
        """The scan of this state of the table.

        Raises:
            StaleError: There is one, of another state.
            NoScanError: There is none, or it is damaged.
        """
        state = scan_files.read_state(folder)
        if stamp is None or state.stamp != stamp:
            raise StaleError("of another state of the table")
        if (state.dim, state.distance) != (dim, distance):
            raise NoScanError("of other vectors")
        return cls(folder, state)

    @property
    def stamp(self) -> str:
        """Of the state of the table that it is of."""
        return self._state.stamp

    def follow(self, stamp: str | None) -> bool:
        """Reads what was appended since; False where it must be opened again.

        Raises:
            StaleError: It is not of this state either.
            NoScanError: It is damaged.
        """
        with self._guard:
            state = scan_files.read_state(self._folder)
            if stamp is None or state.stamp != stamp:
                raise StaleError("of another state of the table")
            mine = self._state
            if state.generation != mine.generation or state.rows < mine.rows:
                return False
            self._follow(state)
            return True

    def search(self, queries: Vectors, k: int, where: Filter) -> list[list[Hit]] | None:
        """The k nearest of each query among the rows that fit, nearest first.

        Args:
            queries: (Q, D), prepared.
            k: Hits of each.
            where: Which rows may be found.

        Returns:
            None where so many are asked for that the table answers as quickly.

        Raises:
            NoScanError: It is damaged.
        """
        with self._guard, self._whole():
            afterwards = len(where.not_ids) <= _LEFT_OUT_AFTERWARDS
            wanted = k + len(where.not_ids) if afterwards else k
            compared = max(CANDIDATES, 5 * wanted)
            mask = self._mask(where, with_ids=not afterwards)
            fitting = self._state.rows if mask is None else int(np.count_nonzero(mask))
            if min(compared, fitting) > COMPARED_AT_MOST:
                return None
            if fitting <= compared:
                every = np.arange(fitting) if mask is None else np.flatnonzero(mask)
                return [self._nearest(query, every, k, where) for query in queries]
            asked = scan_codes.asked(self._state, queries)
            scores, found = self._index.search(asked, k=compared, mask=mask)
            return [
                self._nearest(query, self._worth_reading(query, places, score, wanted), k, where)
                for query, places, score in zip(queries, found, scores, strict=True)
            ]

    def vectors_at(self, places: NDArray[np.integer[Any]]) -> Halves:
        """(N, D) of these rows.

        Raises:
            NoScanError: One is damaged.
        """
        length = 2 * self._state.dim
        path = self._state.folder(self._folder) / "vectors"
        with self._whole():
            parts = scan_files.read_at(path, ((int(n) * length, length) for n in places))
            content = b"".join(parts)
            halves = np.frombuffer(content, np.float16).reshape(len(places), self._state.dim)
            if not np.array_equal(scan_files.sums(halves), self._columns["vector"][places]):
                raise NoScanError("vectors are damaged")
        return halves

    def shown_at(self, places: NDArray[np.integer[Any]]) -> list[dict[str, Any]]:
        """What hits say of these rows.

        Raises:
            NoScanError: One is damaged.
        """
        lengths = self._columns["length"]
        path = self._state.folder(self._folder) / "texts"
        spans = ((int(self._ends[n]) - int(lengths[n]), int(lengths[n])) for n in places)
        with self._whole():
            texts = list(scan_files.read_at(path, spans))
            for text, number in zip(texts, self._columns["text"][places], strict=True):
                if zlib.crc32(text) != number:
                    raise NoScanError("texts are damaged")
            return [dict(zip(SHOWN, json.loads(text.decode()), strict=True)) for text in texts]

    def _nearest(
        self, query: NDArray[np.float32], places: NDArray[Any], k: int, where: Filter
    ) -> list[Hit]:
        halves, last = self.vectors_at(places), k + len(where.not_ids) + _ROUNDING
        few = np.arange(len(places))
        if len(places) > last:
            rough = _distances(query, halves, self._state.distance, np.float32)
            few = np.argpartition(rough, last)[:last]
        distances = _distances(query, halves[few], self._state.distance, np.float64)
        order = np.argsort(distances, kind="stable")[: k + len(where.not_ids)]
        distances, rows = distances[order], self.shown_at(places[few[order]])
        by_id = sorted(range(len(rows)), key=lambda n: (distances[n], rows[n]["id"]))
        kept = [n for n in by_id if rows[n]["id"] not in where.not_ids][:k]
        return hits_from([rows[n] for n in kept], distances[kept])

    def _worth_reading(
        self, query: NDArray[np.float32], places: NDArray[Any], scores: NDArray[Any], wanted: int
    ) -> NDArray[Any]:
        """Without the candidates that no error of coding would bring among the nearest.

        How large errors are is seen in the first ones. They were chosen for errors that flatter
        them, so that the mean is too large for the others; the spread is taken often enough.
        """
        first = max(_READ_FIRST, 2 * wanted)
        if first >= len(places):
            return places
        distance = self._state.distance
        rough = _distances(query, self.vectors_at(places[:first]), distance, np.float32)
        near = -np.square(rough) / 2 if distance == "euclidean" else -rough
        errors = scores[:first] - near
        least = np.partition(near, first - wanted)[first - wanted]
        bound = scores - errors.mean() + _SPREADS * errors.std()
        return places[: max(first, int(np.count_nonzero(bound >= least)))]

    def _mask(self, where: Filter, *, with_ids: bool) -> NDArray[np.bool_] | None:
        """(N,) of those that fit, None for all."""
        known, fits = self._columns, []
        if self._state.gone:
            fits.append(self._here)
        for name, values in (
            ("cam", where.cams),
            ("modality", where.modalities),
            ("pid", where.pids),
        ):
            if values is not None:
                fits.append(_among(known[name], sorted(values)))
        if where.since is not None:
            fits.append(known["time"] >= where.since)
        if where.until is not None:
            fits.append(known["time"] <= where.until)
        if with_ids and where.not_ids:
            others = np.array([scan_files.hash_of(one) for one in where.not_ids], np.uint64)
            suspects = np.flatnonzero(np.isin(known["id"], others))
            left = np.ones(self._state.rows, np.bool_)
            shown = self.shown_at(suspects)
            left[suspects] = [row["id"] not in where.not_ids for row in shown]
            fits.append(left)
        if not fits:
            return None
        mask = fits[0].copy()
        for more in fits[1:]:
            mask &= more
        return mask

    def _follow(self, state: State) -> None:
        mine = self._state
        with self._whole():
            place = state.folder(self._folder)
            first, more = mine.rows, state.rows - mine.rows
            size = KNOWN.itemsize
            (content,) = scan_files.read_at(place / "known", [(size * first, size * more)])
            span = (8 * mine.gone, 8 * (state.gone - mine.gone))
            (gone,) = scan_files.read_at(place / "gone", [span])
            if zlib.crc32(content, mine.known_sum) != state.known_sum:
                raise NoScanError("known is damaged")
            if zlib.crc32(gone, mine.gone_sum) != state.gone_sum:
                raise NoScanError("gone is damaged")
            records = np.frombuffer(content, KNOWN)
            columns = {
                name: np.concatenate([old, records[name]]) for name, old in self._columns.items()
            }
            ends = np.cumsum(columns["length"], dtype=np.int64)
            if len(ends) and ends[-1] != state.texts:
                raise NoScanError("texts have another length")
            here = np.concatenate([self._here, np.ones(more, np.bool_)])
            here[np.frombuffer(gone, "<u8").astype(np.int64)] = False
            self._columns, self._ends, self._here, self._state = columns, ends, here, state
            if self._index is None:
                return
            step = max(1, (1 << 24) // state.dim)
            for start in range(len(self._index), state.rows, step):
                places = np.arange(start, min(start + step, state.rows))
                self._index.add(scan_codes.to_code(state, self.vectors_at(places)))

    @contextmanager
    def _whole(self) -> Iterator[None]:
        with scan_codes.engine():
            try:
                yield
            except (OSError, ValueError, IndexError, KeyError) as error:
                raise NoScanError(str(error)) from error


def _write_anew(
    folder: Path,
    parts: Iterable[tuple[pl.DataFrame, Halves]],
    dim: int,
    distance: Distance,
    stamp: str,
) -> None:
    generation = uuid.uuid4().hex
    place = folder / generation
    place.mkdir(parents=True)
    state = State(
        stamp=stamp, generation=generation, dim=dim, distance=distance, rows=0, coded=0, gone=0,
        texts=0, known_sum=0, codes_sum=0, gone_sum=0, centre=[], middle=0.0, weight=0.0,
    )  # fmt: skip
    index: Any = None
    (place / "gone").touch()
    with (
        (place / "known").open("wb") as known,
        (place / "texts").open("wb") as texts,
        (place / "vectors").open("wb") as vectors,
    ):
        for frame, halves in parts:
            if not state.centre:
                state = scan_codes.centred(state, halves)
                index = scan_codes.new_index(state)
            records, written = scan_files.recorded(frame, halves)
            known.write(records)
            texts.write(written)
            vectors.write(np.ascontiguousarray(halves).data)
            state = scan_files.grown(state, records, written)
            with scan_codes.engine():
                index.add(scan_codes.to_code(state, halves))
        for file in (known, texts, vectors):
            file.flush()
            os.fsync(file.fileno())
    if index is None:
        scan_files.drop(folder)
        return
    state = scan_codes.write(folder, state, index)
    sync_folder(place)
    sync_folder(folder)
    scan_files.write_state(folder, state)
    sync_folder(folder.parent)


def _places_of(folder: Path, state: State, ids: list[str]) -> NDArray[np.int64]:
    """Where the rows with these ids are."""
    scan = FlatScan(folder, state, coded=False)
    hashes = np.array([scan_files.hash_of(one) for one in ids], np.uint64)
    suspects = np.flatnonzero(np.isin(scan._columns["id"], hashes) & scan._here)
    wanted = set(ids)
    shown = scan.shown_at(suspects)
    return suspects[[row["id"] in wanted for row in shown]]


def _coded(folder: Path, state: State) -> State:
    """With codes of all rows on the disk."""
    return scan_codes.write(folder, state, FlatScan(folder, state)._index)


def _distances(
    query: NDArray[np.float32], halves: Halves, distance: Distance, kind: type[np.floating[Any]]
) -> NDArray[Any]:
    # LanceDB, too, brings a query to the precision of the column.
    wide, one = halves.astype(kind), query.astype(np.float16).astype(kind)
    if distance == "euclidean":
        wide -= one
        return np.asarray(np.sqrt(np.einsum("ij,ij->i", wide, wide)))
    products: NDArray[Any] = wide @ one
    if distance == "dot":
        return -products
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide) * (one @ one))
    return np.asarray(np.clip(1 - products / np.where(norms > 0, norms, 1), 0, 2))


def _among(column: NDArray[Any], values: list[int]) -> NDArray[np.bool_]:
    if len(values) > _COMPARED_ONE_BY_ONE:
        return np.isin(column, np.array(values, np.int64))
    fits = np.zeros(len(column), np.bool_)
    for value in values:
        fits |= column == value
    return fits
