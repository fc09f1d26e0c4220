"""The sample table: the one currency between data sets, training, scoring and search."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.errors import DataError
from crosslight.types import UNKNOWN_CAM, DeepRange, Modality

REQUIRED = ("path", "pid")
OPTIONAL: Mapping[str, Any] = {
    "cam": UNKNOWN_CAM,
    "modality": "visible",
    "split": "all",
    "track": None,
    "time": None,
}
_MODALITY_NAMES = {
    "visible": Modality.VISIBLE,
    "rgb": Modality.VISIBLE,
    "0": Modality.VISIBLE,
    "infrared": Modality.INFRARED,
    "ir": Modality.INFRARED,
    "nir": Modality.INFRARED,
    "near-infrared": Modality.INFRARED,
    "thermal": Modality.INFRARED,
    "1": Modality.INFRARED,
}
SCHEMA = {
    "path": pl.String,
    "pid": pl.Int64,
    "cam": pl.Int64,
    "modality": pl.UInt8,
    "split": pl.String,
    "track": pl.String,
    "time": pl.Float64,
}


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Rows of (path, pid, cam, modality, split, track, time) and the folder they live in.

    Attributes:
        layout: Name of the reader that made the table, e.g. `sysu-mm01`.
        root: Folder that the paths are relative to.
        frame: Columns as in `SCHEMA`. `path` uses forward slashes; `cam` is -1 where unknown;
            `modality` is a `Modality`; `track` and `time` (seconds) may be null.
        deep_range: As in `DataConfig`: how the images are to be read.
    """

    layout: str
    root: Path
    frame: pl.DataFrame
    deep_range: DeepRange | None = None

    def __len__(self) -> int:
        return self.frame.height

    @property
    def relative_paths(self) -> list[str]:
        """Paths as written in the table."""
        return self.frame["path"].to_list()

    @property
    def paths(self) -> list[Path]:
        """Paths that can be opened."""
        return [self.root / path for path in self.relative_paths]

    @property
    def pids(self) -> NDArray[np.int64]:
        """The data set's own person ids, (N,)."""
        return self.frame["pid"].to_numpy()

    @property
    def cams(self) -> NDArray[np.int64]:
        """Camera of each row, (N,); -1 where unknown."""
        return self.frame["cam"].to_numpy()

    @property
    def modality(self) -> NDArray[np.uint8]:
        """`Modality` of each row, (N,)."""
        return self.frame["modality"].to_numpy()

    @property
    def splits(self) -> NDArray[np.str_]:
        """Split of each row, (N,)."""
        return self.frame["split"].to_numpy().astype(np.str_)

    def split(self, *names: str) -> SampleTable:
        """The rows of the named splits, in table order.

        Raises:
            DataError: No row belongs to them.
        """
        rows = self.where(pl.col("split").is_in(list(names)))
        if not len(rows):
            present = sorted(set(self.frame["split"].to_list()))
            raise DataError(
                f"{self.layout} at {self.root} has no images in split {' or '.join(names)}; "
                f"its splits are {', '.join(present) or 'none'}."
            )
        return rows

    def where(self, condition: pl.Expr) -> SampleTable:
        """The rows that meet a condition; may be empty."""
        return replace(self, frame=self.frame.filter(condition))

    def take(self, rows: Iterable[int] | NDArray[np.integer[Any]]) -> SampleTable:
        """The given rows, in the given order."""
        index = np.asarray(list(rows), dtype=np.int64)
        return replace(self, frame=self.frame[index])

    def with_range(self, deep_range: DeepRange | None) -> SampleTable:
        """The same rows, their images to be read with this range."""
        return replace(self, deep_range=deep_range)

    def labels(self) -> NDArray[np.int64]:
        """Contiguous training labels (N,): the rank of each pid among the sorted pids."""
        return np.unique(self.pids, return_inverse=True)[1].astype(np.int64)

    def fingerprint(self) -> str:
        """SHA-256 of every row (not of the images), hexadecimal: names the data of a run."""
        lines = self.frame.select(list(SCHEMA)).write_csv(include_header=False)
        return hashlib.sha256(lines.encode()).hexdigest()

    def write(self, path: Path) -> None:
        """Writes CSV or Parquet, by the file's ending."""
        if _is_parquet(path):
            self.frame.write_parquet(path)
        else:
            names = {int(m): m.name.lower() for m in Modality}
            frame = self.frame.with_columns(
                pl.col("modality").replace_strict(names, return_dtype=pl.String)
            )
            frame.write_csv(path)


