"""Tables as people, spreadsheets and other programs write them are read alike."""

from __future__ import annotations

import datetime
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crosslight.data import delimited
from crosslight.data.attributes import read_attributes
from crosslight.data.check import check_data
from crosslight.data.columns import as_parquet
from crosslight.data.table import SampleTable, read_table
from crosslight.errors import DataError
from crosslight.evaluation.features import load_features
from crosslight.gallery.video.boxes import BoxesFile

PLAIN = "path,pid,cam,modality,split,time\na.jpg,1,3,infrared,query,1.5\nb.jpg,2,4,visible,val,2\n"


def table_of(content: str | bytes, folder: Path) -> SampleTable:
    path = folder / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path)


SAME = {
    "blank lines": PLAIN.replace("\n", "\n\n") + "\n \n,,,,,\n",
    "semicolons": PLAIN.replace(",", ";"),
    "semicolons and decimal commas": PLAIN.replace(",", ";").replace("1.5", "1,5"),
    "tabs": PLAIN.replace(",", "\t"),
    "a spreadsheet's line about separators": "sep=;\r\n" + PLAIN.replace(",", ";"),
    "blanks after commas": PLAIN.replace(",", ", "),
    "capitals and blanks": (
        " Path ,PID,Cam ,MODALITY,Split,Time\na.jpg, 1 ,3, Infra-Red ,Query ,1.5\n"
        "b.jpg,2,4,RGB, VAL,2\n"
    ),
    "whole numbers with a point": PLAIN.replace(",1,3,", ",1.0,3.,").replace(",2,4,", ",+2,04.00,"),
    "every cell in quotes": "".join(
        ",".join(f'"{cell}"' for cell in line.split(",")) + "\n" for line in PLAIN.splitlines()
    ),
    "old line ends": PLAIN.replace("\n", "\r"),
    "UTF-8 with a mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, the other order": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "UTF-16 without a mark": PLAIN.encode("utf-16-le"),
    "UTF-32": PLAIN.encode("utf-32"),
    "latin-1 in a column that nobody reads": PLAIN.replace("\n", ",Stra\xdfe\n").encode("latin-1"),
    "more commas than cells": PLAIN.replace("visible,val,2\n", "visible,val,2,,\n"),
    "dates": PLAIN.replace("1.5", "1970-01-01T00:00:01.5").replace(
        "val,2", "val,1970-01-01T09:00:02+09:00"
    ),
}


@pytest.mark.parametrize("way", sorted(SAME))
def test_a_table_is_the_same_however_it_is_written(tmp_path: Path, way: str) -> None:
    read = table_of(SAME[way], tmp_path)
    assert read.frame.equals(table_of(PLAIN, tmp_path).frame)
    assert read.frame.rows()[0] == ("a.jpg", 1, 3, 1, "query", None, 1.5)


def test_a_parquet_table_goes_through_the_same_rules(tmp_path: Path) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=9))
    columns: dict[str, Any] = {
        "Path ": ["a\\1.jpg", "b.jpg", "c.jpg"],
        "pid": [1.0, 2.0, -1.0],
        "CAM": pl.Series([3, None, 4], dtype=pl.UInt16),
        "modality": pl.Series(["Thermal", None, "rgb"], dtype=pl.Categorical),
        "split": pl.Series(["Query", "gallery ", "Fold-A"], dtype=pl.Categorical),
        "track": [7, None, 8],
        "time": [datetime.datetime(1970, 1, 1, 9, 0, 2, tzinfo=zone), None, None],
        "other": [[1], [2], [3]],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "table.parquet")
    assert read_table(tmp_path / "table.parquet").frame.rows() == [
        ("a/1.jpg", 1, 3, 1, "query", "7", 2.0),
        ("b.jpg", 2, -1, 0, "gallery", None, None),
        ("c.jpg", -1, 4, 0, "Fold-A", "8", None),
    ]


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("pid", pl.Series([1, 2**63], dtype=pl.UInt64), r"Row 1 .* 9223372036854775808 .* 2\^63"),
        ("pid", [1.0, 2.5], r"Row 1 \(counted from 0\) of .* has 2\.5 in the column pid"),
        ("pid", [1.0, float("nan")], r"Row 1 .* has nothing in the column pid"),
        ("pid", [1, None], r"Row 1 .* has nothing in the column pid"),
        ("pid", [1.0, 2.0**60], r"Row 1 .* in the column pid, expected a whole number"),
        ("cam", [[1], [2]], r"Row 0 .* in the column cam, expected a whole number"),
        ("cam", [b"1", b"\xff"], r"Row 1 .* in the column cam, expected a whole number"),
        ("time", [datetime.time(3), None], r"Row 0 .* in the column time, expected seconds"),
        ("time", [None, 1_700_000_000_000], r"Row 1 .* which is after the year 2200; give seconds"),
        ("time", [datetime.date(2200, 1, 2), None], r"Row 0 .* which is after the year 2200"),
        ("time", [0.0, float("inf")], r"Row 1 .* has inf in the column time"),
        ("modality", [0, 7], r"Row 1 .* has 7 in the column modality, write visible or infrared"),
    ],
)
def test_a_parquet_value_that_does_not_fit_is_named(
    tmp_path: Path, name: str, values: Any, sentence: str
) -> None:
    columns = {"path": ["a", "b"], "pid": [1, 2], name: values}
    pl.DataFrame(columns).write_parquet(tmp_path / "table.parquet")
    with pytest.raises(DataError, match=sentence):
        read_table(tmp_path / "table.parquet")


