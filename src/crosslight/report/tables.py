"""Tables in Markdown, and what stands in their cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

SHOWN = {"rank1": "rank-1", "mAP": "mAP", "mINP": "mINP"}
"""Scores of the tables, and what they are called there."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int = 1) -> list[str]:
    """The lines of a table whose first columns hold words and the others figures."""
    sides = ["---"] * words + ["---:"] * (len(head) - words)
    return [f"| {' | '.join(cells)} |" for cells in (head, sides, *rows)]


def spread(values: Sequence[float] | None, digits: int = 1) -> str:
    """Mean ± sd; without sd where there is one value, a dash where there is none."""
    if not values:
        return "–"
    mean = f"{fmean(values):.{digits}f}"
    return f"{mean} ± {stdev(values):.{digits}f}" if values[1:] else mean


def percent(values: Sequence[float]) -> str:
    """`spread` of fractions, in percent."""
    return spread([100 * value for value in values])


def short_name(protocol: str) -> str:
    """A protocol in the head of a table."""
    return protocol.removeprefix("sysu-mm01/").removeprefix("regdb/")
