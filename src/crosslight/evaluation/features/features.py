"""The currency of this room: one row of numbers per image, with who, which camera, which light."""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from crosslight.data.columns import is_parquet
from crosslight.errors import DataError
from crosslight.evaluation.features.given_arrays import (
    cam_array,
    feature_array,
    id_array,
    light_array,
    path_array,
    split_array,
)
from crosslight.evaluation.features.other_programs import ARRAYS, in_one, read_matlab, read_torch
from crosslight.evaluation.features.stored import (
    column_names,
    mapped_member,
    mapped_npy,
    read_labels_csv,
    read_parquet,
    release_pages,
)
from crosslight.files import written_whole
from crosslight.types import UNKNOWN_CAM, UNKNOWN_MODALITY

_CAM_ID_FILE = re.compile(r"(?:^|[/\\])cam(\d+)[/\\](\d+)[/\\][^/\\]+$", re.IGNORECASE)
_NEEDED = {
    "feats": "the embeddings, one row per image, shape (N, D), float32",
    "pids": "the person id of each row, shape (N,), int64",
}
_UNSAID: npt.NDArray[Any] = np.empty(0)
_ROWS_AT_ONCE = 4096
_MAP_FROM_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Embeddings of the images of a test set and what the protocols need to know about them.

    Lists, series and torch tensors are taken as well, and words for light, split and numbers as in
    tables; the attributes are always numpy arrays.

    Attributes:
        feats: `(N, D)` float; whole numbers are taken as float64.
        pids: `(N,)` int64 person ids of the data set; -1 marks junk, 0 a distractor.
        cams: `(N,)` int64 camera numbers; `UNKNOWN_CAM` where, or if, the data do not say.
        modality: `(N,)` uint8, 0 visible and 1 infrared; `UNKNOWN_MODALITY` where, or if, not said.
        split: `(N,)` str such as 'query', 'gallery', 'multi-query' or 'test', or None.
        paths: `(N,)` str, or None. The file name decides which image of a person a sampler takes.

    Raises:
        DataError: Lengths differ, there are no rows, a type is wrong, a value is not finite.
    """

    feats: npt.NDArray[Any]
    pids: npt.NDArray[np.int64]
    cams: npt.NDArray[np.int64] = field(default_factory=lambda: _UNSAID)
    modality: npt.NDArray[np.uint8] = field(default_factory=lambda: _UNSAID)
    split: npt.NDArray[np.str_] | None = None
    paths: npt.NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        feats = _finite(feature_array("feats", self.feats))
        n = len(feats)
        set_field = object.__setattr__
        cams, modality = (
            None if given is _UNSAID else given for given in (self.cams, self.modality)
        )
        set_field(self, "feats", feats)
        set_field(self, "pids", id_array("pids", self.pids, n))
        set_field(self, "cams", cam_array("cams", cams, n))
        set_field(self, "modality", light_array("modality", modality, n))
        if self.split is not None:
            set_field(self, "split", split_array("split", self.split, n))
        if self.paths is not None:
            set_field(self, "paths", path_array("paths", self.paths, n))

    def __len__(self) -> int:
        return len(self.feats)


def cams_and_pids_of_paths(
    paths: npt.NDArray[np.str_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Cameras and person ids written in paths that end in `cam1/0006/0025.jpg`.

    Only the last three parts of a path are read, so a root that contains "cam" does no harm.

    Returns:
        Two `(N,)` arrays, or None if any path is not of that form.
    """
    found = [_CAM_ID_FILE.search(path) for path in paths.tolist()]
    numbers = [(int(m[1]), int(m[2])) for m in found if m is not None]
    if len(numbers) < len(found) or not numbers:
        return None
    cams, pids = np.array(numbers, dtype=np.int64).T
    return cams, pids


def load_features(path: Path | str, *, map_from: int = _MAP_FROM_BYTES) -> Features:
    """Features from a file written by any program.

    An `.npz` file; a `.npy` file of embeddings with its labels beside it, in a `.csv` or a
    `.labels.npz` file of the same name; a Parquet file with one row per image; a MATLAB file; or a
    dictionary of tensors that torch saved, read with weights only. Needed: `feats` and `pids`, or
    queries and gallery apart as `query_f`, `query_label`, `query_cam`, `gallery_f`, and so on.
    Needed by most protocols: `cams`, `modality`, `split`. Optional: `paths`; paths of the form
    `cam1/0006/0025.jpg` stand in for absent `cams` and `pids`.

    Args:
        path: The file.
        map_from: Embeddings of at least so many bytes stay on disk and are read when used.

    Raises:
        DataError: The file is absent, damaged, holds Python objects, or lacks an array.
    """
    path = Path(path)
    arrays, names = _read(path, map_from)
    paths = path_array("paths", arrays["paths"], None) if "paths" in arrays else None
    from_paths = cams_and_pids_of_paths(paths) if paths is not None else None
    if from_paths is not None:
        arrays.setdefault("cams", from_paths[0])
        arrays.setdefault("pids", from_paths[1])
    for name, meaning in _NEEDED.items():
        if name not in arrays:
            raise DataError(
                f"{path} holds {', '.join(names) or 'nothing'} but no array '{name}'; add "
                f"{meaning}, with numpy.savez(path, feats=..., pids=..., cams=..., split=...)."
            )
    return Features(**arrays)


