"""The files of a flat scan (flat_scan.py).

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
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.files import sync_folder, write_text
from crosslight.types import Distance

Halves = NDArray[np.float16]

SHOWN = ("id", "pid", "cam", "modality", "time", "track", "path")
KNOWN = np.dtype(
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
_FORMAT = 1
_NAME = "scan.json"
_NOBODY = -(2**63)  # no store keeps this number


class NoScanError(Exception):
    """There is nothing to search here: missing, of another state of the table, or damaged."""


class StaleError(NoScanError):
    """It is of another state of the table."""


@dataclass(frozen=True, kw_only=True)
class State:
    """What scan.json says; the codes are of `centre`, `middle` and `weight` (scan_codes.py)."""

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
        """Of its generation, in the scan's."""
        return above / self.generation

    def codes(self, above: Path) -> Path:
        """The file of them."""
        return above / self.generation / f"codes-{self.coded}"


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
        return read_state(folder).stamp == stamp
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


def read_state(folder: Path) -> State:
    """What scan.json says.

    Raises:
        NoScanError: It is missing or damaged.
    """
    try:
        content = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        digest = content.pop("digest")
        if digest != _digest(content) or content["format"] != _FORMAT:
            raise NoScanError("scan.json is damaged")
        return State(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoScanError(str(error)) from error


def write_state(folder: Path, state: State) -> None:
    """Last of all: from here on the files are of this state.

    Raises:
        OSError: The disk fails or is full.
    """
    content = asdict(state)
    write_text(folder / _NAME, json.dumps({**content, "digest": _digest(content)}) + "\n")


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def hash_of(text: str) -> int:
    """Of an id, 64 bits; `texts` says whether it is the id that was meant."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def recorded(frame: pl.DataFrame, halves: Halves) -> tuple[bytes, bytes]:
    """What `known` and `texts` keep of some rows."""
    texts = [json.dumps(row).encode() for row in frame.select(SHOWN).iter_rows()]
    records = np.empty(frame.height, KNOWN)
    records["id"] = [hash_of(one) for one in frame["id"].to_list()]
    records["pid"] = frame["pid"].fill_null(_NOBODY).to_numpy()
    records["cam"] = frame["cam"].to_numpy()
    records["modality"] = frame["modality"].to_numpy()
    # A time that is no number counts as the latest, and none at all fits no limit.
    records["time"] = frame["time"].fill_nan(np.inf).fill_null(np.nan).to_numpy()
    records["text"] = [zlib.crc32(text) for text in texts]
    records["length"] = [len(text) for text in texts]
    records["vector"] = sums(halves)
    return records.tobytes(), b"".join(texts)


def sums(halves: Halves) -> NDArray[np.uint64]:
    """(N,) sums with odd weights, by which any change of one word changes the sum."""
    whole = np.ascontiguousarray(halves)
    words = whole.view(np.uint64) if 2 * whole.shape[1] % 8 == 0 else whole.view(np.uint16)
    return np.asarray(words.astype(np.uint64, copy=False) @ _weights(words.shape[1]))


@cache
def _weights(words: int) -> NDArray[np.uint64]:
    drawn = hashlib.shake_256(b"crosslight").digest(8 * words)  # the same ones for ever
    return np.frombuffer(drawn, "<u8").astype(np.uint64) | np.uint64(1)


def mark_gone(folder: Path, state: State, places: NDArray[np.int64]) -> State:
    """With these rows among those that others replace.

    Raises:
        OSError: The disk fails or is full.
        NoScanError: A file is cut short.
    """
    content = places.astype("<u8").tobytes()
    _append(state.folder(folder) / "gone", 8 * state.gone, content)
    return replace(
        state, gone=state.gone + len(places), gone_sum=zlib.crc32(content, state.gone_sum)
    )


def append_rows(folder: Path, state: State, frame: pl.DataFrame, halves: Halves) -> State:
    """With rows behind the others; they count from `write_state` on.

    Raises:
        OSError: The disk fails or is full.
        NoScanError: A file is cut short.
    """
    place = state.folder(folder)
    records, written = recorded(frame, halves)
    _append(place / "known", KNOWN.itemsize * state.rows, records)
    _append(place / "texts", state.texts, written)
    rows = np.ascontiguousarray(halves).tobytes()
    _append(place / "vectors", 2 * state.dim * state.rows, rows)
    return grown(state, records, written)


def grown(state: State, records: bytes, texts: bytes) -> State:
    """With what `recorded` gave."""
    return replace(
        state,
        rows=state.rows + len(records) // KNOWN.itemsize,
        known_sum=zlib.crc32(records, state.known_sum),
        texts=state.texts + len(texts),
    )


def _append(path: Path, length: int, content: bytes) -> None:
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) < length:
            raise NoScanError(f"{path.name} is cut short")
        file.truncate(length)  # what a writer that was killed has left
        file.seek(length)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_at(path: Path, spans: Iterable[tuple[int, int]]) -> list[bytes]:
    """What stands at these places: (start, length).

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        if hasattr(os, "pread"):
            number, pread = file.fileno(), os.pread
            found = [pread(number, length, start) for start, length in spans]
        else:
            found = [file.read(length) for start, length in spans if file.seek(start) == start]
    return found
