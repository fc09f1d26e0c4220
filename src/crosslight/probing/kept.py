"""A run's codes of the people that it is probed with, kept in files for who wants to look on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.columns import as_parquet
from crosslight.files import written_together
from crosslight.probing.people import People, Photographs

CODES, PEOPLE = "codes.npz", "people.parquet"
_MADE_OF = "made of"

KeptCodes: TypeAlias = dict[str, NDArray[np.float32]]


def write_codes(
    folder: Path, codes: KeptCodes, people: Photographs, made_of: Mapping[str, Any]
) -> None:
    """Writes `codes.npz` and `people.parquet`, whose rows are those of every code.

    Args:
        folder: It exists.
        codes: Name → `(N, ...)`.
        people: Of whom they are; where they were drawn, all factors become columns.
        made_of: What `read_codes` must be asked with to get them back.

    Raises:
        OSError: The disk refuses them.
    """
    columns = {"pid": people.pids, "cam": people.cams, "modality": people.modality}
    table = pl.DataFrame(columns)
    if isinstance(people, People):
        factors = pl.DataFrame(list(people.rows), infer_schema_length=None)
        table = table.hstack([one for one in factors if one.name not in columns])
    note = np.array(json.dumps(made_of, sort_keys=True))
    with written_together(folder / CODES, folder / PEOPLE) as (first, second):
        np.savez(first, **{_MADE_OF: note}, **codes)  # type: ignore[arg-type]
        second.write(as_parquet(table))


def read_codes(folder: Path, made_of: Mapping[str, Any]) -> KeptCodes | None:
    """The codes of a folder; None where there are none, or they are of something else."""
    try:
        with np.load(folder / CODES, allow_pickle=False) as file:
            if str(file[_MADE_OF]) != json.dumps(made_of, sort_keys=True):
                return None
            return {name: file[name] for name in file.files if name != _MADE_OF}
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return None