def test_small_numbers_in_a_column_of_times_are_seconds(tmp_path: Path) -> None:
    table = table_of("path,pid,time\na,1,2026\nb,1,20261102\nc,1,2026-01-01\n", tmp_path)
    assert table.frame["time"].to_list() == [2026.0, 20261102.0, 1767225600.0]


def test_kinds_are_stated_and_not_guessed_from_the_first_rows(tmp_path: Path) -> None:
    lines = [f"{i}.jpg,{i},1,{i}" for i in range(150)]
    rows = "\n".join([*lines, "x.jpg,7,2.0,110.5"])
    table = table_of(f"path,pid,cam,time\n{rows}\n", tmp_path)
    assert table.frame.rows()[-1] == ("x.jpg", 7, 2, 0, "all", None, 110.5)
    with pytest.raises(DataError, match=r"Line 152 of .* has 'late' in the column cam"):
        table_of(f"path,pid,cam,time\n{rows.replace('2.0', 'late')}\n", tmp_path)


def test_rows_are_named_by_line_through_quotes_and_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "_ROWS_AT_ONCE", 3)
    rows = 'path,pid\n"a, ""b""\nc.jpg",1\n\n' + "x.jpg,2\n" * 7
    assert table_of(rows, tmp_path).relative_paths == ['a, "b"\nc.jpg', *["x.jpg"] * 7]
    with pytest.raises(DataError, match=r"Line 12 of .* has '1\.5'"):
        table_of(rows + "y.jpg,1.5\n", tmp_path)


@pytest.mark.parametrize(
    ("cell", "column"), [('"1,000"', "pid"), ('"1,0"', "cam"), ('"1,500"', "time")]
)
def test_a_comma_inside_a_number_is_no_decimal_one_where_commas_part_cells(
    tmp_path: Path, cell: str, column: str
) -> None:
    row = {"path": "a.jpg", "pid": "1", "cam": "3", "time": "2"} | {column: cell}
    with pytest.raises(DataError, match=rf"Line 2 .* has {cell[1:-1]!r} in the column {column}"):
        table_of(f"{','.join(row)}\n{','.join(row.values())}\n", tmp_path)


def test_three_zeros_behind_a_comma_are_no_whole_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has '1,000' in the column pid"):
        table_of("path;pid\na.jpg;1,000\n", tmp_path)
    assert table_of("path;pid;time\na.jpg;1,0;1,000\n", tmp_path).frame["time"][0] == 1.0


@pytest.mark.parametrize("word", ["", "nan", "NaN", "NULL", "None", "NA", " "])
def test_words_for_nothing_are_an_unknown_camera(tmp_path: Path, word: str) -> None:
    table = table_of(f"path,pid,cam,modality,time\na,1,{word},{word},{word}\n", tmp_path)
    assert table.frame.rows() == [("a", 1, -1, 0, "all", None, None)]


