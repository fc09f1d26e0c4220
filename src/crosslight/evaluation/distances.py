"""Distances between queries and gallery, block by block, in float64.

Two gallery rows with equal numbers are multiplied once and share one column. Their distances are
therefore equal to the last bit, which a matrix product alone does not promise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from crosslight.errors import ConfigError, ProtocolError

Distance = Literal["cosine", "euclidean", "dot"]

DISTANCE_TEXT: dict[Distance, str] = {
    "cosine": "1 - cosine of the angle (a row of zeros has cosine 0), computed in float64",
    "euclidean": "Euclidean, computed in float64",
    "dot": "inner product, larger is nearer, computed in float64",
}

_BLOCK_BYTES = 256 * 2**20
_GALLERY_ROWS = 2048
_LARGEST = 1e140

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def check_distance(name: str) -> Distance:
    """The name itself, if it is one of the distances.

    Raises:
        ConfigError: It is not.
    """
    for distance in get_args(Distance):
        if name == distance:
            return name  # type: ignore[return-value]
    raise ConfigError(
        f"Distance '{name}' is unknown; choose one of {', '.join(get_args(Distance))}."
    )


def rows_per_block(columns: int, block: int | None) -> int:
    """How many queries are compared at once: `block`, or as many as fit into 256 MiB."""
    if block is None:
        return int(np.clip(_BLOCK_BYTES // (8 * max(columns, 1)), 1, 1024))
    if block < 1:
        raise ConfigError(f"The block is {block} queries, expected at least 1.")
    return block


class Gallery:
    """The rows of a gallery, made ready to be compared with blocks of queries.

    Attributes:
        column_of: `(len(rows),)` the column that holds each row's distances.
        columns: Number of distinct rows.
    """

    def __init__(self, feats: npt.NDArray[Any], rows: IntArray, distance: Distance) -> None:
        self._feats = feats
        self._distance = distance
        first_row: dict[bytes, int] = {}
        column_of = np.empty(len(rows), dtype=np.int64)
        distinct: list[int] = []
        for i, row in enumerate(rows.tolist()):
            # + 0 turns -0.0 into 0.0, which is equal to it but has other bytes.
            key = hashlib.blake2b((feats[row] + 0).tobytes(), digest_size=16).digest()
            column = first_row.setdefault(key, len(distinct))
            if column == len(distinct):
                distinct.append(row)
            column_of[i] = column
        self.column_of = column_of
        self._rows = np.array(distinct, dtype=np.int64)
        self.columns = len(distinct)

    def blocks(
        self, feats: npt.NDArray[Any], rows: IntArray, block: int | None
    ) -> Iterator[tuple[int, FloatArray]]:
        """Yields (first position in `rows`, values `(b, columns)`); the buffer is reused.

        The values order the gallery of each query as the distance does; `as_distance` turns
        them into the distance itself.
        """
        step = rows_per_block(self.columns, block)
        buffer = np.empty((min(step, len(rows)), self.columns))
        for start in range(0, len(rows), step):
            queries = _in_float64(feats, rows[start : start + step])
            values = buffer[: len(queries)]
            if self._distance == "cosine":
                queries = _unit(queries)
            for at in range(0, self.columns, _GALLERY_ROWS):
                gallery = _in_float64(self._feats, self._rows[at : at + _GALLERY_ROWS])
                part = values[:, at : at + len(gallery)]
                if self._distance == "cosine":
                    gallery = _unit(gallery)
                np.matmul(queries, gallery.T, out=part)
                if self._distance == "euclidean":
                    part *= -2.0
                    part += np.einsum("ij,ij->i", gallery, gallery)
                else:
                    np.negative(part, out=part)
            yield start, values

    def as_distance(
        self, values: FloatArray, feats: npt.NDArray[Any], rows: IntArray
    ) -> FloatArray:
        """Distances from the values of `blocks`; `values[i]` belongs to the query `rows[i]`."""
        if self._distance == "cosine":
            return 1.0 + values
        if self._distance == "dot":
            return values
        norms = np.empty(len(rows))
        for at in range(0, len(rows), _GALLERY_ROWS):
            queries = _in_float64(feats, rows[at : at + _GALLERY_ROWS])
            norms[at : at + len(queries)] = np.einsum("ij,ij->i", queries, queries)
        return np.sqrt(np.maximum(values + norms[:, None], 0.0))


def _in_float64(feats: npt.NDArray[Any], rows: IntArray) -> FloatArray:
    taken = feats[rows].astype(np.float64)
    largest = max(float(taken.max()), -float(taken.min()))
    if largest > _LARGEST:
        row = int(rows[int(np.argmax(np.abs(taken).max(axis=1)))])
        raise ProtocolError(
            f"feats[{row}] holds a value as large as {largest:.1e}, whose products overflow; "
            "scale the features down."
        )
    return taken


def _unit(rows: FloatArray) -> FloatArray:
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    norms[norms == 0] = 1.0
    unit: FloatArray = rows / norms[:, None]
    return unit
