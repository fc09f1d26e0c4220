"""Writes what the leaderboard of the documentation says of a method into the method's page.

    python tools/board_in_pages.py

after new rows. A page's part lies between its two marks, behind its first paragraphs; README.md has
the head of the board. Numbers that nobody types are numbers that nobody mistypes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from crosslight.config import load_recipe
from crosslight.experiments.leaderboard import Leaderboard, read_leaderboard
from crosslight.report.standings import Standing, Standings
from crosslight.report.tables import SHOWN, percent, table

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- board -->", "<!-- end of board -->"
SCORES = ("rank1", "mAP")
HEAD = 5
"""Systems in README.md."""
_PART = re.compile(f"{BEGIN}\n.*?{END}\n", re.DOTALL)


def written(root: Path) -> dict[Path, str]:
    """Page → its whole text with what the board says now.

    Args:
        root: Of the repository.

    Raises:
        SystemExit: A page has no place for it.
    """
    board = read_leaderboard(root / "docs" / "leaderboard")
    parts = {root / "README.md": _head(board)}
    for page in sorted((root / "docs" / "methods").glob("*.md")):
        parts[page] = _of_page(board, page.stem)
    return {page: _replaced(page, lines) for page, lines in parts.items()}


def _replaced(page: Path, lines: list[str]) -> str:
    text = page.read_text(encoding="utf-8")
    part = "\n".join([BEGIN, "", *lines, "", END, ""]) if lines else f"{BEGIN}\n{END}\n"
    if not _PART.search(text):
        raise SystemExit(f"{page} says nowhere where the board goes; write {BEGIN} and {END}.")
    return _PART.sub(lambda _: part, text)


def _of_page(board: Leaderboard, page: str) -> list[str]:
    rows: list[list[str]] = []
    for standings in board.standings:
        for one in standings.systems:
            if _page_of(board, one.system) == page and one.rows:
                rows += _rows(standings, one)
    if not rows:
        return []
    head = ["protocol", "system", "seeds", *(SHOWN[score] for score in SCORES), "the start"]
    said = (
        f"**On [the board](../leaderboard.md),** which gives every system {board.board.images:,} "
        "images of Promenade from one start (percent, ± over seeds):"
    )
    return [said, "", *table(head, rows, words=3)]


def _page_of(board: Leaderboard, system: str) -> str:
    recipe = board.board.systems[system][0]
    method = load_recipe(recipe.recipe, recipe.set).method
    pages = {"proposed-2020": "structure-id", "sdl-released": "sdl"}
    return "case-net" if method.startswith("case-net") else pages.get(method, method)


def _rows(standings: Standings, one: Standing) -> Iterator[list[str]]:
    for protocol in standings.protocols:
        if protocol.startswith("sysu-mm01") and not protocol.endswith("/1"):
            continue
        start = standings.start.scores.get(protocol, {}) if standings.start else {}
        yield [
            protocol,
            f"`{one.system}`{_rates(one)}",
            " ".join(str(row.seed) for row in one.rows),
            *(percent(one.values(protocol, score)) for score in SCORES),
            " / ".join(percent([start[score]]) for score in SCORES if score in start),
        ]


def _rates(one: Standing) -> str:
    factor = one.rows[0].lr_factor
    return "" if factor == 1 else f", learning rates x {factor:g}"


def _head(board: Leaderboard) -> list[str]:
    standings = board.standings[0]
    protocol = standings.protocols[0]
    rows = [
        [f"`{one.system}`", *(percent(one.values(protocol, score)) for score in SCORES)]
        for one in standings.systems[:HEAD]
    ]
    if standings.start is not None:
        own = standings.start.scores[protocol]
        rows.append(["the start itself", *(percent([own[score]]) for score in SCORES)])
    chance = standings.chance[protocol]
    rows.append(["chance", *(percent([chance[score]]) for score in SCORES)])
    return table(["system", *(SHOWN[score] for score in SCORES)], rows)


if __name__ == "__main__":
    for page, text in written(ROOT).items():
        page.write_text(text, encoding="utf-8")
