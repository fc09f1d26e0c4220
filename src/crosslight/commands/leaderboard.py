"""Fills a leaderboard, tells how far it is, and prints its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosslight.commands.rows import tell_rows
from crosslight.errors import ConfigError
from crosslight.experiments.board_rows import ROWS
from crosslight.experiments.leaderboard import TABLE, leaderboard, write_leaderboard
from crosslight.experiments.options import Filling


def run_leaderboard(board: Path, data: Sequence[str], how: Filling) -> None:
    """Trains what the board lacks, or only writes the table again; prints the table."""
    left = failed = 0
    if how.only_table:
        if data:
            raise ConfigError("--only-table looks at no data; leave out --data, or --only-table.")
        write_leaderboard(board, runs=how.runs)
    else:
        rows = tell_rows(leaderboard(board, data, how)).values()
        left = sum(row.state in ("elsewhere", "waits") for row in rows)
        failed = sum(row.fault is not None for row in rows)
    table = board / f"{TABLE}.md"
    if not table.is_file():
        print("\nNo row is finished yet.")
        return
    print(f"\n{table.read_text(encoding='utf-8')}")
    print(f"{board}: {', '.join(f'{TABLE}.{ending}' for ending in ('md', 'json', 'png'))}.")
    if left:
        print(f"Rows of other processes: {left}; the same command looks again.")
    if failed:
        print(f"Rows that failed: {failed}; to try one again, remove its file in {board / ROWS}.")