def build_table(layout: str, root: Path, columns: Mapping[str, Any]) -> SampleTable:
    """Makes a table from columns; missing optional columns get their defaults.

    Raises:
        DataError: No row, a missing column, or values that do not fit.
    """
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise DataError(
            f"The table of {root} lacks the column {missing[0]!r}; "
            f"it needs path and pid, and has {', '.join(columns) or 'no column'}."
        )
    frame = pl.DataFrame(dict(columns), strict=False)
    if not frame.height:
        raise DataError(f"No image of a {layout} data set was found at {root}.")
    for name, default in OPTIONAL.items():
        if name not in frame.columns:
            frame = frame.with_columns(pl.lit(default).alias(name))
    frame = frame.with_columns(
        pl.col(name).fill_null(pl.lit(default))
        for name, default in OPTIONAL.items()
        if default is not None and name != "modality"
    )
    frame = frame.with_columns(_modality_column(frame, root))
    _require_whole(frame, root)
    try:
        frame = frame.select([pl.col(name).cast(kind) for name, kind in SCHEMA.items()])
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(
            f"The table of {root} has a value of the wrong kind: {str(error).splitlines()[0]} "
            "pid and cam are whole numbers, time is seconds."
        ) from error
    if frame["pid"].null_count() or frame["path"].null_count():
        raise DataError(f"The table of {root} has rows without path or pid; fill or remove them.")
    return SampleTable(layout=layout, root=root, frame=frame)


def read_table(path: Path) -> SampleTable:
    """Reads a user's own CSV or Parquet table; image paths are relative to the file's folder.

    Columns: `path` and `pid`; optional `cam` (whole number), `modality` (visible, infrared),
    `split`, `track`, `time` (seconds). Other columns are ignored.

    Raises:
        DataError: Not readable, not a table, or values that do not fit.
    """
    if not path.is_file():
        raise DataError(f"No table at {path}; expected a CSV or Parquet file with path, pid, ...")
    try:
        frame = pl.read_parquet(path) if _is_parquet(path) else _read_csv(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "Parquet" if _is_parquet(path) else "CSV"
        raise DataError(
            f"{path} is not readable as {kind}: {str(error).splitlines()[0]}"
        ) from error
    known = [name for name in (*REQUIRED, *OPTIONAL) if name in frame.columns]
    missing = [name for name in REQUIRED if name not in known]
    if missing:
        raise DataError(
            f"{path} lacks the column {missing[0]!r}, its columns are {', '.join(frame.columns)}; "
            "write a first line like path,pid,cam,modality,split, with commas."
        )
    frame = frame.with_columns(
        pl.col("path").cast(pl.String).str.replace_all("\\", "/", literal=True)
    )
    return build_table("table", path.parent, {name: frame[name] for name in known})


def _read_csv(path: Path) -> pl.DataFrame:
    # Numbers in these columns are names: 0001 must not become 1.
    texts = dict.fromkeys(("path", "modality", "split", "track"), pl.String)
    return pl.read_csv(path, schema_overrides=texts)


def _require_whole(frame: pl.DataFrame, root: Path) -> None:
    """A cast to whole numbers would cut 1.5 to 1."""
    for name in ("pid", "cam"):
        if frame[name].dtype.is_float():
            broken = frame.filter((pl.col(name) != pl.col(name).round()).fill_null(False))
            if broken.height:
                raise DataError(
                    f"The table of {root} has {broken[name][0]} in the column {name}, "
                    "expected whole numbers; number people and cameras 1, 2, 3, ..."
                )


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in {".parquet", ".pq"}


def _modality_column(frame: pl.DataFrame, root: Path) -> pl.Series:
    values = []
    for given in frame["modality"].to_list():
        value = OPTIONAL["modality"] if given is None else given
        modality = _MODALITY_NAMES.get(
            str(int(value) if isinstance(value, bool) else value).lower()
        )
        if modality is None:
            raise DataError(
                f"The table of {root} has the modality {value!r}; write visible or infrared."
            )
        values.append(int(modality))
    return pl.Series("modality", values, dtype=pl.UInt8)
