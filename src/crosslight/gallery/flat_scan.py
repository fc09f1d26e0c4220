"""A quick search beside a table: codes of all rows are compared, the nearest once more exactly.

    build(folder, parts, dim=512, distance="cosine", stamp="a1b2")   # once; whole or not at all
    extend(folder, frame, halves, before="a1b2", after="c3d4")       # with each commit of the table
    scan = FlatScan.opened(folder, stamp="c3d4", dim=512, distance="cosine")
    scan.search(queries, 10, Filter(cams={3}))                       # -> hits, nearest first

Each vector has a code of 2 bits for each number (4 where they are few), made by turbovec, which
compares all codes that a mask leaves with the query. The `CANDIDATES` nearest by code are compared
in half precision as the table keeps them. What a hit says of its row is kept here too: a question
to the table would take longer than the search.

The table is the truth, and this a copy of it that may be missing. `stamp` says of which state of
the table; in another one nothing is found here. In `folder`:

    scan.json                stamp, rows, checksums; written last, so that it never says too much
    GENERATION/codes-M       turbovec's own format, of the first M rows; a reader codes the others
    GENERATION/vectors       (N, D) half precision, read at the rows that are compared
    GENERATION/known         what filters ask, and a checksum of each row's vector and text
    GENERATION/texts         JSON of what a hit says
    GENERATION/gone          rows that others have replaced since

Files only grow, and what lies behind the counts of scan.json was left by a writer that was killed.
Every byte is compared with its checksum before it is used; nothing is mapped into memory, where a
file that somebody cuts short would end the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.files import sync_folder, write_text, written_whole
from crosslight.gallery.rows import Filter, Hit, Vectors, hits_from
from crosslight.types import Distance

CANDIDATES = 200
"""Nearest by code, at least; five times as many as were asked for where that is more."""

COMPARED_AT_MOST = 4_000
"""Candidates read one by one; for more, comparing with the whole table is as quick."""

LEAST_DIM = 16
"""Numbers per vector from which codes find enough of the nearest."""

Halves = NDArray[np.float16]

_FORMAT = 1
_NAME = "scan.json"
_SHOWN = ("id", "pid", "cam", "modality", "time", "track", "path")
_KNOWN = np.dtype(
    [
        ("id", "<u8"),
        ("pid", "<i8"),
        ("cam", "<i8"),
        ("time", "<f8"),
        ("vector", "<u8"),
        ("text", "<u4"),
        ("length", "<u4"),
        ("modality", "u1"),
    ]
)
_LARGEST = float(np.finfo(np.float16).max)
_NOBODY = -(2**63)  # no store keeps this number
_FEW_BITS_FROM = 256
_LANES = 8  # a code's length is a multiple of it
_UNCODED_AT_MOST = 20_000
_COMPARED_ONE_BY_ONE = 8
_LEFT_OUT_AFTERWARDS = 50
_READ_FIRST = 40
_SPREADS = 5.0
_ROUNDING = 10  # more than were asked for are compared in double precision


class NoScanError(Exception):
    """There is nothing to search here: missing, of another state of the table, or damaged."""


class StaleError(NoScanError):
    """It is of another state of the table."""


@dataclass(frozen=True, kw_only=True)
class _State:
    """What scan.json says."""

    stamp: str
    generation: str
    dim: int
    distance: Distance
    rows: int
    coded: int
    gone: int
    texts: int
    known_sum: int
    codes_sum: int
    gone_sum: int
    centre: list[float]
    middle: float
    weight: float
    format: int = _FORMAT

    def folder(self, above: Path) -> Path:
        return above / self.generation

    def codes(self, above: Path) -> Path:
        return above / self.generation / f"codes-{self.coded}"


def is_possible(dim: int) -> str | None:
    """Why vectors of this length cannot be scanned here; None where they can."""
    if dim < LEAST_DIM:
        return f"vectors of {dim} numbers have no codes that find enough"
    try:
        import turbovec  # noqa: F401
    except ImportError:
        return "turbovec is not installed (pip install 'crosslight[gallery]', where it has a wheel)"
    return None


def exists(folder: Path) -> bool:
    """Whether one was built, whatever state it is of."""
    return (folder / _NAME).exists()


def seen(folder: Path) -> tuple[int, ...] | None:
    """What is another after each change; None where there is none."""
    try:
        found = (folder / _NAME).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def is_of(folder: Path, stamp: str | None) -> bool:
    """Whether it says that it is of this state."""
    try:
        return _read_state(folder).stamp == stamp
    except NoScanError:
        return False


def drop(folder: Path) -> None:
    """Takes all of it off the disk.

    Raises:
        OSError: It cannot be removed.
    """
    for path in (folder / _NAME, folder):  # in this order: from the first on nobody uses it
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if folder.parent.exists():
        sync_folder(folder.parent)


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
    drop(folder)
    try:
        _write_anew(folder, parts, dim, distance, stamp)
    except (OSError, NoScanError):
        with suppress(OSError):
            drop(folder)
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
        state = _read_state(folder)
        if before is None or state.stamp != before:
            return False
        place = state.folder(folder)
        if frame.height:
            if replaced:
                old = _places_of(folder, state, frame["id"].to_list())
                if len(old) != frame.height:
                    return False
                content = old.astype("<u8").tobytes()
                _append(place / "gone", 8 * state.gone, content)
                state = replace(
                    state,
                    gone=state.gone + len(old),
                    gone_sum=zlib.crc32(content, state.gone_sum),
                )
            records, written = _recorded(frame, halves)
            _append(place / "known", _KNOWN.itemsize * state.rows, records)
            _append(place / "texts", state.texts, written)
            rows = np.ascontiguousarray(halves).tobytes()
            _append(place / "vectors", 2 * state.dim * state.rows, rows)
            state = _grown(state, records, written)
            if state.rows - state.coded > max(_UNCODED_AT_MOST, state.coded // 4):
                state = _coded(folder, state)
        _write_state(folder, replace(state, stamp=after))
        for path in place.glob("codes-*"):
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
    state = _read_state(folder)
    scan = FlatScan.opened(folder, stamp=state.stamp, dim=dim, distance=distance)
    step = max(1, (1 << 24) // dim)
    for start in range(0, state.rows, step):
        places = np.arange(start, min(start + step, state.rows))
        scan.vectors_at(places)
        scan.shown_at(places)
    return state.gone


class FlatScan:
    """What `build` and `extend` have written, opened for searching; several threads may."""

    def __init__(self, folder: Path, state: _State, *, coded: bool = True) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._state = replace(state, rows=0, gone=0, known_sum=0, gone_sum=0, texts=0)
        self._columns = {name: np.empty(0, _KNOWN[name]) for name in _KNOWN.names or ()}
        self._ends = np.empty(0, np.int64)
        self._here = np.empty(0, np.bool_)
        with self._whole():
            self._index: Any = _read_codes(folder, state) if coded else None
        self._follow(state)

    @classmethod
    def opened(cls, folder: Path, *, stamp: str | None, dim: int, distance: Distance) -> FlatScan:
        """The scan of this state of the table.

        Raises:
            StaleError: There is one, of another state.
            NoScanError: There is none, or it is damaged.
        """
        state = _read_state(folder)
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
            state = _read_state(self._folder)
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
            asked = _asked(self._state, queries)
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
            content = b"".join(_read_at(path, ((int(n) * length, length) for n in places)))
            halves = np.frombuffer(content, np.float16).reshape(len(places), self._state.dim)
            if not np.array_equal(_sums(halves), self._columns["vector"][places]):
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
            texts = list(_read_at(path, spans))
            for text, number in zip(texts, self._columns["text"][places], strict=True):
                if zlib.crc32(text) != number:
                    raise NoScanError("texts are damaged")
            return [dict(zip(_SHOWN, json.loads(text.decode()), strict=True)) for text in texts]

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
            others = np.array([_hash(one) for one in where.not_ids], np.uint64)
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

    def _follow(self, state: _State) -> None:
        mine = self._state
        with self._whole():
            place = state.folder(self._folder)
            first, more = mine.rows, state.rows - mine.rows
            size = _KNOWN.itemsize
            (content,) = _read_at(place / "known", [(size * first, size * more)])
            (gone,) = _read_at(place / "gone", [(8 * mine.gone, 8 * (state.gone - mine.gone))])
            if zlib.crc32(content, mine.known_sum) != state.known_sum:
                raise NoScanError("known is damaged")
            if zlib.crc32(gone, mine.gone_sum) != state.gone_sum:
                raise NoScanError("gone is damaged")
            records = np.frombuffer(content, _KNOWN)
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
                self._index.add(_to_code(state, self.vectors_at(places)))

    @contextmanager
    def _whole(self) -> Iterator[None]:
        with _engine():
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
    state = _State(
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
                state = _centred(state, halves)
                index = _new_index(state)
            records, written = _recorded(frame, halves)
            known.write(records)
            texts.write(written)
            vectors.write(np.ascontiguousarray(halves).data)
            state = _grown(state, records, written)
            with _engine():
                index.add(_to_code(state, halves))
        for file in (known, texts, vectors):
            file.flush()
            os.fsync(file.fileno())
    if index is None:
        drop(folder)
        return
    state = _write_codes(folder, state, index)
    sync_folder(place)
    sync_folder(folder)
    _write_state(folder, state)
    sync_folder(folder.parent)


def _read_state(folder: Path) -> _State:
    try:
        content = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        digest = content.pop("digest")
        if digest != _digest(content) or content["format"] != _FORMAT:
            raise NoScanError("scan.json is damaged")
        return _State(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoScanError(str(error)) from error


def _write_state(folder: Path, state: _State) -> None:
    content = asdict(state)
    write_text(folder / _NAME, json.dumps({**content, "digest": _digest(content)}) + "\n")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _recorded(frame: pl.DataFrame, halves: Halves) -> tuple[bytes, bytes]:
    """What `known` and `texts` keep of some rows."""
    texts = [json.dumps(row).encode() for row in frame.select(_SHOWN).iter_rows()]
    records = np.empty(frame.height, _KNOWN)
    records["id"] = [_hash(one) for one in frame["id"].to_list()]
    records["pid"] = frame["pid"].fill_null(_NOBODY).to_numpy()
    records["cam"] = frame["cam"].to_numpy()
    records["modality"] = frame["modality"].to_numpy()
    # A time that is no number counts as the latest, and none at all fits no limit.
    records["time"] = frame["time"].fill_nan(np.inf).fill_null(np.nan).to_numpy()
    records["text"] = [zlib.crc32(text) for text in texts]
    records["length"] = [len(text) for text in texts]
    records["vector"] = _sums(halves)
    return records.tobytes(), b"".join(texts)


def _sums(halves: Halves) -> NDArray[np.uint64]:
    """(N,) sums with odd weights, by which any change of one word changes the sum."""
    whole = np.ascontiguousarray(halves)
    words = whole.view(np.uint64) if 2 * whole.shape[1] % 8 == 0 else whole.view(np.uint16)
    return np.asarray(words.astype(np.uint64, copy=False) @ _weights(words.shape[1]))


@cache
def _weights(words: int) -> NDArray[np.uint64]:
    drawn = hashlib.shake_256(b"crosslight").digest(8 * words)  # the same ones for ever
    return np.frombuffer(drawn, "<u8").astype(np.uint64) | np.uint64(1)


def _grown(state: _State, records: bytes, texts: bytes) -> _State:
    return replace(
        state,
        rows=state.rows + len(records) // _KNOWN.itemsize,
        known_sum=zlib.crc32(records, state.known_sum),
        texts=state.texts + len(texts),
    )


def _centred(state: _State, halves: Halves) -> _State:
    """Codes are of what is left of a vector beside what all have in common.

    That changes no order of inner products with a query. For the Euclidean distance, a vector gets
    one number more, so that an inner product gives the order of distances:
    q·x - |x|²/2, from which a middle value is taken, and which is weighed so that query and row
    share the error of coding it.
    """
    vectors = _finite(halves)
    centre = vectors.mean(axis=0)
    squares = np.square((vectors - centre).astype(np.float64)).sum(axis=1) / 2
    spread = float(squares.std())
    return replace(
        state,
        centre=[float(number) for number in centre],
        middle=float(squares.mean()),
        weight=1 / np.sqrt(spread) if spread > 0 else 1.0,
    )


def _finite(halves: Halves) -> Vectors:
    return np.nan_to_num(halves.astype(np.float32), posinf=_LARGEST, neginf=-_LARGEST)


def _width(state: _State) -> int:
    return -(-(state.dim + (state.distance == "euclidean")) // _LANES) * _LANES


def _to_code(state: _State, halves: Halves) -> Vectors:
    """(N, width) of which the codes are made."""
    wide = np.zeros((len(halves), _width(state)), np.float32)
    wide[:, : state.dim] = _finite(halves) - np.array(state.centre, np.float32)
    if state.distance == "euclidean":
        squares = np.square(wide[:, : state.dim].astype(np.float64)).sum(axis=1) / 2
        wide[:, state.dim] = state.weight * (squares - state.middle)
    return wide


def _asked(state: _State, queries: Vectors) -> Vectors:
    """(Q, width) that the codes are asked with."""
    wide = np.zeros((len(queries), _width(state)), np.float32)
    wide[:, : state.dim] = queries
    if state.distance == "euclidean":
        wide[:, : state.dim] -= np.array(state.centre, np.float32)
        wide[:, state.dim] = -1 / state.weight
    return wide


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


def _places_of(folder: Path, state: _State, ids: list[str]) -> NDArray[np.int64]:
    """Where the rows with these ids are."""
    scan = FlatScan(folder, state, coded=False)
    hashes = np.array([_hash(one) for one in ids], np.uint64)
    suspects = np.flatnonzero(np.isin(scan._columns["id"], hashes) & scan._here)
    wanted = set(ids)
    shown = scan.shown_at(suspects)
    return suspects[[row["id"] in wanted for row in shown]]


def _new_index(state: _State) -> Any:
    with _engine():
        from turbovec import TurboQuantIndex

        bits = 2 if state.dim >= _FEW_BITS_FROM else 4
        return TurboQuantIndex(dim=_width(state), bit_width=bits)


def _read_codes(folder: Path, state: _State) -> Any:
    with _engine():
        from turbovec import TurboQuantIndex

        content = state.codes(folder).read_bytes()
        if zlib.crc32(content) != state.codes_sum:
            raise NoScanError("codes are damaged")
        index = TurboQuantIndex.from_bytes(content)
        if len(index) != state.coded:
            raise NoScanError(f"{len(index)} codes, not {state.coded}")
        return index


def _write_codes(folder: Path, state: _State, index: Any) -> _State:
    with _engine():
        content = index.to_bytes()
    state = replace(state, coded=state.rows, codes_sum=zlib.crc32(content))
    with written_whole(state.codes(folder)) as file:
        file.write(content)
    return state


def _coded(folder: Path, state: _State) -> _State:
    """With codes of all rows on the disk."""
    return _write_codes(folder, state, FlatScan(folder, state)._index)


def _append(path: Path, length: int, content: bytes) -> None:
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) < length:
            raise NoScanError(f"{path.name} is cut short")
        file.truncate(length)  # what a writer that was killed has left
        file.seek(length)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_at(path: Path, spans: Iterable[tuple[int, int]]) -> list[bytes]:
    """What stands at these places: (start, length)."""
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "pread"):
            number, pread = file.fileno(), os.pread
            found = [pread(number, length, start) for start, length in spans]
        else:
            found = [file.read(length) for start, length in spans if file.seek(start) == start]
    return found


@contextmanager
def _engine() -> Iterator[None]:
    """What turbovec raises, native code that panics included."""
    try:
        yield
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        raise NoScanError(str(error)) from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise NoScanError(str(error)) from error
        raise
