"""What is known of people besides who they are: hair, hat, bag, cut of the clothes.

An attribute is a column of a table by person, or a question to one:

    hat              the column holds 0 or 1
    cut_bag!=none    the column's text differs from `none`
    body_hair=long   the column's text is `long`
    cut_sleeve>0.5   the column's number is above 0.5; `<` likewise

Promenade's `factors.parquet` answers the last three as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.columns import Cells, ids, number, read_cells, text
from crosslight.errors import DataError
from crosslight.registry import did_you_mean

_TRUTHS = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_QUESTION = re.compile(r"^\s*([^=!<>]+?)\s*(?:(!=|=|<|>)\s*(.+?)\s*)?$")


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """P people's answers to A questions.

    Attributes:
        names: The questions.
        pids: (P,), sorted.
        values: (P, A) float32: 1, 0, or not a number where it is not known.
    """

    names: tuple[str, ...]
    pids: NDArray[np.int64]
    values: NDArray[np.float32]

    def of(self, pids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Answers for the given people (N,), (N, A); people who are not here are unknown."""
        places = np.searchsorted(self.pids, pids).clip(max=len(self.pids) - 1)
        return np.where((self.pids[places] == pids)[:, None], self.values[places], np.nan).astype(
            np.float32
        )


def read_attributes(path: Path, names: Sequence[str]) -> Attributes:
    """Reads a CSV or Parquet table with a column `pid`, one or more rows per person.

    Where a person's rows differ the more frequent answer counts, and a draw is not known.

    Raises:
        DataError: No such file or column, or a column whose values are no answer.
    """
    if not path.is_file():
        raise DataError(
            f"No attributes at {path}; give config.attributes_file a CSV or Parquet file with a "
            "column pid and one for each attribute."
        )
    cells = read_cells(path, ("pid", *names))
    cells.require_columns(("pid",), "pid,hat,bag")
    pids = cells.read("pid", ids)
    assert pids is not None
    frame = pl.DataFrame([pids])
    answers = [_answer(cells, name).alias(str(i)) for i, name in enumerate(names)]
    shares = (
        frame.select("pid", *answers)
        .drop_nulls("pid")
        .group_by("pid")
        .agg(pl.exclude("pid").mean())
        .sort("pid")
    )
    share = shares.drop("pid").cast(pl.Float32).to_numpy()
    values = np.where(share == 0.5, np.nan, np.where(np.isnan(share), np.nan, share > 0.5))
    return Attributes(
        names=tuple(names),
        pids=shares["pid"].cast(pl.Int64).to_numpy(),
        values=values.astype(np.float32),
    )


def _answer(cells: Cells, name: str) -> pl.Series:
    """(rows,) of 0, 1 or null."""
    found = _QUESTION.match(name)
    column, relation, wanted = found.groups() if found else (name, None, None)
    values = cells.column(str(column))
    if values is None:
        raise DataError(
            f"The attribute {name!r} asks for the column {column!r}, which {cells.path} lacks"
            f"{did_you_mean(str(column), cells.names)}"
        )
    values = values.alias(str(column))
    if relation in {"<", ">"}:
        try:
            border = float(wanted or "")
            numbers = number(values, cells)
        except (ValueError, DataError) as error:
            raise DataError(
                f"The attribute {name!r} compares the column {column!r} of {cells.path}, but both "
                "sides must be numbers; use = or != for text."
            ) from error
        return (numbers > border if relation == ">" else numbers < border).cast(pl.Float32)
    if relation is not None:
        same = _equal(values, cells, wanted or "")
        return (same if relation == "=" else ~same).cast(pl.Float32)
    words = text(values, cells).str.strip_chars().str.to_lowercase()
    numbers = words.replace(_TRUTHS).cast(pl.Float32, strict=False).fill_nan(None)
    strange = words.is_not_null() & ~numbers.is_in([0.0, 1.0]).fill_null(False)
    strange &= ~words.is_in(("", "nan"))
    if strange.any():
        value = values.filter(strange)[0]
        raise DataError(
            f"The attribute {name!r} of {cells.path} has the value {value!r}, expected 0, 1 or "
            f"nothing; ask a question such as {column}={value}."
        )
    return numbers


def _equal(values: pl.Series, cells: Cells, wanted: str) -> pl.Series:
    # As text, or as a number: 2.0 is 2 here as everywhere.
    words = text(values, cells).str.strip_chars()
    same = (words == wanted).set(words == "", None)
    try:
        asked = float(wanted)
    except ValueError:
        return same
    return same | (words.cast(pl.Float64, strict=False) == asked).fill_null(False)
