"""Columns of tables that people write, read alike wherever one is given.

CSV (comma, semicolon or tab; UTF-8 or UTF-16) and Parquet. A column has a stated kind, never one
guessed from its first rows, and a value that does not fit is named by its line and column.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.delimited import read_delimited
from crosslight.data.formats import PARQUET_ENDINGS
from crosslight.data.splits import SPLITS
from crosslight.errors import DataError, ReadingError
from crosslight.files import is_utf8, printable
from crosslight.system import number_of, shortage
from crosslight.times import FORMS, LATEST_S, TOO_LATE, seconds_or_none
from crosslight.types import Modality

BLANK = ("", "nan", "null", "none", "na", "n/a", "<na>")
"""What stands for no value in columns of numbers and of light, in any case."""

NOBODY = ("unknown", "?", "-")
"""What stands beside them for a person or a camera that nobody knows, where names may stand."""

# Three zeros behind a comma are thousands to half the world, and nothing to the other.
_WHOLE = re.compile(r"[+-]?[0-9]+(?:[.]0*|,(?!000$)0*)?")
_DECIMAL_COMMA = r"^([+-]?\d+),(\d+)$"
_MOST, _LEAST = 2**63 - 1, -(2**63)
_RANGE = "expected a whole number from -2^63 to 2^63 - 1"
# Above this a float64 no longer tells one whole number from the next.
_WHOLE_FLOATS = 2.0**53
_LIGHT_NAMES = {
    Modality.VISIBLE: ("visible", "vis", "rgb", "color", "colour", "0", "0.0", "false"),
    Modality.INFRARED: (
        *("infrared", "ir", "nearinfrared", "nir", "thermal", "thermalinfrared", "tir", "lwir"),
        *("1", "1.0", "true"),
    ),
}
_LIGHTS = {name: int(light) for light, names in _LIGHT_NAMES.items() for name in names}
_SHOWN_CHARACTERS = 60


class Place(Protocol):
    """Where values stand, for sentences about them."""

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma in a number may be a decimal one."""
        ...

    def found(self, column: str, row: int, value: object) -> str:
        """Says that a row has a value in a column: the beginning of a sentence."""
        ...

    def numbering(self, column: str) -> str:
        """How to put numbers in the place of the names in a column: the end of a sentence."""
        ...


