from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crosslight.data.attributes import read_attributes
from crosslight.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.csv"
    path.write_text(
        "pid,hat,bag,sleeve\n"
        "30,1,none,0.9\n"
        "10,0,tote,0.2\n"
        "10,0,tote,0.2\n"
        "20,,,\n"
        "40,1,none,0.5\n"
        "40,0,backpack,0.7\n"
        "40,0,backpack,0.7\n"
    )
    return path


def test_questions_are_answered_by_person(table: Path) -> None:
    names = ("hat", "bag!=none", "bag=tote", "sleeve>0.6", "sleeve<0.6")
    found = read_attributes(table, names)
    assert found.names == names
    assert found.pids.tolist() == [10, 20, 30, 40]
    nan = np.nan
    expected = [
        [0, 1, 1, 0, 1],
        [nan, nan, nan, nan, nan],
        [1, 0, 0, 1, 0],
        [0, 1, 0, 1, 0],  # the more frequent answers
    ]
    np.testing.assert_array_equal(found.values, np.array(expected, dtype=np.float32))
    asked = found.of(np.array([40, 7, 10, 99]))
    np.testing.assert_array_equal(asked[[0, 2]], np.array([expected[3], expected[0]]))
    assert np.isnan(asked[[1, 3]]).all()


def test_a_draw_is_not_known(tmp_path: Path) -> None:
    pl.DataFrame({"pid": [1, 1], "hat": [True, False]}).write_parquet(tmp_path / "a.parquet")
    assert np.isnan(read_attributes(tmp_path / "a.parquet", ["hat"]).values).all()


def test_the_factors_of_promenade_answer(tmp_path: Path) -> None:
    from crosslight.data.promenade import make

    make(tmp_path / "p", preset="tiny", height=16, width=16, progress=False)
    factors = pl.read_parquet(tmp_path / "p" / "factors.parquet")
    names = ("cut_bag!=none", "cut_hat!=none", "body_hair=long", "cut_upper=coat", "cut_sleeve>0.5")
    found = read_attributes(tmp_path / "p" / "factors.parquet", names)
    assert set(found.pids.tolist()) == set(factors["pid"].to_list())
    assert np.isfinite(found.values).all()
    assert 0 < found.values.mean() < 1
    for pid, values in zip(found.pids.tolist(), found.values, strict=True):
        own = factors.filter(pl.col("pid") == pid)
        assert set(own["cut_bag"].to_list()) == {own["cut_bag"][0]}
        assert values[0] == (own["cut_bag"][0] != "none")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("shoes", "asks for the column 'shoes'"),
        ("bag", "value 'none', expected 0, 1"),
        ("bag>1", "must be numbers"),
        ("sleeve>long", "must be numbers"),
    ],
)
def test_questions_without_answer_are_named(table: Path, name: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_attributes(table, [name])


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No attributes at"):
        read_attributes(tmp_path / "none.csv", ["hat"])
    (tmp_path / "a.csv").write_text("person,hat\n1,1\n")
    with pytest.raises(DataError, match="lacks the column 'pid', its columns are"):
        read_attributes(tmp_path / "a.csv", ["hat"])
    (tmp_path / "a.parquet").write_text("x")
    with pytest.raises(DataError, match="not readable"):
        read_attributes(tmp_path / "a.parquet", ["hat"])
