"""The leaderboard of the documentation is what its rows say, and no row was measured elsewhere."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import yaml

from crosslight import cli

ROOT = Path(__file__).parents[2]
BOARD = ROOT / "docs" / "leaderboard"


def test_the_table_and_its_figures_are_those_of_the_rows(tmp_path, capsys):
    board = tmp_path / "leaderboard"
    shutil.copytree(BOARD, board, ignore=shutil.ignore_patterns("runs"))
    (board / "leaderboard.md").unlink()
    cli.main(["leaderboard", str(board), "--only-table"])
    capsys.readouterr()
    assert (board / "leaderboard.md").read_text() == (BOARD / "leaderboard.md").read_text()


def test_no_row_failed_and_all_saw_the_images_of_the_budget():
    budget = yaml.safe_load((BOARD / "board.yaml").read_text())
    paths = list(BOARD.glob("rows/*/*/seed-*.json"))
    assert paths
    for path in paths:
        row = json.loads(path.read_text())
        assert row["fault"] is None, path
        assert abs(row["images"] / budget["images"] - 1) < 0.1 or path.parent.name == "start", path


def test_the_pages_of_methods_and_the_front_page_have_its_figures():
    written = runpy.run_path(str(ROOT / "tools" / "board_in_pages.py"))["written"]
    pages = written(ROOT)
    assert len(pages) == 1 + len(list((ROOT / "docs" / "methods").glob("*.md")))
    for page, text in pages.items():
        assert text == page.read_text(), f"{page}; say: python tools/board_in_pages.py"
