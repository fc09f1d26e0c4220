from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosslight.data.columns import reading_parquet
from crosslight.data.layouts import LAYOUTS, read_layout
from crosslight.data.table import SCHEMA, SampleTable, build_table, columns_called, read_table
from crosslight.errors import ConfigError, DataError, ReadingError
from crosslight.types import UNKNOWN_CAM, Modality


def written(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_path_and_pid_are_enough(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "path,pid\na/1.jpg,7\n"))
    assert table.frame.rows() == [("a/1.jpg", 7, UNKNOWN_CAM, 0, "all", None, None)]
    assert table.frame.schema == SCHEMA
    assert table.paths == [tmp_path / "a/1.jpg"]


def test_every_column_is_read_and_others_are_ignored(tmp_path: Path) -> None:
    text = (
        "note,path,pid,cam,modality,split,track,time\nhello,a.jpg,0012,15,infrared,query,0007,1.5\n"
    )
    row = read_table(written(tmp_path, text)).frame.rows()[0]
    assert row == ("a.jpg", 12, 15, Modality.INFRARED, "query", "0007", 1.5)


TURNED = columns_called(["path=File", "camera=Kamera,person = Wer"])


def test_columns_of_other_names(tmp_path: Path) -> None:
    assert TURNED == {"path": "File", "cam": "Kamera", "pid": "Wer"}
    frame = pl.DataFrame({"file": ["a.png"], "Wer": [7], "Kamera": [3], "cam": [9]})
    frame.write_csv(tmp_path / "t.csv", separator=";")
    frame.write_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        read = read_table(tmp_path / name, called=TURNED)
        assert (read.relative_paths, read.pids.tolist(), read.cams.tolist()) == (
            ["a.png"],
            [7],
            [3],
        )


