"""The positives in order, which people stand before the first one, who stands level with one.

A person counts once for each gallery. All galleries are looked at together, one bit each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from crosslight.evaluation.ranking.compiled import compiled
from crosslight.evaluation.ranking.records import Counts, Labelled, Positives


@compiled
def order_positives(
    starts: Any, pairs: Any, nearness: Any, ordered_pairs: Any, ordered_nearness: Any
) -> None:
    """Positives of each query, nearest first; equally near ones stay as they are."""
    for query in range(len(starts) - 1):
        begin, end = starts[query], starts[query + 1]
        order = np.argsort(-nearness[begin:end], kind="mergesort")
        for k in range(end - begin):
            ordered_pairs[begin + k] = pairs[begin + order[k]]
            ordered_nearness[begin + k] = nearness[begin + order[k]]


@compiled
def first_positives(positives: Positives, position: Any, first: Any) -> None:
    """The nearest positive of each query in each gallery, -1 without any."""
    for query in range(len(positives.starts) - 1):
        begin = positives.starts[query]
        for k in range(positives.starts[query + 1] - begin):
            for t in range(position.shape[1]):
                place = position[positives.slots[begin + k], t]
                if place < 0:
                    continue
                best = first[query, t]
                if best < 0 or (
                    positives.nearness[begin + k] == positives.nearness[begin + best]
                    and place < position[positives.slots[begin + best], t]
                ):
                    first[query, t] = k


@compiled
def open_galleries(labels: Labelled, query: int) -> Any:
    """`(F, B)` bits of the galleries whose first positive is number k or a later one."""
    words = labels.member_bits.shape[1]
    result = np.zeros((labels.last_first[query] + 1, words), np.uint16)
    for t in range(labels.first.shape[1]):
        for k in range(labels.first[query, t] + 1):
            result[k, t // 16] |= np.uint16(1 << (t % 16))
    return result


@compiled
def meet(labels: Labelled, counts: Counts, query: int, slot: int, open_bits: Any) -> None:
    """Notes the person of a slot in the galleries `open_bits` that show the slot."""
    who = labels.person[slot]
    for word in range(len(open_bits)):
        known = counts.met[query, who, word]
        new = open_bits[word] & labels.member_bits[slot, word] & ~known
        if new == 0:
            continue
        counts.met[query, who, word] = known | new
        for bit in range(min(16, labels.first.shape[1] - 16 * word)):
            counts.people[query, 16 * word + bit] += (new >> bit) & 1


@compiled
def note_ties(
    positives: Positives,
    labels: Labelled,
    counts: Counts,
    query: int,
    begin: int,
    slot: int,
    place: int,
    ties: int,
) -> None:
    """A slot exactly as near as positives `place` to `ties`: the order of a gallery decides."""
    bits = np.zeros(labels.member_bits.shape[1], np.uint16)
    for t in range(labels.position.shape[1]):
        position = labels.position[slot, t]
        if position < 0:
            continue
        for k in range(place, ties):
            if position < labels.position[positives.slots[begin + k], t]:
                counts.tied[begin + k, t] += 1
        first = labels.first[query, t]
        if ties <= first or (
            place <= first and position < labels.position[positives.slots[begin + first], t]
        ):
            bits[t // 16] |= np.uint16(1 << (t % 16))
    if place <= labels.last_first[query]:
        meet(labels, counts, query, slot, bits)
