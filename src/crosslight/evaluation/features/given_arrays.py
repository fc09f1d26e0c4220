"""Arrays as Python code gives them: numpy, lists, series, torch tensors; read as tables are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.data.columns import Kind, ids, light, read_series, require_filled, split_names, text
from crosslight.errors import DataError
from crosslight.types import UNKNOWN_CAM, UNKNOWN_MODALITY, Modality

_LIGHTS = (*map(int, Modality), UNKNOWN_MODALITY)


@dataclass(frozen=True, kw_only=True)
class _Entries:
    """The entries of an array, for sentences about them."""

    decimal_comma: bool = True

    def found(self, column: str, row: int, value: object) -> str:
        return f"{column}[{row}] is {'nothing' if value is None else repr(value)}"

    def numbering(self, column: str) -> str:
        return f"number the names with numpy.unique({column}, return_inverse=True)[1] + 1"


_HERE = _Entries()


def as_array(name: str, values: Any) -> npt.NDArray[Any]:
    """An array of what can be one; a torch tensor is detached and brought to the processor.

    Raises:
        DataError: It cannot.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(
            f"{name} is a masked array, expected a plain one; fill it, for example with "
            f"{name}.filled(numpy.inf) where it holds distances."
        )
    if isinstance(values, np.ndarray):
        return values
    if values is None or isinstance(values, str | bytes | dict | set):
        kind = "None" if values is None else f"of type {type(values).__name__}"
        raise DataError(f"{name} is {kind}, expected an array, such as numpy.asarray([...]).")
    try:
        if hasattr(values, "detach"):
            return _of_tensor(values)
        array = np.asarray(values)
    except Exception as error:  # whatever an object of a foreign type says when asked
        raise DataError(
            f"{name} cannot be made an array ({type(values).__name__}); give numbers of one shape, "
            "such as numpy.asarray([...])."
        ) from error
    return array


def feature_array(name: str, values: Any) -> npt.NDArray[Any]:
    """An `(N, D)` array of floats; whole numbers become float64.

    Raises:
        DataError: Another shape, no rows, or no numbers.
    """
    feats = as_array(name, values)
    if feats.ndim != 2 or 0 in feats.shape:
        raise DataError(
            f"{name} has shape {feats.shape}, expected (N, D) with one row per image and at least "
            "one image; reshape it or extract the features again."
        )
    if feats.dtype.kind in "iu":
        return feats.astype(np.float64)
    if feats.dtype.kind in "bc":
        raise DataError(
            f"{name} holds {feats.dtype}, expected floating point numbers; convert it with "
            f"{name}.astype(numpy.float32)."
        )
    if feats.dtype.kind != "f":
        raise DataError(
            f"{name} holds {feats.dtype}, expected floating point numbers; give the embeddings, "
            "not names or labels."
        )
    return feats


def distance_array(name: str, values: Any) -> npt.NDArray[Any]:
    """An array of real numbers, of any shape.

    Raises:
        DataError: It holds others.
    """
    array = as_array(name, values)
    if array.dtype.kind not in "iubf":
        raise DataError(f"{name} holds {array.dtype}, expected real numbers, smaller is nearer.")
    return array


def id_array(name: str, values: Any, rows: int | None) -> npt.NDArray[np.int64]:
    """`(rows,)` ids of people.

    Raises:
        DataError: Another length, or no whole numbers.
    """
    array = _one_per_row(name, values, rows)
    if _small_integers(array):
        return array.astype(np.int64)
    series = ids(read_series(name, _entries(array)), _HERE)
    require_filled(series, _HERE, "give the number of the person, -1 for junk")
    return series.to_numpy().astype(np.int64)


def cam_array(name: str, values: Any, rows: int) -> npt.NDArray[np.int64]:
    """`(rows,)` numbers of cameras, `UNKNOWN_CAM` where nothing is said.

    Raises:
        DataError: Another length, or no whole numbers.
    """
    if values is None:
        return np.full(rows, UNKNOWN_CAM)
    array = _one_per_row(name, values, rows)
    if _small_integers(array):
        return array.astype(np.int64)
    return ids(read_series(name, _entries(array)), _HERE).fill_null(UNKNOWN_CAM).to_numpy()


def light_array(name: str, values: Any, rows: int) -> npt.NDArray[np.uint8]:
    """`(rows,)` of `Modality`, `UNKNOWN_MODALITY` where nothing is said.

    Raises:
        DataError: Another length, or a light that is neither.
    """
    if values is None:
        return np.full(rows, UNKNOWN_MODALITY, dtype=np.uint8)
    array = _one_per_row(name, values, rows)
    if array.dtype.kind in "iub":
        wrong = np.flatnonzero(~np.isin(array, _LIGHTS))
        if len(wrong):
            raise DataError(
                f"{name}[{wrong[0]}] is {array[wrong[0]]}, expected 0 (visible) or 1 (infrared); "
                "map your values to these two."
            )
        return array.astype(np.uint8)
    series = read_series(name, _entries(array))
    return light(series, _HERE).fill_null(UNKNOWN_MODALITY).to_numpy().astype(np.uint8)


def split_array(name: str, values: Any, rows: int) -> npt.NDArray[np.str_]:
    """`(rows,)` names of splits; known ones in lower case, without blanks around them.

    Raises:
        DataError: Another length, or no text.
    """
    return _words(name, _one_per_row(name, values, rows), split_names)


def path_array(name: str, values: Any, rows: int | None) -> npt.NDArray[np.str_]:
    """`(rows,)` paths.

    Raises:
        DataError: Another length, or no text.
    """
    return _words(name, _one_per_row(name, values, rows), text)


def _words(name: str, array: npt.NDArray[Any], kind: Kind) -> npt.NDArray[np.str_]:
    if array.dtype.kind not in "USOT":
        raise DataError(
            f"{name} holds {array.dtype}, expected text; convert it with {name}.astype(str)."
        )
    entries = _entries(array)
    if kind is text and entries.dtype.kind == "U":
        return entries
    series = kind(read_series(name, entries), _HERE)
    return series.fill_null("").to_numpy().astype(np.str_)


def _entries(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.dtype.kind == "S":
        try:
            return np.char.decode(array, "utf-8")
        except UnicodeDecodeError:
            return np.char.decode(array, "latin-1")
    return array.astype(np.str_) if array.dtype.kind == "T" else array


def _one_per_row(name: str, values: Any, rows: int | None) -> npt.NDArray[Any]:
    array = as_array(name, values)
    if array.ndim != 1 or (rows is not None and len(array) != rows):
        raise DataError(
            f"{name} has shape {array.shape}, expected ({'N' if rows is None else rows},), "
            "one value per row of feats."
        )
    if array.dtype.kind not in "iubfUSOT":
        raise DataError(f"{name} holds {array.dtype}, expected numbers or text.")
    return array


def _small_integers(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind == "i" or (array.dtype.kind == "u" and array.dtype.itemsize < 8)


def _of_tensor(values: Any) -> npt.NDArray[Any]:
    tensor = values.detach().cpu()
    if "bfloat16" in str(tensor.dtype):  # numpy has no such type; float32 holds all its numbers
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.numpy()
    return array
