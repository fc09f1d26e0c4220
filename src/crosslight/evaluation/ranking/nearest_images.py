"""Lists of the nearest images of each query, kept while tiles pass by."""

from __future__ import annotations

from typing import Any

from crosslight.evaluation.ranking.compiled import compiled
from crosslight.evaluation.ranking.records import (
    LOWEST,
    Counts,
    Positives,
    Source,
    exact_nearness,
    surely_farther,
)


@compiled
def keep_nearest(nearness: Any, slots: Any, value: float, slot: int, position: Any) -> None:
    """Puts a slot into a list of the nearest, ordered by (nearness, position in the gallery)."""
    last = len(slots) - 1
    if slots[last] >= 0 and (
        value < nearness[last]
        or (value == nearness[last] and position[slot] > position[slots[last]])
    ):
        return
    at = last
    while at > 0 and (
        slots[at - 1] < 0
        or nearness[at - 1] < value
        or (nearness[at - 1] == value and position[slots[at - 1]] > position[slot])
    ):
        nearness[at] = nearness[at - 1]
        slots[at] = slots[at - 1]
        at -= 1
    nearness[at] = value
    slots[at] = slot


@compiled
def keep_positives(positives: Positives, position: Any, counts: Counts) -> None:
    """Puts the positives into the lists of the nearest."""
    places = position[:, counts.top_gallery]
    for query in range(len(positives.starts) - 1):
        for p in range(positives.starts[query], positives.starts[query + 1]):
            if places[positives.slots[p]] >= 0:
                keep_nearest(
                    counts.top_nearness[query],
                    counts.top_slot[query],
                    positives.nearness[p],
                    positives.slots[p],
                    places,
                )


@compiled
def top_limit(counts: Counts, query: int, scale: float, width: float, top: Any) -> Any:
    """A value below this one does not belong to the nearest images."""
    last = counts.top_slot.shape[1] - 1
    if counts.top_slot[query, last] < 0:
        return top
    return max(top, surely_farther(counts.top_nearness[query, last] * scale, width))


@compiled
def settle(
    source: Source,
    query: int,
    row: int,
    first_slot: int,
    counts: Counts,
    top_position: Any,
    scale: float,
    width: float,
    values: Any,
    columns: Any,
    count: int,
    sums: Any,
) -> None:
    """Exact nearness of the candidates, best first, until the rest cannot enter the list.

    Candidates of equal approximate nearness, infinite ones among them, are all looked at.
    """
    limit = LOWEST
    for n in range(count):
        limit = top_limit(counts, query, scale, width, limit)
        if values[n] < limit:
            return
        keep_nearest(
            counts.top_nearness[query],
            counts.top_slot[query],
            exact_nearness(source, query, row, columns[n], sums),
            first_slot + columns[n],
            top_position,
        )
