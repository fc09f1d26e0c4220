"""Arrays of features that stay on disk: read page by page, dropped from memory after use."""

from __future__ import annotations

import mmap
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from crosslight.data.columns import (
    Cells,
    Kind,
    ids,
    light,
    read_cells,
    reading_parquet,
    require_filled,
    split_names,
    text,
)
from crosslight.errors import DataError
from crosslight.types import UNKNOWN_CAM, UNKNOWN_MODALITY

_LOCAL_HEADER = struct.Struct("<26xHH")
_SPOOL_BYTES = 2**24
_PARQUET_ROWS = 2**16
_KINDS: dict[str, tuple[str, Kind, Any]] = {
    "pid": ("pids", ids, -1),
    "cam": ("cams", ids, UNKNOWN_CAM),
    "modality": ("modality", light, UNKNOWN_MODALITY),
    "split": ("split", split_names, ""),
    "path": ("paths", text, ""),
}


def mapped_npy(path: Path) -> npt.NDArray[Any]:
    """The array of a `.npy` file, mapped.

    Raises:
        ValueError: It holds Python objects or is cut off.
    """
    array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def mapped_member(path: Path, name: str) -> npt.NDArray[Any] | None:
    """An array of an `.npz` file, mapped; None if it is in no order that can be mapped.

    A compressed array is first unpacked into a temporary file, which goes when the array goes.

    Raises:
        ValueError: It holds Python objects or is cut off.
    """
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as member:
            shape, dtype, in_rows = _read_header(member)
            start = member.tell()
            if dtype.hasobject or not in_rows:
                return None
            if info.compress_type != zipfile.ZIP_STORED:
                spool = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the mapped array)
                while chunk := member.read(_SPOOL_BYTES):
                    spool.write(chunk)
                spool.flush()
                return np.memmap(spool, dtype=dtype, mode="r", shape=shape)
    with path.open("rb") as file:
        file.seek(info.header_offset)
        names, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        begin = info.header_offset + _LOCAL_HEADER.size + names + extra + start
    return np.memmap(path, dtype=dtype, mode="r", offset=begin, shape=shape)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, in_columns, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, in_columns, dtype = np.lib.format.read_array_header_2_0(member)
    return shape, dtype, not in_columns


def read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a Parquet file with one row per image; the features in a temporary file.

    Columns: `feats` (list of numbers), `pid`, and optionally `cam`, `modality`, `split`, `path`.

    Raises:
        DataError: The file cannot be read, a label does not fit, or lists of features differ in
            length.
    """
    arrays = _labels(read_cells(path, list(_KINDS), only=True))
    with reading_parquet(path):
        scan = pl.scan_parquet(path)
        columns = scan.collect_schema()
    feats_name = next((name for name in columns if name.strip().casefold() == "feats"), None)
    if feats_name is None:
        return arrays
    inner = getattr(columns[feats_name], "inner", None)
    kind: Any = np.float64 if inner == pl.Float64 else np.float32
    if inner is None or not inner.is_numeric():
        raise DataError(
            f"Column '{feats_name}' of {path} holds {columns[feats_name]}, expected a list of "
            "numbers per row; write it as List(Float32)."
        )
    feats: npt.NDArray[Any] | None = None
    with reading_parquet(path):
        rows = int(scan.select(pl.len()).collect().item())
    for first in range(0, rows, _PARQUET_ROWS):
        part = scan.select(pl.col(feats_name).cast(pl.List(inner))).slice(first, _PARQUET_ROWS)
        with reading_parquet(path):
            column = part.collect()[feats_name]
        lengths = column.list.len().to_numpy()
        if feats is None:
            length = int(lengths[0]) if len(lengths) else 0
            if length == 0:
                raise DataError(f"Row 0 of {path} has no features; extract them again.")
            spool = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the mapped array)
            feats = np.memmap(spool, dtype=kind, mode="w+", shape=(rows, length))
        wrong = np.flatnonzero(lengths != feats.shape[1])
        if column.null_count() or len(wrong):
            row = first + int(wrong[0] if len(wrong) else column.is_null().to_numpy().argmax())
            raise DataError(
                f"Row {row} of {path} does not hold {feats.shape[1]} features as row 0 does; "
                "extract them again."
            )
        flat = column.explode().to_numpy()
        feats[first : first + len(column)] = flat.reshape(len(column), -1)
        release_pages(feats)
    if feats is not None:
        arrays["feats"] = feats
    return arrays


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file.

    Raises:
        DataError: Not readable.
    """
    with reading_parquet(path):
        return pl.scan_parquet(path).collect_schema().names()


def read_labels_csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The label arrays of a CSV file with the columns that `read_parquet` names.

    Raises:
        DataError: The file cannot be read, or a label does not fit.
    """
    cells = read_cells(path, list(_KINDS))
    if cells.column("path") is None:
        cells.require_columns(("pid",), "pid,cam,modality,split,path")
    return _labels(cells)


def _labels(cells: Cells) -> dict[str, npt.NDArray[Any]]:
    arrays = {}
    for name, (array, kind, default) in _KINDS.items():
        values = cells.read(name, kind)
        if values is None:
            continue
        if name == "pid":
            require_filled(values, cells, "write the number of the person, -1 for junk")
        filled = values.fill_null(default).to_numpy()
        arrays[array] = filled.astype(np.str_) if values.dtype == pl.String else filled
    return arrays


def release_pages(array: npt.NDArray[Any]) -> None:
    """Lets the system take back the memory of a mapped array; others are left alone."""
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        if isinstance(array, np.memmap) and array.mode in ("w+", "r+"):
            base.flush()
        base.madvise(mmap.MADV_DONTNEED)