Kind = Callable[[pl.Series, Place], pl.Series]
"""From a column of any type to one of a stated type, null where nothing is said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """The columns of a file, not yet of any kind.

    Attributes:
        path: The file.
        columns: Name as written, without blanks around it, and values. Text is null where a cell
            of a CSV file is empty.
        lines: Of a CSV file, `(rows,)`: where each row begins; None for Parquet.
        encoding: Of a CSV file, as `Delimited.encoding`.
        certain: See `Delimited.certain`.
        called: Our name of a column → what the file calls it, where that is another name.
        left: Names of columns that were left in the file.
        decimal_comma: See `Place`: not where commas part the cells.
    """

    path: Path
    columns: tuple[tuple[str, pl.Series], ...]
    lines: NDArray[np.int64] | None = None
    encoding: str = "UTF-8"
    certain: bool = True
    called: Mapping[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    decimal_comma: bool = True

    def __len__(self) -> int:
        return len(self.columns[0][1]) if self.columns else 0

    @property
    def names(self) -> list[str]:
        """Names of the columns that have one."""
        return [name for name in (*(name for name, _ in self.columns), *self.left) if name]

    def listed(self) -> str:
        """The names, for a sentence."""
        return ", ".join(_shown(name) for name in self.names) or "without names"

    def remark(self) -> str | None:
        """What to say about the file where it is read, but not as other programs read it."""
        if self.encoding == "UTF-8":
            return None
        seems = "is" if self.certain else "seems to be"
        return f"{self.path} {seems} {self.encoding}; save it as UTF-8, which every program reads."

    def column(self, name: str) -> pl.Series | None:
        """The column of a name; in any case, unless one is written exactly so. None without one.

        Raises:
            DataError: Several have this name, or its encoding is not certain.
        """
        name = self.called.get(name, name)
        found = [values for own, values in self.columns if own == name]
        found = found or [v for own, v in self.columns if own.casefold() == name.casefold()]
        if not found:
            return None
        if len(found) > 1:
            raise DataError(
                f"{self.path} has {len(found)} columns named {name}; rename all but one."
            )
        if not self.certain:
            self._require_ascii(name, found[0])
        return found[0]

    def read(self, name: str, kind: Kind) -> pl.Series | None:
        """A column as a kind, None if there is no such column.

        Raises:
            DataError: A value does not fit.
        """
        values = self.column(name)
        return None if values is None else kind(values.alias(name), self)

    def require_columns(self, needed: Sequence[str], example: str) -> None:
        """Refuses a file that lacks a column, or that has no row.

        Args:
            needed: Names.
            example: A first line, for the sentence.

        Raises:
            DataError: It does.
        """
        own = {name.casefold() for name in self.names}
        for name in self.called.values():
            if name.casefold() not in own:
                raise DataError(
                    f"{self.path} has no column {name!r}, its columns are {self.listed()}; name "
                    "one of these."
                )
        for name in needed:
            if self.called.get(name, name).casefold() not in own:
                remedy = (
                    f"name its columns like {example}."
                    if self.lines is None
                    else f"write a first line like {example}, with commas, semicolons or tabs."
                )
                raise DataError(
                    f"{self.path} lacks the column {name!r}, its columns are {self.listed()}; "
                    f"{remedy}"
                )
        if not len(self):
            raise DataError(
                f"{self.path} has the columns {self.listed()} and no row; write one line for each."
            )

    def found(self, column: str, row: int, value: object) -> str:
        """See `Place`."""
        where = (
            f"Row {row} (counted from 0) of {self.path}"
            if self.lines is None
            else f"Line {self.lines[row]} of {self.path}"
        )
        what = "nothing" if _is_blank(value) else _shown(value)
        return f"{where} has {what} in the column {self.called.get(column, column)}"

    def numbering(self, column: str) -> str:
        """See `Place`."""
        name = self.called.get(column, column)
        return f"write a number for each name in {name}, and the names in a column of another name"

    def _require_ascii(self, name: str, values: pl.Series) -> None:
        other = values.str.contains(r"[^\x00-\x7F]").fill_null(False).arg_true()
        if len(other):
            value = values[int(other[0])]
            raise DataError(
                f"{self.found(name, int(other[0]), value)} if it is written in {self.encoding}, "
                "which is not certain, as it is not UTF-8; save it as UTF-8."
            )


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet, by its ending."""
    return path.suffix.lower() in PARQUET_ENDINGS


def read_cells(
    path: Path,
    wanted: Sequence[str],
    *,
    only: bool = False,
    called: Mapping[str, str] = MappingProxyType({}),
) -> Cells:
    """The columns of a CSV or Parquet file, by its ending.

    Args:
        path: The file.
        wanted: Names that it may have; they tell the separator of a CSV file.
        only: Leave all others in the file, which saves reading them from Parquet.
        called: See `Cells.called`.

    Raises:
        DataError: Not readable.
    """
    wanted = [called.get(name, name) for name in wanted]
    if not is_parquet(path):
        read = read_delimited(path, wanted)
        return Cells(
            path=path,
            columns=tuple(zip(read.names, read.columns, strict=True)),
            lines=read.lines,
            encoding=read.encoding,
            certain=read.certain,
            called=called,
            decimal_comma=read.separator != ",",
        )
    with reading_parquet(path):
        scan = pl.scan_parquet(path)
        names = there = scan.collect_schema().names()
        if only:
            chosen = {name.casefold() for name in wanted}
            names = [name for name in names if name.strip().casefold() in chosen]
        frame = scan.select(pl.col(name) for name in names).collect()
    columns = tuple((name.strip(), frame[name]) for name in frame.columns)
    left = tuple(name.strip() for name in there if name not in names)
    return Cells(path=path, columns=columns, called=called, left=left)