def _read(path: Path, map_from: int) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """The arrays of a file that have a meaning here, and the names of all that it holds."""
    kind = path.suffix.lower()
    if kind == ".npy":
        arrays = _read_npy(path, map_from)
        return arrays, sorted(arrays)
    if is_parquet(path):
        _check_file(path, "the Parquet file that holds the features")
        arrays = read_parquet(path)
        return arrays, column_names(path)
    if kind in (".mat", ".pt", ".pth"):
        _check_file(path, "the file that holds the features")
        found = read_matlab(path) if kind == ".mat" else read_torch(path)
        return in_one(found, path), sorted(found)
    return _read_npz(path, map_from)


def save_features(path: Path | str, features: Features) -> None:
    """Writes features as `.npz`; the file appears whole or not at all.

    Raises:
        DataError: Another ending, the folder cannot be written or the disk is full.
    """
    path = Path(path)
    if path.suffix.lower() not in {".npz", ""}:
        raise DataError(
            f"{path} ends in {path.suffix}, but features are written as .npz; give the file that "
            "ending."
        )
    try:
        with written_whole(path) as file:
            write_features(file, features)
    except OSError as error:
        raise DataError(
            f"{path} could not be written ({error.strerror or error}); nothing was changed. "
            "Free some space or give another folder."
        ) from error


def write_features(file: BinaryIO, features: Features) -> None:
    """Writes features as `.npz` into an open file."""
    arrays: dict[str, npt.NDArray[Any]] = {"feats": features.feats, "pids": features.pids}
    if np.any(features.cams != UNKNOWN_CAM):
        arrays["cams"] = features.cams
    if np.any(features.modality != UNKNOWN_MODALITY):
        arrays["modality"] = features.modality
    if features.split is not None:
        arrays["split"] = features.split
    if features.paths is not None:
        arrays["paths"] = features.paths
    np.savez(file, allow_pickle=False, **arrays)


def _check_file(path: Path, what: str) -> None:
    if not path.is_file():
        raise DataError(f"{path} is not a file; give {what}.")


def _read_npy(path: Path, map_from: int) -> dict[str, npt.NDArray[Any]]:
    _check_file(path, "the .npy file that holds the embeddings")
    table, archive = path.with_suffix(".csv"), path.with_suffix(".labels.npz")
    if table.is_file():
        arrays = read_labels_csv(table)
    elif archive.is_file():
        arrays, _ = _read_npz(archive, map_from)
    else:
        raise DataError(
            f"{path} holds embeddings only; put their labels into {table.name} (columns pid, cam, "
            f"modality, split, path) or {archive.name} (arrays pids, cams, modality, split, paths) "
            "beside it."
        )
    try:
        feats = mapped_npy(path)
        arrays["feats"] = feats if feats.nbytes >= map_from else np.array(feats)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"{path} is not a readable .npy file of numbers; write it again with numpy.save."
        ) from error
    return arrays


def _read_npz(path: Path, map_from: int) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    _check_file(path, "the .npz file that holds the features")
    try:
        loaded = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path} is not a readable .npz file; write it again with numpy.savez(path, "
            "feats=..., pids=..., cams=..., modality=...)."
        ) from error
    if isinstance(loaded, np.ndarray):
        raise DataError(
            f"{path} holds one bare array; expected an .npz file with named arrays, written with "
            "numpy.savez(path, feats=..., pids=..., cams=..., modality=...)."
        )
    arrays: dict[str, npt.NDArray[Any]] = {}
    with loaded:
        names = sorted(loaded.files)
        for name in names:
            if name not in ARRAYS:
                continue
            try:
                large = name == "feats" and _member_bytes(path, name) >= map_from
                mapped = mapped_member(path, name) if large else None
                arrays[name] = loaded[name] if mapped is None else mapped
            except ValueError as error:
                if "pickle" not in str(error).lower():
                    raise DataError(_damaged(path, name)) from error
                kind = "str" if name in ("split", "paths") else "float"
                raise DataError(
                    f"Array '{name}' of {path} holds Python objects, which could run code when "
                    "read; write it as plain numbers or text, for example "
                    f"numpy.asarray({name}, dtype={kind})."
                ) from error
            except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise DataError(_damaged(path, name)) from error
    return in_one(arrays, path), names


def _member_bytes(path: Path, name: str) -> int:
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo(f"{name}.npy").file_size


def _damaged(path: Path, name: str) -> str:
    return f"Array '{name}' of {path} is damaged or cut off; write the file again."


def _finite(feats: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for start in range(0, len(feats), _ROWS_AT_ONCE):
        good = np.isfinite(feats[start : start + _ROWS_AT_ONCE]).all(axis=1)
        if not good.all():
            row = start + int(np.argmin(good))
            column = int(np.argmin(np.isfinite(feats[row])))
            raise DataError(
                f"feats[{row}, {column}] is {feats[row, column]}, expected finite numbers; look at "
                f"the image of row {row} and extract the features again."
            )
        release_pages(feats)
    return feats