def test_a_table_that_other_programs_would_misread_is_remarked_on(tmp_path: Path) -> None:
    Image.new("RGB", (8, 16)).save(tmp_path / "a.jpg")
    text = "path,pid,note\na.jpg,1,Stra\xdfe\n"
    for encoding, words in [("cp1252", "seems to be Windows-1252"), ("utf-16", "is UTF-16-LE")]:
        table_of(text.encode(encoding), tmp_path)
        (note,) = [note for note in check_data("table", tmp_path).notes if "UTF-8" in note]
        assert words in note
        assert "save it as UTF-8" in note
    table_of(text, tmp_path)
    assert not any("UTF-8" in note for note in check_data("table", tmp_path).notes)


def test_an_encoding_that_is_not_certain_is_asked_for_and_utf8_is_read(tmp_path: Path) -> None:
    text = "path,pid\nStra\xdfe.jpg,1\n"
    with pytest.raises(DataError, match=r"Line 2 .*'Straße\.jpg' .*Windows-1252.*save it as UTF-8"):
        table_of(text.encode("cp1252"), tmp_path)
    assert table_of(text.encode(), tmp_path).relative_paths == ["Stra\xdfe.jpg"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04rest", "a spreadsheet or zip file"),
        (b"PAR1rest", "a Parquet file"),
        (b"\x1f\x8brest", "a gzip file"),
        (b"\xff\xfep\x00a\x00t", "begins like UTF-16-LE"),
        (bytes(range(256)) * 4, "NUL characters"),
    ],
)
def test_what_is_no_text_is_recognised(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence) as caught:
        table_of(content, tmp_path)
    assert str(caught.value).isprintable()


def test_names_are_numbered_as_the_sentence_says(tmp_path: Path) -> None:
    names = "path,pid\na,anna\nb,ben\nc,anna\n"
    with pytest.raises(
        DataError,
        match="write a number for each name in pid, and the names in a column of another name",
    ):
        table_of(names, tmp_path)
    followed = names.replace("pid", "name,pid").replace("anna", "anna,1").replace("ben", "ben,2")
    assert table_of(followed, tmp_path).pids.tolist() == [1, 2, 1]


def test_names_are_numbered_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    (shown,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "names.csv" in b]
    monkeypatch.chdir(tmp_path)
    Path("names.csv").write_text("path,pid,cam\n001,ben,1\n002,anna,\n003,ben,2\n")
    exec(shown, {})
    table = read_table(Path("table.csv"))
    assert table.pids.tolist() == [2, 1, 2]
    assert table.relative_paths == ["001", "002", "003"]
    assert pl.read_csv("table.csv")["name"].to_list() == ["ben", "anna", "ben"]


def test_labels_boxes_and_attributes_are_read_as_tables_are(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "x.csv").write_bytes(
        "\nPid;Cam;Modality;Split\n1.0;;Thermal;Query \n2;3;rgb;\n1;nan;;gallery\n".encode("utf-16")
    )
    features = load_features(tmp_path / "x.npy")
    assert features.pids.tolist() == [1, 2, 1]
    assert features.cams.tolist() == [-1, 3, -1]
    assert features.modality.tolist() == [1, 0, 255]
    assert features.split is not None
    assert features.split.tolist() == ["query", "", "gallery"]
    (tmp_path / "x.csv").write_text("pid,cam\n1,1\n,2\n3,3\n")
    with pytest.raises(DataError, match=r"Line 3 of .* has nothing in the column pid"):
        load_features(tmp_path / "x.npy")

    (tmp_path / "boxes.csv").write_text("Frame;Left;Top;Right;Bottom\n\n7.0;1,5;2;30;40\n")
    (box,) = BoxesFile(tmp_path / "boxes.csv", 0.5).find(7, None)  # type: ignore[arg-type]
    assert (box.left, box.bottom) == (1.5, 40.0)

    (tmp_path / "attributes.csv").write_text("PID\tHat\tAge\n1.0\tTrue\t30\n2\tno\t2.50\n")
    found = read_attributes(tmp_path / "attributes.csv", ["hat", "Age=2.5", "age>20"])
    assert found.values.tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_a_parquet_file_whose_name_is_no_utf8_is_told(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xe9")
    folder.mkdir()
    (folder / "table.parquet").write_bytes(as_parquet(pl.DataFrame({"path": ["a.jpg"]})))
    with pytest.raises(DataError, match=r"\\xe9/table.parquet has a name that is no UTF-8"):
        read_table(folder / "table.parquet")
