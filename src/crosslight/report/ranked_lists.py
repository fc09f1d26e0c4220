"""Ranked lists: some queries, what the model answered, and which answers are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.data.table import SampleTable
from crosslight.evaluation.protocols.scores import PerQuery
from crosslight.report.embedded import Picture, as_jpeg
from crosslight.report.grid import (
    Cell,
    Heading,
    Place,
    Verdict,
    image_grid,
    load_or_placeholder,
)
from crosslight.types import UNKNOWN_CAM, Modality

THUMBNAIL_HEIGHT_PX = 144
THUMBNAIL_WIDTH_PX = 112


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A gallery image in a ranked list.

    Attributes:
        row: Row of the test table.
        right: Whether it shows the query's person.
        distance: To the query; smaller is nearer.
    """

    row: int
    right: bool
    distance: float


@dataclass(frozen=True, kw_only=True)
class RankedList:
    """A query and its nearest gallery images.

    Attributes:
        group: `best`, `middle` or `worst`.
        row: Row of the query in the test table.
        average_precision: Fraction.
        first_rank: Rank of the first right answer by the protocol's rule.
        answers: Nearest first.
        first: The first right one, where it is not among these.
    """

    group: str
    row: int
    average_precision: float
    first_rank: int
    answers: tuple[Answer, ...]
    first: Answer | None = None


def choose_queries(
    average_precision: NDArray[np.float64],
    pids: NDArray[np.int64],
    *,
    best: int,
    middle: int,
    worst: int,
) -> dict[str, list[int]]:
    """Positions of the best, the middle and the worst queries; none is chosen twice.

    Within a group every query shows another person as long as there are others; equal average
    precisions keep their order. With few queries the groups shrink; a single one is the best.

    Args:
        average_precision: (Q,) fractions, nan for queries that were not scored.
        pids: (Q,) person of each query.
        best: Size of the group.
        middle: Size of the group, taken around the median.
        worst: Size of the group.
    """
    scored = np.flatnonzero(~np.isnan(average_precision))
    ascending = scored[np.argsort(average_precision[scored], kind="stable")]
    descending = scored[np.argsort(-average_precision[scored], kind="stable")]
    from_median = np.argsort(
        np.abs(np.arange(ascending.size) - (ascending.size - 1) / 2), kind="stable"
    )
    taken: set[int] = set()
    chosen: dict[str, list[int]] = {}
    share = max(1, ascending.size // 3)
    for group, order, size in (
        ("best", descending, best),
        ("worst", ascending, worst),
        ("middle", ascending[from_median], middle),
    ):
        chosen[group] = _pick(order, pids, min(size, share), taken)
    chosen["middle"].sort(key=lambda q: -average_precision[q])
    return {group: chosen[group] for group in ("best", "middle", "worst")}


def ranked_lists(
    per_query: PerQuery,
    pids: NDArray[np.int64],
    *,
    best: int = 4,
    middle: int = 3,
    worst: int = 4,
    answers: int = 10,
) -> list[RankedList]:
    """The ranked lists worth a look, best first.

    Args:
        per_query: Of a protocol's result; its rows are rows of the test table.
        pids: (N,) person of each row of the test table.
        best: Number of best queries.
        middle: Number of queries around the median.
        worst: Number of worst queries.
        answers: Gallery images per query, at most those that `per_query` holds.
    """
    groups = choose_queries(
        per_query.average_precision,
        pids[per_query.query_rows],
        best=best,
        middle=middle,
        worst=worst,
    )
    return [
        _ranked(per_query, q, group, answers)
        for group, positions in groups.items()
        for q in positions
    ]


def thumbnail(table: SampleTable, row: int, alt: str) -> Picture:
    """A row's image, small; a gray placeholder where it cannot be read."""
    image = load_or_placeholder(
        image_path(table, row),
        width=THUMBNAIL_HEIGHT_PX // 2,
        height=THUMBNAIL_HEIGHT_PX,
        deep_range=table.deep_range,
    )
    return as_jpeg(image, alt, max_width=THUMBNAIL_WIDTH_PX, max_height=THUMBNAIL_HEIGHT_PX)


def image_path(table: SampleTable, row: int) -> Path:
    """The file of a row."""
    return table.root / str(table.frame["path"][row])


def place_of(table: SampleTable, row: int) -> str:
    """Camera and light of a row, as far as they are known: `cam 3, infrared`."""
    light = Modality(int(table.modality[row])).name.lower()
    cam = int(table.cams[row])
    return light if cam == UNKNOWN_CAM else f"cam {cam}, {light}"


def ranked_sheet(lists: Sequence[RankedList], table: SampleTable) -> Image.Image:
    """The lists as one picture: a row per query, the query first."""
    rows = [_row_of(ranked, table) for ranked in lists]
    titles = [
        f"{ranked.group}: person {table.pids[ranked.row]}, AP {ranked.average_precision:.1%}, "
        f"first right answer at rank {ranked.first_rank}"
        for ranked in lists
    ]
    return image_grid(rows, titles=titles)


def _ranked(per_query: PerQuery, q: int, group: str, answers: int) -> RankedList:
    shown = tuple(
        Answer(row=int(row), right=bool(right), distance=float(distance))
        for row, right, distance in zip(
            per_query.gallery_rows[q, :answers],
            per_query.correct[q, :answers],
            per_query.distances[q, :answers],
            strict=True,
        )
        if row >= 0
    )
    hit = any(answer.right for answer in shown)
    first = Answer(
        row=int(per_query.first_row[q]), right=True, distance=float(per_query.first_distance[q])
    )
    return RankedList(
        group=group,
        row=int(per_query.query_rows[q]),
        average_precision=float(per_query.average_precision[q]),
        first_rank=int(per_query.first_rank[q]),
        answers=shown,
        first=None if hit else first,
    )


def _row_of(ranked: RankedList, table: SampleTable) -> list[Place]:
    """The query, its answers and, behind a gap, the first right one if it is none of these."""
    row: list[Place] = [_cell(table, ranked.row, Verdict.QUERY)]
    row += [
        _cell(table, answer.row, Verdict.RIGHT if answer.right else Verdict.WRONG)
        for answer in ranked.answers
    ]
    if ranked.first is not None:
        row.append(Heading(lines=("...", f"rank {ranked.first_rank}:")))
        row.append(_cell(table, ranked.first.row, Verdict.RIGHT))
    return row


def _cell(table: SampleTable, row: int, verdict: Verdict) -> Cell:
    lines = tuple(place_of(table, row).split(", "))
    return Cell(
        image=image_path(table, row), verdict=verdict, lines=lines, deep_range=table.deep_range
    )


def _pick(
    order: NDArray[np.int64], pids: NDArray[np.int64], size: int, taken: set[int]
) -> list[int]:
    free = [int(q) for q in order if int(q) not in taken]
    picked: list[int] = []
    people: set[int] = set()
    for q in free:
        if len(picked) < size and int(pids[q]) not in people:
            picked.append(q)
            people.add(int(pids[q]))
    picked += [q for q in free if q not in picked][: size - len(picked)]
    taken.update(picked)
    return sorted(picked, key=free.index)