@contextmanager
def reading_parquet(path: Path, remedy: str = "write it again") -> Iterator[None]:
    """Around whatever reads a Parquet file.

    Args:
        path: The file.
        remedy: What to do about a damaged one: the end of a sentence.

    Raises:
        ReadingError: The system does not give it to this user, or not now.
        DataError: It is damaged, or something else; or its name is no UTF-8, which Polars cannot
            open.
    """
    if not is_utf8(path):
        raise DataError(
            f"{printable(path)} has a name that is no UTF-8, which the reader of Parquet cannot "
            "use; rename it, or its folder."
        )
    try:
        yield
    except OSError as error:
        otherwise = "see that it is there and that this user may read it"
        mend = shortage(number_of(error)) or otherwise
        reason = str(error).partition(" (os error")[0] if error.errno is None else error.strerror
        raise ReadingError(
            f"{path} cannot be read ({reason}); {mend}, and run the same command again."
        ) from error
    # Native code that panics, as it may on a damaged file, raises no `Exception`.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DataError(
            f"{path} is not readable as Parquet: it is damaged, cut off or something else; "
            f"{remedy}."
        ) from error


def as_parquet(frame: pl.DataFrame) -> bytes:
    """A table as the content of a Parquet file.

    Polars tells of a full disk, where it writes by itself, as of a failed computation.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def whole(values: pl.Series, place: Place) -> pl.Series:
    """Whole numbers, Int64; 2.0 is 2, and names of people or cameras are none."""
    return _whole(values, place)


def ids(values: pl.Series, place: Place) -> pl.Series:
    """Ids of people or cameras, Int64, as `whole`; the sentence about a name says how to number."""
    return _whole(values, place, place.numbering(values.name))


def ids_or_names(values: pl.Series, place: Place) -> tuple[pl.Series, dict[int, str]]:
    """Ids as `ids`, and names of people or cameras, which get ids that no cell of the column has.

    Returns:
        Int64, null where nobody is known, and the names by their ids. Names that differ in case or
        blanks alone are one, in its first spelling.
    """
    given = _plain(values, place, "numbers or names")
    if given.dtype != pl.String:
        return ids(values, place), {}
    texts = _without_blanks(given)
    texts = texts.set(texts.str.to_lowercase().is_in(NOBODY).fill_null(False), None)
    words = [
        word for word in texts.drop_nulls().unique(maintain_order=True) if not _is_number(word)
    ]
    numbers = ids(texts.set(texts.is_in(words).fill_null(False), None).alias(values.name), place)
    used = set(numbers.drop_nulls().to_list())
    free = (number for number in count(1) if number not in used)
    known: dict[str, int] = {}
    names: dict[int, str] = {}
    found: dict[str, int] = {}
    for word in words:
        name = " ".join(unicodedata.normalize("NFC", word).split())
        if name.casefold() not in known:
            known[name.casefold()] = next(free)
            names[known[name.casefold()]] = name
        found[word] = known[name.casefold()]
    named = texts.replace_strict(found, default=None, return_dtype=pl.Int64)
    return numbers.fill_null(named), names


def number(values: pl.Series, place: Place) -> pl.Series:
    """Numbers, Float64; infinite ones stay, nan is a number that nobody knows."""
    given = _plain(values, place, "a number")
    if given.dtype != pl.String:
        return given.cast(pl.Float64).fill_nan(None)
    text = _with_points(given, place)
    result = text.cast(pl.Float64, strict=False)
    _require(values, text.is_not_null() & result.is_null(), place, "expected a number")
    return result.fill_nan(None)


def seconds(values: pl.Series, place: Place) -> pl.Series:
    """Times as seconds, Float64: numbers, or dates with a zone, or in UTC.

    Raises:
        DataError: One is none, or after the year 2200.
    """
    result = _seconds(values, place)
    _require(values, (result > LATEST_S).fill_null(False), place, f"which is {TOO_LATE}")
    return result


def _seconds(values: pl.Series, place: Place) -> pl.Series:
    kind = values.dtype
    if kind == pl.Date or isinstance(kind, pl.Datetime):
        # Without a zone the numbers behind a date count from 1970 in UTC, as with one.
        return values.cast(pl.Datetime("us")).dt.epoch("us").cast(pl.Float64) / 1e6
    if isinstance(kind, pl.Duration):
        return values.dt.total_microseconds().cast(pl.Float64) / 1e6
    given = _plain(values, place, "seconds or a date")
    if given.dtype != pl.String:
        result = given.cast(pl.Float64).fill_nan(None)
    else:
        text = _with_points(given, place)
        result = text.cast(pl.Float64, strict=False)
        dates = text.filter(text.is_not_null() & result.is_null()).unique()
        if len(dates):
            read = pl.Series([seconds_or_none(date) for date in dates.to_list()], dtype=pl.Float64)
            result = result.fill_null(text.replace_strict(dates, read, default=None))
        _require(values, text.is_not_null() & result.is_null(), place, f"expected {FORMS}")
    _require(values, result.is_infinite().fill_null(False), place, f"expected {FORMS}")
    return result


def light(values: pl.Series, place: Place) -> pl.Series:
    """`Modality` as UInt8, from the words of the field in any case, or 0 and 1."""
    given = _plain(values, place, "visible or infrared")
    if given.dtype.is_float():
        given = given.fill_nan(None)
    text = given if given.dtype == pl.String else given.cast(pl.String)
    words = _without_blanks(text).str.to_lowercase().str.replace_all(r"[\s_-]", "")
    result = words.replace_strict(_LIGHTS, default=None, return_dtype=pl.UInt8)
    _require(values, words.is_not_null() & result.is_null(), place, "write visible or infrared")
    return result


def split_names(values: pl.Series, place: Place) -> pl.Series:
    """Names of splits, without blanks around them; those of `SPLITS` in lower case."""
    names = text(values, place).str.strip_chars()
    known = names.str.to_lowercase().str.replace_all(r"[\s_]+", "-")
    return pl.select(
        pl.when(known.is_in(SPLITS)).then(known).when(names != "").then(names)
    ).to_series()


def text(values: pl.Series, place: Place) -> pl.Series:
    """Text as it is; numbers as text."""
    given = _plain(values, place, "text")
    return given if given.dtype == pl.String else given.cast(pl.String)


def paths(values: pl.Series, place: Place) -> pl.Series:
    """Paths of images, with forward slashes."""
    return text(values, place).str.replace_all("\\", "/", literal=True)


def require_filled(values: pl.Series, place: Place, remedy: str) -> pl.Series:
    """The same column, if every row has a value.

    Raises:
        DataError: A row has none.
    """
    if values.null_count():
        row = int(values.is_null().arg_true()[0])
        raise DataError(f"{place.found(values.name, row, None)}; {remedy}.")
    return values


def read_series(name: str, values: Any) -> pl.Series:
    """A column from what Python code gives: a list, an array, a series.

    Values of several types become text.
    """
    if isinstance(values, np.ndarray) and values.dtype.hasobject:
        values = values.tolist()
    try:
        series = pl.Series(name, values, strict=False)
        mixed = series.dtype == pl.Object
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        mixed = True
    if mixed:
        return pl.Series(name, [_as_text(value) for value in values], dtype=pl.String)
    return series


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


def _whole(values: pl.Series, place: Place, of_names: str | None = None) -> pl.Series:
    expected = "a whole number, such as 1, 2, 3"
    too_large = f"{_RANGE}; {of_names or 'give smaller ones, such as 1, 2, 3'}"
    given = _plain(values, place, expected)
    if given.dtype.is_float():
        numbers = given.cast(pl.Float64).fill_nan(None)
        fits = (numbers == numbers.round()) & (numbers.abs() <= _WHOLE_FLOATS)
        _require(values, ~fits.fill_null(True), place, f"expected {expected}")
        return numbers.cast(pl.Int64)
    if given.dtype != pl.String:
        result = given.cast(pl.Int64, strict=False)
        _require(values, given.is_not_null() & result.is_null(), place, too_large)
        return result
    texts = _without_blanks(given)
    result = texts.cast(pl.Int64, strict=False)
    others = texts.filter(texts.is_not_null() & result.is_null()).unique()
    if not len(others):
        return result
    forms = {
        word: None if "," in word and not place.decimal_comma else _whole_of(word)
        for word in others.to_list()
    }
    fitting = {word: f for word, f in forms.items() if f is not None and _LEAST <= f <= _MOST}
    found = texts.replace_strict(fitting, default=None, return_dtype=pl.Int64)
    result = result.fill_null(found)
    wrong = texts.is_not_null() & result.is_null()
    for row in wrong.arg_true().to_list()[:1]:
        word = texts[row]
        if forms[word] is not None:
            remedy = too_large
        elif of_names is not None and not _is_number(word):
            remedy = f"expected {expected}; {of_names}"
        else:
            remedy = f"expected {expected}"
        _require(values, wrong, place, remedy)
    return result


def _with_points(values: pl.Series, place: Place) -> pl.Series:
    texts = _without_blanks(values)
    return texts.str.replace(_DECIMAL_COMMA, "$1.$2") if place.decimal_comma else texts


def _whole_of(written: str) -> int | None:
    return int(re.split("[.,]", written)[0]) if _WHOLE.fullmatch(written) else None


def _is_number(written: str) -> bool:
    try:
        float(written.replace(",", "."))
    except ValueError:
        return False
    return True


def _plain(values: pl.Series, place: Place, expected: str) -> pl.Series:
    """Text, numbers, truth values or nothing at all: other types are made one of these."""
    kind = values.dtype
    if kind == pl.Categorical or isinstance(kind, pl.Enum) or kind == pl.Null:
        return values.cast(pl.String)
    if kind == pl.Binary:
        return _decoded(values, place, expected)
    if kind.is_decimal():
        return values.cast(pl.String)
    if kind == pl.String or kind == pl.Boolean or kind.is_numeric():
        return values
    if not values.null_count() < len(values):
        return pl.Series(values.name, [None] * len(values), dtype=pl.String)
    row = int(values.is_not_null().arg_true()[0])
    value = values.slice(row, 1).to_list()[0]
    raise DataError(f"{place.found(values.name, row, value)}, expected {expected}.")


def _decoded(values: pl.Series, place: Place, expected: str) -> pl.Series:
    words = pl.Series(values.name, map(_utf8, values.to_list()), dtype=pl.String)
    _require(values, values.is_not_null() & words.is_null(), place, f"expected {expected}")
    return words


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _without_blanks(values: pl.Series) -> pl.Series:
    stripped = values.str.strip_chars()
    return stripped.set(stripped.str.to_lowercase().is_in(BLANK).fill_null(False), None)


def _require(values: pl.Series, wrong: pl.Series, place: Place, remedy: str) -> None:
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise DataError(f"{place.found(values.name, row, values[row])}, {remedy}.")


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _shown(value: object) -> str:
    # repr turns every control character into letters, so that none reaches a terminal.
    if isinstance(value, str) and value.isprintable() and len(value) <= _SHOWN_CHARACTERS:
        return repr(value)
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[: _SHOWN_CHARACTERS - 4] + " ..."
