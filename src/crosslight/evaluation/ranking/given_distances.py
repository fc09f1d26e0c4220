"""Counts from distances that are given or made block by block, such as re-ranked ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.errors import ProtocolError
from crosslight.evaluation.ranking.distances import IntArray
from crosslight.evaluation.ranking.effort import Effort, Threads
from crosslight.evaluation.ranking.pooling import Pool
from crosslight.evaluation.ranking.rows import in_float
from crosslight.evaluation.ranking.tally import MET_BYTES, Counted, Tally, labelled

_DISTANCE_BYTES = 64 * 2**20


def count_distances(
    pool: Pool,
    rows_of: Callable[[IntArray, IntArray], npt.NDArray[Any]],
    *,
    top: int,
    people: bool,
    effort: Effort,
    path: str,
) -> Counted:
    """Counts from distances, a block of queries at a time.

    Args:
        pool: Queries and slots.
        rows_of: (rows of the query table, rows of the gallery table) → distances.
        top: How many nearest images of the first gallery to keep.
        people: Whether to count people as well as images.
        effort: The number of queries of a block.
        path: What `Counted.path` says.

    Raises:
        ProtocolError: A distance is not a number.
    """
    tally = Tally(pool, top, people)
    step = _step(pool, people=people, effort=effort)
    with Threads() as threads:
        for low in range(0, len(pool.query_rows), step):
            part = slice(low, min(low + step, len(pool.query_rows)))
            dist = in_float(rows_of(pool.query_rows[part], pool.slot_rows))
            _count(pool, tally, dist, part, threads)
    return tally.result(path)


def _step(pool: Pool, *, people: bool, effort: Effort) -> int:
    """How many queries are counted at once."""
    step = effort.block or int(
        np.clip(_DISTANCE_BYTES // (8 * max(len(pool.slot_rows), 1)), 1, 1024)
    )
    if people:
        step = min(step, max(MET_BYTES // (2 * pool.people * pool.member_bits.shape[1]), 1))
    return step


def _count(pool: Pool, tally: Tally, dist: npt.NDArray[Any], part: slice, threads: Threads) -> None:
    """Counts what comes before each positive of a block of queries."""
    from crosslight.evaluation.ranking import counting

    values = np.empty(dist.shape, dtype=np.float32)
    threads.over(len(dist), dist.size, lambda a, b: counting.nearness_of(dist[a:b], values[a:b]))
    if np.isnan(values[:, :1]).any():
        row, column = np.argwhere(np.isnan(dist))[0]
        raise ProtocolError(
            f"dist[{pool.query_rows[part.start + row]}, {pool.slot_rows[column]}] is not a number; "
            "compute the distances again."
        )
    positives = _positives(pool, tally, dist, part)
    labels, counts = labelled(pool, tally, positives, part)
    source, doubt = _exact(dist)
    threads.over(
        len(values),
        values.size,
        lambda a, b: counting.count_tile(
            values[None], 0, 0, a, b, positives, labels, counts, source, doubt
        ),
    )


def _positives(pool: Pool, tally: Tally, dist: npt.NDArray[Any], part: slice) -> Any:
    """The positives of a block of queries, the nearest first."""
    from crosslight.evaluation.ranking import people_met, records

    own = slice(int(pool.starts[part.start]), int(pool.starts[part.stop]))
    starts = pool.starts[part.start : part.stop + 1] - own.start
    owner = np.repeat(np.arange(part.stop - part.start), np.diff(starts))
    pairs = pool.positives[own]
    nearness = -dist[owner, pairs].astype(np.float64)
    people_met.order_positives(starts, pairs, nearness, tally.slots[own], tally.nearness[own])
    return records.Positives(
        starts=starts,
        slots=tally.slots[own],
        nearness=tally.nearness[own],
        own_starts=pool.own_starts,
        own_slots=pool.own_slots,
    )


def _exact(dist: npt.NDArray[Any]) -> tuple[Any, Any]:
    """Where the exact distances are, and that none is in doubt."""
    from crosslight.evaluation.ranking import records

    nothing = np.zeros((1, 1), dtype=np.float32)
    source = records.Source(
        kind=records.GIVEN,
        queries=dist,
        gallery=dist,
        terms=np.zeros(1),
        quick_queries=nothing,
        quick_gallery=nothing,
        offset=np.zeros(dist.shape[1], dtype=np.float32),
    )
    zero = np.zeros(len(dist))
    return source, records.Doubt(scale=np.ones(len(dist)), tile=zero, quick=zero)


def read_columns(rows: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """Columns of a block; all of them in order are not copied."""
    if len(columns) == rows.shape[1] and np.array_equal(columns, np.arange(len(columns))):
        return rows
    return np.ascontiguousarray(rows[:, columns])
