"""The sample table: the one currency between data sets, training, scoring and search."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.columns import (
    Kind,
    Place,
    as_parquet,
    ids,
    ids_or_names,
    is_parquet,
    light,
    paths,
    read_cells,
    read_series,
    require_filled,
    seconds,
    split_names,
    text,
)
from crosslight.data.spelling import as_on_disk
from crosslight.errors import ConfigError, DataError
from crosslight.files import written_whole
from crosslight.types import UNKNOWN_CAM, DeepRange, Modality

REQUIRED = ("path", "pid")
OPTIONAL: Mapping[str, Any] = {
    "cam": UNKNOWN_CAM,
    "modality": int(Modality.VISIBLE),
    "split": "all",
    "track": None,
    "time": None,
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
_KINDS: Mapping[str, Kind] = {
    "path": paths,
    "pid": ids,
    "cam": ids,
    "modality": light,
    "split": split_names,
    "track": text,
    "time": seconds,
}


_SPELLED: Mapping[str, str] = {"camera": "cam", "person": "pid", "light": "modality"}
_OFTEN = ("camera", "person")
"""What tables often call them, and never mean something else by."""

DISTRACTORS: Mapping[str, int] = {"market1501": 0, "dukemtmc": 0}
"""Layout to the id that its authors gave to whoever belongs to nobody they know."""


@overload
def junk(pids: NDArray[np.int64]) -> NDArray[np.bool_]: ...
@overload
def junk(pids: pl.Expr) -> pl.Expr: ...
def junk(pids: Any) -> Any:
    """Which of the ids are of images that show nobody in full: those below 0."""
    return pids < 0


def known(pids: NDArray[np.int64], layout: str) -> NDArray[np.bool_]:
    """Whose person is known, (N,): neither junk (ids below 0) nor a distractor of the layout.

    Distractors are images of people, or of none, that nobody has told apart: they are searched
    among, but nobody is found in them, learnt from them or enrolled as them.
    """
    found = ~junk(pids)
    if layout in DISTRACTORS:
        found &= pids != DISTRACTORS[layout]
    return found


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Rows of (path, pid, cam, modality, split, track, time) and the folder they live in.

    Attributes:
        layout: Name of the reader that made the table, e.g. `sysu-mm01`.
        root: Folder that the paths are relative to.
        frame: Columns as in `SCHEMA`. `path` uses forward slashes; `cam` is -1 where unknown;
            `modality` is a `Modality`; `track` and `time` (seconds) may be null.
        deep_range: As in `DataConfig`: how the images are to be read.
        remark: A sentence for whoever checks the data, about how the file is written.
        states_light: False where the source says nothing of some image's light: visible is assumed.
        lightless: Paths of those of a user's images of which the file does not say it.
        people: Names of those of the ids that the file has as names.
        cameras: Likewise of cameras.
    """

    layout: str
    root: Path
    frame: pl.DataFrame
    deep_range: DeepRange | None = None
    remark: str | None = None
    states_light: bool = True
    lightless: frozenset[str] = frozenset()
    people: Mapping[int, str] = field(default_factory=dict)
    cameras: Mapping[int, str] = field(default_factory=dict)

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
    def known(self) -> NDArray[np.bool_]:
        """Rows whose person is known, (N,); see `known`."""
        return known(self.pids, self.layout)

    @property
    def known_pids(self) -> NDArray[np.int64]:
        """`pids` of known people, (N,); -1 for everybody else."""
        return np.where(self.known, self.pids, -1)

    def of_known(self) -> SampleTable:
        """The rows whose person is known; may be empty."""
        return self.take(np.flatnonzero(self.known))

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
                f"its splits are {', '.join(present) or 'none'}: name one of these, or write "
                f"{names[0]} into the column split of a table."
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
        if is_parquet(path):
            with written_whole(path) as file:
                file.write(as_parquet(self.frame))
        else:
            names = {int(m): m.name.lower() for m in Modality}
            frame = self.frame.with_columns(
                pl.col("modality").replace_strict(names, return_dtype=pl.String)
            )
            with written_whole(path) as file:
                file.write(frame.write_csv().encode())


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
    place = _Rows(root=root)
    given = {
        name: kind(read_series(name, columns[name]), place)
        for name, kind in {**_KINDS, "path": text}.items()
        if name in columns
    }
    return _table(layout, root, given, place)


