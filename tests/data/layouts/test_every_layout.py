"""What every layout owes, whichever it is."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from crosslight.data.layouts import LAYOUTS, Expected, read_layout, recognise
from crosslight.errors import DataError
from tests.data.trees import TREES, plant

NAMES = sorted(LAYOUTS)
LISTED = {"llcm", "msmt17", "regdb", "table"}
"""A list says which images they have."""


def listing(backwards: bool) -> Callable[[Path], object]:
    """`os.scandir` on a file system that lists names forwards or backwards."""
    scandir = os.scandir

    def scan(folder: Path) -> object:
        with scandir(folder) as found:
            ordered = sorted(found, key=lambda entry: entry.name, reverse=backwards)
        return nullcontext(ordered)

    return scan


def test_every_layout_has_a_tree() -> None:
    assert sorted(TREES) == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEveryLayout:
    def test_rows_do_not_depend_on_creation_order(self, name: str, tmp_path: Path) -> None:
        frames = [
            read_layout(name, plant(tmp_path / str(seed), TREES[name](), seed)).frame
            for seed in range(3)
        ]
        assert frames[0].equals(frames[1])
        assert frames[0].equals(frames[2])

    def test_rows_do_not_depend_on_the_order_in_which_a_folder_is_listed(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = plant(tmp_path, TREES[name]())
        frames = []
        for backwards in (False, True):
            with monkeypatch.context() as patch:
                patch.setattr("crosslight.data.folders.os.scandir", listing(backwards))
                frames.append(read_layout(name, root).frame)
        assert frames[0].equals(frames[1])

    def test_paths_are_relative_images_that_exist(self, name: str, tmp_path: Path) -> None:
        table = read_layout(name, plant(tmp_path, TREES[name]()))
        assert table.layout == name
        assert len(table) > 0
        assert all(path.is_file() and path.suffix in {".jpg", ".bmp"} for path in table.paths)
        assert not any(Path(path).is_absolute() or "\\" in path for path in table.relative_paths)
        assert not any(path.name.startswith(".") for path in table.paths)
        assert len(set(table.relative_paths)) == len(table)

    def test_the_root_is_recognised(self, name: str, tmp_path: Path) -> None:
        layout = recognise(plant(tmp_path, TREES[name]()))
        assert layout is LAYOUTS[name]

    def test_a_relative_root_works(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plant(tmp_path / "here", TREES[name]())
        monkeypatch.chdir(tmp_path)
        assert len(read_layout(name, Path("here"))) == len(read_layout(name, tmp_path / "here"))

    def test_root_one_folder_up_is_proposed(self, name: str, tmp_path: Path) -> None:
        plant(tmp_path / "in-here", TREES[name]())
        proposal = re.escape(f"use {name}:{tmp_path / 'in-here'}.")
        with pytest.raises(DataError, match=f"one folder deeper: {proposal}"):
            read_layout(name, tmp_path)

    def test_root_one_folder_deeper_is_proposed(self, name: str, tmp_path: Path) -> None:
        root = plant(tmp_path / "above", TREES[name]())
        (root / "zzz").mkdir()
        with pytest.raises(DataError, match=f"one folder up: {re.escape(f'use {name}:{root}.')}"):
            read_layout(name, root / "zzz")

    def test_an_empty_root_says_what_was_looked_for_and_how_to_obtain_it(
        self, name: str, tmp_path: Path
    ) -> None:
        root = tmp_path / "empty"
        root.mkdir()
        with pytest.raises(DataError) as caught:
            read_layout(name, root)
        message = str(caught.value)
        layout = LAYOUTS[name]
        assert f"{root} does not hold {layout.title}: looked for" in message
        assert layout.signs[0][0] in message
        assert "found nothing" in message
        assert layout.obtain in message
        assert ("data make promenade" in message) == layout.promenade

    def test_a_root_that_is_not_there(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"There is no folder .*nowhere.*check the path"):
            read_layout(name, tmp_path / "nowhere")
        (tmp_path / "no-where").mkdir()
        with pytest.raises(DataError, match="did you mean 'no-where'"):
            read_layout(name, tmp_path / "nowhere")

    def test_a_root_that_is_a_file(self, name: str, tmp_path: Path) -> None:
        archive = tmp_path / "data.zip"
        archive.write_bytes(b"PK")
        with pytest.raises(DataError, match="is a file, not the folder"):
            read_layout(name, archive)

    def test_another_layout_is_named(self, name: str, tmp_path: Path) -> None:
        other = "llcm" if name != "llcm" else "regdb"
        root = plant(tmp_path, TREES[other]())
        with pytest.raises(DataError, match=f"use {other}:"):
            read_layout(name, root)

    def test_each_missing_sign_is_named(self, name: str, tmp_path: Path) -> None:
        for sign in LAYOUTS[name].signs[0]:
            root = plant(tmp_path / f"without-{sign}", TREES[name]())
            if (root / sign).is_dir():
                shutil.rmtree(root / sign)
            else:
                (root / sign).unlink()
            with pytest.raises(DataError, match=rf"(lacks|looked for) .*{re.escape(sign)}"):
                read_layout(name, root)

    def test_a_link_that_leads_to_itself_is_nobody(self, name: str, tmp_path: Path) -> None:
        root = plant(tmp_path, TREES[name]())
        rows = read_layout(name, root).frame
        for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
            (folder / "9999").symlink_to("9999")
        assert read_layout(name, root).frame.equals(rows)

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
    def test_a_name_that_is_no_utf8_is_told(self, name: str, tmp_path: Path) -> None:
        root = plant(tmp_path, TREES[name]())
        rows = read_layout(name, root)
        image = rows.paths[0]
        shutil.copy(image, image.with_name(os.fsdecode(os.fsencode(image.stem) + b"\xe9.jpg")))
        if name in LISTED:
            assert read_layout(name, root).frame.equals(rows.frame)
            return
        with pytest.raises(DataError, match=r"no UTF-8.*1 image \(.*\\xe9.jpg\); rename"):
            read_layout(name, root)

    def test_published_parts_are_named_once(self, name: str, tmp_path: Path) -> None:
        keys = [(e.split, e.modality, e.cam) for e in LAYOUTS[name].expected]
        assert len(keys) == len(set(keys))
        splits = set(read_layout(name, plant(tmp_path, TREES[name]())).splits)
        assert {e.split for e in LAYOUTS[name].expected} <= splits

    def test_facts_are_complete_sentences(self, name: str) -> None:
        layout = LAYOUTS[name]
        assert layout.obtain.endswith(".")
        assert layout.protocols
        assert {search.protocol for search in layout.searches} <= set(layout.protocols)


@pytest.mark.parametrize(("one", "other"), [("market1501", "dukemtmc"), ("dukemtmc", "market1501")])
def test_market_and_duke_are_told_apart_by_their_file_names(
    one: str, other: str, tmp_path: Path
) -> None:
    root = plant(tmp_path, TREES[one]())
    with pytest.raises(DataError, match=re.escape(f"use {one}:{root}.")):
        read_layout(other, root)


def test_the_published_camera_counts_sum_up_to_the_published_split() -> None:
    expected = LAYOUTS["sysu-mm01"].expected

    def images(chosen: list[Expected]) -> int:
        return sum(part.images or 0 for part in chosen)

    test = [part for part in expected if part.split == "test"]
    assert images([p for p in test if p.cam]) == images([p for p in test if not p.cam]) == 10578
    assert images([p for p in expected if p.split in {"train", "val"}]) == 22258 + 11909
    assert images(list(LAYOUTS["llcm"].expected)) == 46767
