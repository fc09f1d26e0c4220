"""The leaderboard of the documentation is what its rows say, and no row was measured elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from crosslight import cli

BOARD = Path(__file__).parents[2] / "docs" / "leaderboard"


def test_the_table_and_its_figures_are_those_of_the_rows(tmp_path, capsys):
    board = tmp_path / "leaderboard"
    shutil.copytree(BOARD, board, ignore=shutil.ignore_patterns("runs"))
    (board / "leaderboard.md").unlink()
    cli.main(["leaderboard", str(board), "--only-table"])
    capsys.readouterr()
    assert (board / "leaderboard.md").read_text() == (BOARD / "leaderboard.md").read_text()


def test_no_row_failed_or_began_otherwise():
    budget = yaml.safe_load((BOARD / "board.yaml").read_text())
    for path in BOARD.glob("rows/*/*/seed-*.json"):
        row = json.loads(path.read_text())
        assert row["fault"] is None, path
        assert abs(row["images"] / budget["images"] - 1) < 0.1 or path.parent.name == "start", path