def test_a_column_called_camera_or_person_is_that_of_cameras_or_people(tmp_path: Path) -> None:
    frame = pl.DataFrame({"path": ["a.png"], "Person": [7], "Camera": [3]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        read = read_table(tmp_path / name)
        assert (read.pids.tolist(), read.cams.tolist()) == ([7], [3])
    both = frame.with_columns(pid=pl.lit(8), cam=pl.lit(4))
    both.write_csv(tmp_path / "t.csv")
    assert read_table(tmp_path / "t.csv").cams.tolist() == [4]
    assert read_table(tmp_path / "t.csv", called={"cam": "Camera"}).cams.tolist() == [3]


def test_a_parquet_file_without_a_column_is_told_with_those_that_it_has(tmp_path: Path) -> None:
    pl.DataFrame({"File": ["a.png"], "pid": [1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="columns are 'pid', 'File'; name its columns like path"):
        read_table(tmp_path / "t.parquet")


def test_columns_of_other_names_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("File,Wer,Kamera\na.png,Anna,3\n")
    with pytest.raises(DataError, match=r"in the column Wer.*number for each name in Wer"):
        read_table(path, called=TURNED)
    path.write_text("File,Wer\na.png,1\n")
    with pytest.raises(DataError, match="no column 'Kamera', its columns are 'File', 'Wer'"):
        read_table(path, called=TURNED)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("path", "has 'path'; write OURS=THEIRS"),
        ("path=", "write OURS=THEIRS"),
        ("File=path", "with one of path, pid, cam"),
        ("cam=A,camera=B", "names cam twice, A and B"),
    ],
)
def test_names_of_columns_that_say_nothing_are_explained(told: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        columns_called([told])


def test_blank_cells_get_the_defaults(tmp_path: Path) -> None:
    text = "path,pid,cam,modality,split\na.jpg,1,,,\nb.jpg,2,3,ir,test\n"
    table = read_table(written(tmp_path, text))
    assert table.cams.tolist() == [UNKNOWN_CAM, 3]
    assert table.modality.tolist() == [Modality.VISIBLE, Modality.INFRARED]
    assert table.splits.tolist() == ["all", "test"]


@pytest.mark.parametrize(
    ("word", "modality"),
    [
        ("visible", 0),
        ("RGB", 0),
        ("0", 0),
        ("infrared", 1),
        ("IR", 1),
        ("Thermal", 1),
        ("1", 1),
    ],
)
def test_names_of_lights(tmp_path: Path, word: str, modality: int) -> None:
    table = read_table(written(tmp_path, f"path,pid,modality\na.jpg,1,{word}\n"))
    assert table.modality.tolist() == [modality]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffpath,pid\na/1.jpg,1\n",
        "path,pid\r\na/1.jpg,1\r\n",
        "path,pid\na\\1.jpg,1\n",
        '"path","pid"\n"a/1.jpg",1\n',
        "pid,path\n1,a/1.jpg\n",
    ],
)
def test_tables_as_spreadsheets_write_them(tmp_path: Path, text: str) -> None:
    assert read_table(written(tmp_path, text)).frame.rows()[0][:2] == ("a/1.jpg", 1)


def test_names_made_of_digits_keep_their_zeros(tmp_path: Path) -> None:
    text = "path,pid,split\n0001,1,007\n"
    assert read_table(written(tmp_path, text)).frame.select("path", "split").rows() == [
        ("0001", "007")
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path|pid\na|1\n", r"lacks the column 'path', its columns are 'path\|pid'; .* semicolons"),
        ("path,somebody\na,1\n", r"lacks the column 'pid', its columns are 'path', 'somebody'"),
        ("path,pid\n", r"has the columns 'path', 'pid' and no row"),
        ("", r"is empty; write a first line"),
        (" \n\n", r"is empty; write a first line"),
        (",\n,,\n", r"holds blank lines only; its first line should be path,pid"),
        ("path,pid\na,1.5\n", r"Line 2 of .* has '1\.5' in the column pid, expected a whole"),
        ("path,pid,cam\na,1,2.5\n", r"Line 2 of .* has '2\.5' in the column cam, expected a whole"),
        ("path,pid,cam\na,1,inf\n", r"Line 2 of .* has 'inf' in the column cam, expected a whole"),
        ("path,pid\na,1\n\nb,\n", r"Line 4 of .* has nothing in the column pid; write the number"),
        ("path,pid\na,nan\n", r"Line 2 of .* has nothing in the column pid"),
        ("path,pid\na,1\n,2\n", r"Line 3 of .* has nothing in the column path; write the path"),
        ("path,pid,modality\na,1,blue\n", r"'blue' in the column modality, write visible or infra"),
        ("path,pid\na,1,2,3\n", r"Line 2 of .* has 4 cells and the first line 2; write as many"),
        ("path,pid,cam\na,1\n", r"Line 2 of .* has 2 cells and the first line 3"),
        ("path,pid, pid\na,1,2\n", r"has 2 columns named pid; rename all but one"),
        ('path,pid\n"a,1\nb,2\n', r"Line 2 of .* opens a quotation mark that nothing closes"),
        ('path,pid\n"a"b,1\n', r"Line 2 of .* has text beside a quoted cell"),
        ("path,pid,time\na,1,noon\n", r"'noon' in the column time, expected seconds, like 3600"),
        ("path,pid,time\na,1,inf\n", r"'inf' in the column time, expected seconds"),
        (
            "path,pid,time\na,1,1700000000\nb,1,1700000000000\n",
            r"Line 3 of .* has '1700000000000' in the column time, which is after the year 2200; "
            "give seconds where these are milliseconds",
        ),
        ("path,pid,time\na,1,9999-12-31\n", r"'9999-12-31' .* after the year 2200; .* nothing"),
        ("path,pid\na\0,1\n", r"holds NUL characters"),
        (f"path,pid\na,{2**64 - 1}\n", r"'18446744073709551615' .* from -2\^63 to 2\^63 - 1"),
        ("path,pid\na,1e3\n", r"'1e3' in the column pid, expected a whole number"),
        ("path,pid\na,anna\n", r"'anna' in the column pid, .*write a number for each name"),
        ("path,pid\na,\x1b[31m\n", r"has '\\x1b\[31m' in the column pid"),
    ],
)
def test_tables_that_do_not_fit_are_explained(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_table(written(tmp_path, text))


def test_a_missing_or_foreign_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No table at"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="not readable as Parquet"):
        read_table(written(tmp_path, "path,pid\na,1\n", "table.parquet"))


def test_a_parquet_file_that_the_system_does_not_give_is_not_called_damaged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gone.parquet"
    told = r"gone\.parquet cannot be read \(No such file or directory\); see that it is there"
    with pytest.raises(ReadingError, match=told), reading_parquet(path):
        pl.scan_parquet(path).collect()
    with pytest.raises(ReadingError, match=told), reading_parquet(path):
        path.open()


def test_build_table_names_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks the column 'pid'.*has path"):
        build_table("x", tmp_path, {"path": ["a"]})


rows = st.lists(
    st.tuples(
        st.text("abc/._ é", min_size=1, max_size=8),
        st.integers(-1, 2**40),
        st.integers(-1, 20),
        st.sampled_from(list(Modality)),
        st.sampled_from(["train", "query", "all"]),
    ),
    min_size=1,
    max_size=8,
)


@given(rows=rows, ending=st.sampled_from([".csv", ".parquet"]))
def test_what_is_written_is_read_again(
    rows: list[tuple[str, int, int, Modality, str]],
    ending: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("table")
    names = ("path", "pid", "cam", "modality", "split")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    table = build_table("table", folder, columns)
    table.write(folder / f"out{ending}")
    again = read_table(folder / f"out{ending}")
    assert again.frame.equals(table.frame)
    assert again.fingerprint() == table.fingerprint()


@pytest.fixture
def table(tmp_path: Path) -> SampleTable:
    columns = {
        "path": ["a", "b", "c", "d"],
        "pid": [9, 2, 9, 5],
        "split": ["train", "query", "train", "gallery"],
    }
    return build_table("x", tmp_path, columns)


def test_labels_are_ranks_of_the_sorted_pids(table: SampleTable) -> None:
    assert table.labels().tolist() == [2, 0, 2, 1]
    assert table.labels().dtype == np.int64


def test_splits_keep_the_order_of_the_table(table: SampleTable) -> None:
    assert table.split("gallery", "train").relative_paths == ["a", "c", "d"]
    with pytest.raises(DataError, match="no images in split val; its splits are gallery, query"):
        table.split("val")


def test_take_and_where(table: SampleTable) -> None:
    assert table.take(np.array([3, 0, 0])).relative_paths == ["d", "a", "a"]
    assert len(table.where(pl.col("pid") > 100)) == 0
    assert len(table) == 4


def test_the_fingerprint_names_the_rows_and_not_the_place(table: SampleTable) -> None:
    moved = SampleTable(layout="y", root=Path("elsewhere"), frame=table.frame)
    assert moved.fingerprint() == table.fingerprint()
    assert table.take([1, 0, 2, 3]).fingerprint() != table.fingerprint()
    assert len(table.fingerprint()) == 64


class TestAsLayout:
    def test_a_file_or_its_folder(self, tmp_path: Path) -> None:
        path = written(tmp_path, "path,pid\na.jpg,1\n")
        frames = [read_layout("table", root).frame for root in (path, tmp_path)]
        assert frames[0].equals(frames[1])

    def test_a_parquet_file_in_a_folder(self, tmp_path: Path) -> None:
        pl.DataFrame({"path": ["a.jpg"], "pid": [1]}).write_parquet(tmp_path / "table.parquet")
        assert read_layout("table", tmp_path).pids.tolist() == [1]

    def test_another_file_is_refused(self, tmp_path: Path) -> None:
        path = written(tmp_path, "x", "table.xlsx")
        with pytest.raises(
            DataError, match=r"is a file, not .*expected table\.csv, or table\.parq"
        ):
            LAYOUTS["table"].read(path)
