"""Features as other programs of the field write them: MATLAB files, torch dictionaries.

The test scripts of Person_reID_baseline_pytorch and DG-Net write queries and gallery apart, into a
MATLAB file: `query_f`, `query_label`, `query_cam`, `gallery_f`, `gallery_label`, `gallery_cam`,
labels as matrices of one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.errors import DataError
from crosslight.evaluation.features.given_arrays import as_array

Arrays = dict[str, npt.NDArray[Any]]

_HALVES = {"query": "query", "gallery": "gallery", "mquery": "multi-query"}
_EMBEDDINGS = frozenset(("feats", *(f"{half}_f" for half in _HALVES)))
_FIELDS = {"f": "feats", "label": "pids", "cam": "cams"}
_PLAIN = ("feats", "pids", "cams", "modality", "split", "paths")
ARRAYS = frozenset((*_PLAIN, *(f"{half}_{own}" for half in _HALVES for own in _FIELDS)))
"""Names of arrays that mean something."""


def read_matlab(path: Path) -> Arrays:
    """The arrays of a MATLAB file; labels, which are matrices there, with one dimension.

    Raises:
        DataError: Not such a file, or of a version that is HDF5.
    """
    from scipy.io import loadmat

    try:
        loaded = loadmat(path)
    except NotImplementedError as error:
        raise DataError(
            f"{path} is a MATLAB file of version 7.3; save it with save(..., '-v7'), or as .npz."
        ) from error
    except Exception as error:  # on foreign bytes the reader fails in a dozen ways
        raise DataError(
            f"{path} is not a readable MATLAB file; write it again with scipy.io.savemat."
        ) from error
    return {
        name: array.ravel() if name in ARRAYS and name not in _EMBEDDINGS else array
        for name, array in loaded.items()
        if not name.startswith("__")
    }


def read_torch(path: Path) -> Arrays:
    """The tensors and lists of a dictionary that torch saved; nothing else is unpickled.

    Raises:
        DataError: Not such a file, one that needs code to be read, or no dictionary.
    """
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise DataError(
            f"{path} holds more than tensors, or is damaged; Python objects could run code. "
            "Save tensors alone: torch.save({'feats': feats, 'pids': pids, 'cams': cams}, path)."
        ) from error
    except MemoryError:
        raise
    except Exception as error:  # on foreign bytes an unpickler fails in a dozen ways
        raise DataError(
            f"{path} is not a readable file of torch; write it again with "
            "torch.save({'feats': feats, 'pids': pids, 'cams': cams}, path)."
        ) from error
    if not isinstance(loaded, dict) or not loaded:
        raise DataError(
            f"{path} holds a {type(loaded).__name__}, expected a dictionary of tensors; write it "
            "with torch.save({'feats': feats, 'pids': pids, 'cams': cams}, path)."
        )
    return {
        str(name): as_array(str(name), values) if name in ARRAYS else np.empty(0)
        for name, values in loaded.items()
    }


def in_one(arrays: Mapping[str, npt.NDArray[Any]], path: Path) -> Arrays:
    """The arrays that mean something, queries and gallery in one.

    Raises:
        DataError: One half lacks an array.
    """
    halves = [half for half in _HALVES if f"{half}_f" in arrays]
    if "feats" in arrays or "query" not in halves or "gallery" not in halves:
        return {name: arrays[name] for name in _PLAIN if name in arrays}
    rows: dict[str, int] = {}
    parts: dict[str, list[npt.NDArray[Any]]] = {"feats": [], "pids": [], "cams": []}
    for half in halves:
        feats = arrays[f"{half}_f"]
        if half == "mquery" and 0 in feats.shape:
            continue
        for own, name in _FIELDS.items():
            key = f"{half}_{own}"
            if key not in arrays:
                raise DataError(
                    f"{path} holds {', '.join(sorted(arrays))} but no array '{key}'; add it, one "
                    f"value per row of '{half}_f'."
                )
            values = arrays[key]
            if own != "f" and values.shape != (len(feats),):
                raise DataError(
                    f"'{key}' of {path} has shape {values.shape}, expected ({len(feats)},), one "
                    f"value per row of '{half}_f'."
                )
            parts[name].append(values)
        rows[half] = len(feats)
    widths = {part.shape[1:] for part in parts["feats"]}
    if len(widths) > 1:
        raise DataError(
            f"The features of {path} have the shapes "
            f"{', '.join(str(part.shape) for part in parts['feats'])}, expected as many columns in "
            "each; extract them with one model."
        )
    split = np.concatenate([np.full(count, _HALVES[half]) for half, count in rows.items()])
    return {**{name: np.concatenate(part) for name, part in parts.items()}, "split": split}
