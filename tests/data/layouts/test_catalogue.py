from __future__ import annotations

from pathlib import Path

import pytest

from crosslight.data.layouts import get_layout, layout_names, parse_data_argument, read_layout
from crosslight.errors import ConfigError
from tests.data import trees
from tests.data.trees import plant


def test_names_are_sorted() -> None:
    assert layout_names() == [
        "dukemtmc",
        "llcm",
        "market1501",
        "msmt17",
        "regdb",
        "sysu-mm01",
        "table",
    ]


def test_an_unknown_layout_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'sysu-mm1'.*did you mean 'sysu-mm01'"):
        get_layout("sysu-mm1")
    with pytest.raises(ConfigError, match="known are dukemtmc, llcm"):
        read_layout("imagenet", Path())


@pytest.mark.parametrize(
    ("argument", "name", "root"),
    [
        ("sysu-mm01:/data/SYSU", "sysu-mm01", "/data/SYSU"),
        ("regdb:relative/x:y", "regdb", "relative/x:y"),
        (r"llcm:D:\data\LLCM", "llcm", r"D:\data\LLCM"),
        ("table:my.csv", "table", "my.csv"),
    ],
)
def test_layout_and_root_are_parted_at_the_first_colon(argument: str, name: str, root: str) -> None:
    layout, path = parse_data_argument(argument)
    assert (layout.name, path) == (name, Path(root))


def test_a_tilde_is_expanded() -> None:
    assert parse_data_argument("regdb:~/RegDB")[1] == Path.home() / "RegDB"


@pytest.mark.parametrize("argument", ["/data/SYSU", r"C:\data\SYSU", "D:/x", "./a:b", "", ":x"])
def test_a_path_alone_is_refused_with_an_example(argument: str) -> None:
    with pytest.raises(ConfigError, match=r"names no layout; write LAYOUT:ROOT, e\.g\."):
        parse_data_argument(argument)


def test_a_path_that_looks_like_a_layout_is_named(tmp_path: Path) -> None:
    plant(tmp_path, trees.regdb())
    with pytest.raises(ConfigError, match=f"looks like RegDB: write regdb:{tmp_path}"):
        parse_data_argument(str(tmp_path))


@pytest.mark.parametrize("argument", ["regdb", "regdb:"])
def test_a_layout_alone_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match="names no folder"):
        parse_data_argument(argument)


def test_an_unknown_layout_before_the_colon() -> None:
    with pytest.raises(ConfigError, match="did you mean 'market1501'"):
        parse_data_argument("market:/data")