def columns_called(told: Sequence[str]) -> dict[str, str]:
    """What a table calls our columns, from `OURS=THEIRS` each, as in `camera=Kamera`.

    Raises:
        ConfigError: Not of this form, no column of ours, or one twice.
    """
    called: dict[str, str] = {}
    for one in (part.strip() for several in told for part in several.split(",")):
        ours, equals, theirs = (part.strip() for part in one.partition("="))
        name = _SPELLED.get(ours.casefold(), ours.casefold())
        if not equals or not theirs or name not in SCHEMA:
            raise ConfigError(
                f"--columns has {one!r}; write OURS=THEIRS, like path=File, with one of "
                f"{', '.join(SCHEMA)} before the sign."
            )
        if name in called:
            raise ConfigError(f"--columns names {name} twice, {called[name]} and {theirs}; choose.")
        called[name] = theirs
    return called


def read_table(
    path: Path, *, called: Mapping[str, str] = MappingProxyType({}), named: bool = False
) -> SampleTable:
    """Reads a user's own CSV or Parquet table; image paths are relative to the file's folder.

    Columns: `path` and `pid`; optional `cam` (whole number), `modality` (visible, infrared),
    `split`, `track`, `time` (seconds, or a date). `person` stands for `pid` and `camera` for `cam`
    where these are absent; other columns are ignored.

    Args:
        path: The file.
        called: Of these columns, those that have another name in the file, as from
            `columns_called`.
        named: Names may stand for people and cameras, and nothing for who is unknown.

    Raises:
        DataError: Not readable, not a table, or values that do not fit.
    """
    if not path.is_file():
        raise DataError(f"No table at {path}; expected a CSV or Parquet file with path, pid, ...")
    cells = read_cells(path, [*SCHEMA, *_OFTEN], only=True, called=called)
    own = {name.casefold() for name in cells.names}
    often = {_SPELLED[name]: name for name in _OFTEN if name in own and _SPELLED[name] not in own}
    cells = replace(cells, called={**often, **called})
    cells.require_columns(REQUIRED, "path,pid,cam,modality,split")
    people: dict[int, str] = {}
    cameras: dict[int, str] = {}

    def kind_of(name: str, kind: Kind) -> Kind:
        names = {"pid": people, "cam": cameras}.get(name) if named else None
        return kind if names is None else partial(_numbers, names=names)

    read = {name: cells.read(name, kind_of(name, kind)) for name, kind in _KINDS.items()}
    given = {name: values for name, values in read.items() if values is not None}
    table = _table("table", path.parent, given, cells)
    table = replace(table, people=people, cameras=cameras)
    found = as_on_disk(table.root, table.relative_paths)
    frame = table.frame.with_columns(pl.Series("path", found))
    light_given = given.get("modality")
    lightless = frame if light_given is None else frame.filter(light_given.is_null())
    return replace(
        table, frame=frame, remark=cells.remark(), lightless=frozenset(lightless["path"].to_list())
    )


def _numbers(values: pl.Series, place: Place, *, names: dict[int, str]) -> pl.Series:
    """Ids, and -1 for whom nobody knows; keeps the names among them."""
    numbers, found = ids_or_names(values, place)
    names.update(found)
    return numbers.fill_null(-1)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Rows that a reader made; the place of what does not fit."""

    root: Path
    decimal_comma: bool = True

    def found(self, column: str, row: int, value: object) -> str:
        what = "nothing" if value is None else repr(value)
        where = f"Row {row} (counted from 0) of the table of {self.root}"
        return f"{where} has {what} in the column {column}"

    def numbering(self, column: str) -> str:
        return f"number the names in {column} 1, 2, 3, ..."


def _table(layout: str, root: Path, given: Mapping[str, pl.Series], place: Place) -> SampleTable:
    if not len(given["path"]):
        raise DataError(f"No image of a {layout} data set was found at {root}.")
    require_filled(given["path"], place, "write the path of an image, or remove the row")
    require_filled(given["pid"], place, "write the number of the person, -1 for junk")
    frame = pl.DataFrame(list(given.values())).with_columns(
        pl.lit(default).alias(name) for name, default in OPTIONAL.items() if name not in given
    )
    frame = frame.with_columns(
        pl.col(name).fill_null(pl.lit(default))
        for name, default in OPTIONAL.items()
        if default is not None
    ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    light_given = given.get("modality")
    states_light = light_given is not None and not light_given.null_count()
    return SampleTable(layout=layout, root=root, frame=frame, states_light=states_light)
