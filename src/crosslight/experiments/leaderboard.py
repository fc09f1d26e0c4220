"""Trains systems of the literature under one budget, and sets them beside each other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crosslight.config import to_plain
from crosslight.errors import ConfigError
from crosslight.experiments.board import Board, asked_of, keep_board, read_board
from crosslight.experiments.board_rows import ROWS, RUNS, read_row, read_try, with_probes
from crosslight.experiments.board_works import planned
from crosslight.experiments.options import Filling
from crosslight.experiments.rows import Row, Work, alone, fill
from crosslight.files import write_text, written_whole
from crosslight.report.leaderboard import (
    leaderboard_figure,
    leaderboard_json,
    leaderboard_markdown,
)
from crosslight.report.standings import Standings, Tried, as_tried, standings_of

TABLE = "leaderboard"


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """What a board holds.

    Attributes:
        board: Budget, systems, seeds, data sets.
        standings: Of each data set that has a row.
        tried: Learning rates that were tried, by data set and system.
    """

    board: Board
    standings: tuple[Standings, ...]
    tried: tuple[Tried, ...]

    def to_json(self) -> dict[str, Any]:
        """The board and every figure of the table, as plain values."""
        return leaderboard_json(to_plain(self.board), self.standings, self.tried)


def leaderboard(
    folder: Path | str, data: Sequence[str], how: Filling | None = None
) -> Iterator[Row]:
    """Trains and scores what the board lacks, row by row, and writes its table after each.

    Before the systems come what they begin from, untrained, and short tries of learning rates. A
    system that fails is a row with its sentence. Several processes, or machines that share the
    folder, may fill it: each takes the rows that no other is at, and a killed one leaves its rows
    to the others.

    Args:
        folder: `board.yaml`, `rows/` (a small file each), `leaderboard.md`, `.json` and `.png`.
        data: `LAYOUT:ROOT` of each data set.
        how: Systems, seeds and budget.

    Raises:
        ConfigError: The call contradicts itself or the board; or a system cannot have that budget.
        DataError: A data set cannot be read.
    """
    how, folder = how or Filling(), Path(folder)
    asked = asked_of(folder, data, how)
    runs = how.runs or folder / RUNS

    def renew() -> None:
        _renew(folder, runs)

    works = planned(folder, runs, asked, how)
    if keep_board(folder, asked, how) != asked.board:  # another call has begun it meanwhile
        asked = asked_of(folder, data, how)
        works = planned(folder, runs, asked, how)
    while works:
        left: list[Work] = []
        moved = False
        for row in fill(folder, works, renew):
            yield row
            if row.state in ("waits", "elsewhere"):
                left.append(works[row.number - 1])
            moved |= row.state in ("done", "failed")
        # What waited for another process may be possible now; that process may have died.
        works = left if moved else []


def read_leaderboard(folder: Path | str, *, runs: Path | None = None) -> Leaderboard:
    """What the board of a folder holds so far; takes over what runs were probed for since.

    Args:
        folder: Of the board.
        runs: Folder of the trainings; None: `runs` in that of the board.

    Raises:
        ConfigError: There is no board, or a damaged row.
    """
    folder = Path(folder)
    board = read_board(folder)
    if board is None:
        raise ConfigError(
            f"{folder} holds no leaderboard (no board.yaml); give the folder of one, or begin it "
            "with --data LAYOUT:ROOT."
        )
    rows = [read_row(path) for path in sorted((folder / ROWS).glob("*/*/seed-*.json"))]
    rows = [with_probes(folder, runs or folder / RUNS, row) for row in rows]
    tried = [read_try(path) for path in sorted((folder / ROWS).glob("*/*/rate-*.json"))]
    rows = as_tried(rows, tried, board.rates)
    found = (
        standings_of(rows, data=name, title=one.title, order=list(board.systems))
        for name, one in board.data.items()
    )
    return Leaderboard(
        board=board,
        standings=tuple(one for one in found if one.systems or one.start),
        tried=tuple(tried),
    )


def write_leaderboard(folder: Path | str, *, runs: Path | None = None) -> Leaderboard:
    """Writes `leaderboard.md`, `.json` and `.png` of what the board holds so far.

    Raises:
        ConfigError: There is no board, or a damaged row.
    """
    folder = Path(folder)
    read_leaderboard(folder)  # where there is none, no lock should be left
    with alone(folder):
        return _renew(folder, runs or folder / RUNS)


def _renew(folder: Path, runs: Path) -> Leaderboard:
    found = read_leaderboard(folder, runs=runs)
    if not found.standings:
        return found
    content = found.to_json()
    text = leaderboard_markdown(content["board"], found.standings, found.tried)
    write_text(folder / f"{TABLE}.md", text)
    write_text(folder / f"{TABLE}.json", json.dumps(content, indent=2) + "\n")
    with written_whole(folder / f"{TABLE}.png") as file:
        leaderboard_figure(found.standings).savefig(file, format="png", dpi=140)
    return found
