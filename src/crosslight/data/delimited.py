"""Text files of cells: which encoding, which separator, which line each row stands in."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.errors import DataError

_SEPARATORS = (",", ";", "\t")
_ROWS_AT_ONCE = 2**16
_LOOKED_AT_BYTES = 2**12
_SEPARATOR_LINE = re.compile(r"^sep=(.)\s*$", re.IGNORECASE)
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_FILES = (
    (b"PK\x03\x04", "a spreadsheet or zip file"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet file"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip file"),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Delimited:
    """The cells of a file.

    Attributes:
        names: Of the columns, without blanks around them; may repeat.
        columns: As many series of text; null where a cell is empty.
        lines: `(rows,)` where each row begins, the first line of the file being 1.
        encoding: Its name, for people.
        certain: Whether it is; if not, cells that hold more than ASCII are not to be trusted.
        separator: What parts the cells of a row.
    """

    names: tuple[str, ...]
    columns: tuple[pl.Series, ...]
    lines: NDArray[np.int64]
    encoding: str
    certain: bool
    separator: str


def read_delimited(path: Path, wanted: Sequence[str]) -> Delimited:
    """Reads a file of cells with a first line of names.

    The separator is the one of comma, semicolon and tab that yields most of the wanted names.
    UTF-8 and UTF-16 are recognised; lines without any content are skipped.

    Args:
        path: The file.
        wanted: Names that the first line should hold, in any case.

    Raises:
        DataError: Not readable, no text, empty, or a row that does not fit the first line.
    """
    text, encoding, certain = _decoded(path)
    lines = io.StringIO(text, newline="")
    first, stated = _first_line(lines, path, wanted)
    separator = stated or _separator(first, wanted)
    spaced = _spaced(first, separator)
    rows = _rows(text, separator, spaced, path)
    names = next((row for _, row in rows if not _SEPARATOR_LINE.match(separator.join(row))), None)
    if names is None:
        raise _blank(path, wanted)
    stripped = tuple(name.strip() for name in names)
    columns, numbers = _columns(rows, len(stripped), path)
    return Delimited(
        names=stripped,
        columns=columns,
        lines=numbers,
        encoding=encoding,
        certain=certain,
        separator=separator,
    )


def _decoded(path: Path) -> tuple[str, str, bool]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror or error}); give a CSV file that you may read."
        ) from error
    if not content.strip():
        raise DataError(
            f"{path} is empty; write a first line with the names of its columns and one line for "
            "each row."
        )
    for magic, kind in _OTHER_FILES:
        if content.startswith(magic):
            raise DataError(
                f"{path} is {kind}, expected text with separators; export it as CSV (UTF-8)."
            )
    encoding, skipped = _encoding(content)
    try:
        text, certain = content[skipped:].decode(encoding), True
    except UnicodeDecodeError:
        if encoding != "utf-8" or skipped:
            raise DataError(
                f"{path} begins like {encoding.upper()} and is not written so throughout; save it "
                "as UTF-8."
            ) from None
        # Every byte is a character of latin-1; cp1252 has the same letters.
        text, certain = content.decode("cp1252", errors="replace"), False
    if "\0" in text:
        raise DataError(
            f"{path} holds NUL characters, so it is no text with separators; save or export it as "
            "CSV (UTF-8)."
        )
    return text, encoding.upper() if certain else "Windows-1252 or latin-1", certain


def _encoding(content: bytes) -> tuple[str, int]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding, len(mark)
    # Without a mark: in UTF-16 every second byte of Western text, or of a header, is 0.
    start = content[:_LOOKED_AT_BYTES]
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if odd > len(start) // 4 and odd > 4 * even:
        return "utf-16-le", 0
    if even > len(start) // 4 and even > 4 * odd:
        return "utf-16-be", 0
    return "utf-8", 0


def _first_line(lines: Iterator[str], path: Path, wanted: Sequence[str]) -> tuple[str, str | None]:
    stated = None
    for line in lines:
        found = _SEPARATOR_LINE.match(line)
        if found:
            stated = found[1]
        elif line.strip():
            return line, stated
    raise _blank(path, wanted)


def _blank(path: Path, wanted: Sequence[str]) -> DataError:
    return DataError(f"{path} holds blank lines only; its first line should be {','.join(wanted)}.")


def _separator(line: str, wanted: Sequence[str]) -> str:
    def worth(separator: str) -> tuple[int, int]:
        names = [name.strip().casefold() for name in _cells(line, separator)]
        return len({name.casefold() for name in wanted} & set(names)), len(names)

    return max(_SEPARATORS, key=worth)


def _cells(line: str, separator: str) -> list[str]:
    # A name that holds a line break shows its first line here, which is enough to choose by.
    return next(csv.reader([line], delimiter=separator), [])


def _spaced(line: str, separator: str) -> bool:
    # "path, pid, cam": then a blank after a separator belongs to the separator in every row.
    others = _cells(line, separator)[1:]
    return bool(others) and all(name.startswith(" ") for name in others)


def _rows(text: str, separator: str, spaced: bool, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaced, strict=True
    )
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "limit" in str(error) or "end of data" in str(error):
                what = "opens a quotation mark that nothing closes"
            else:
                what = "has text beside a quoted cell"
            raise DataError(
                f'Line {line} of {path} {what}; put the whole cell in quotes ("...") and write '
                'quotes inside it twice ("").'
            ) from None
        if any(row) and not "".join(row).isspace():
            yield line, row


def _columns(
    rows: Iterator[tuple[int, list[str]]], width: int, path: Path
) -> tuple[tuple[pl.Series, ...], NDArray[np.int64]]:
    parts: list[list[pl.Series]] = [[] for _ in range(width)]
    numbers: list[NDArray[np.int64]] = []

    def keep(block: list[list[str]], lines: list[int]) -> None:
        for place, cells in zip(parts, zip(*block, strict=True), strict=True):
            texts = pl.Series(cells, dtype=pl.String)
            place.append(texts.set(texts == "", None))
        numbers.append(np.array(lines, dtype=np.int64))

    block: list[list[str]] = []
    lines: list[int] = []
    for line, row in rows:
        if len(row) != width:
            if len(row) < width or any(cell.strip() for cell in row[width:]):
                raise DataError(
                    f"Line {line} of {path} has {len(row)} cells and the first line {width}; write "
                    "as many, and put a cell that holds the separator in quotes."
                )
            row = row[:width]
        block.append(row)
        lines.append(line)
        if len(block) == _ROWS_AT_ONCE:
            keep(block, lines)
            block, lines = [], []
    if block:
        keep(block, lines)
    if not numbers:
        return tuple(pl.Series([], dtype=pl.String) for _ in parts), np.empty(0, dtype=np.int64)
    return tuple(pl.concat(part) for part in parts), np.concatenate(numbers)
