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

from crosslight.errors import DataError
from crosslight.registry import did_you_mean

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
    try:
        is_parquet = path.suffix.lower() in {".parquet", ".pq"}
        frame = pl.read_parquet(path) if is_parquet else pl.read_csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path} is not readable as a table: {str(error).splitlines()[0]}"
        ) from error
    if "pid" not in frame.columns or not frame["pid"].dtype.is_integer():
        raise DataError(
            f"{path} has no column pid of whole numbers; its columns are "
            f"{', '.join(frame.columns)}."
        )
    answers = [_answer(frame, name, path).alias(str(i)) for i, name in enumerate(names)]
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


def _answer(frame: pl.DataFrame, name: str, path: Path) -> pl.Series:
    """(rows,) of 0, 1 or null."""
    found = _QUESTION.match(name)
    column, relation, wanted = found.groups() if found else (name, None, None)
    if column not in frame.columns:
        raise DataError(
            f"The attribute {name!r} asks for the column {column!r}, which {path} lacks"
            f"{did_you_mean(str(column), frame.columns)}"
        )
    values = frame[column]
    if relation in {"<", ">"}:
        try:
            border = float(wanted or "")
            numbers = values.cast(pl.Float64)
        except (ValueError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"The attribute {name!r} compares the column {column!r} of {path}, but both sides "
                "must be numbers; use = or != for text."
            ) from error
        return (numbers > border if relation == ">" else numbers < border).cast(pl.Float32)
    if relation is not None:
        same = values.cast(pl.String) == wanted
        return (same if relation == "=" else ~same).cast(pl.Float32)
    numbers = values.cast(pl.Float32, strict=False)
    strange = values.filter(values.is_not_null() & ~numbers.is_in([0.0, 1.0]).fill_null(False))
    if len(strange):
        raise DataError(
            f"The attribute {name!r} of {path} has the value {strange[0]!r}, expected 0, 1 or "
            f"nothing; ask a question such as {column}={strange[0]}."
        )
    return numbers
