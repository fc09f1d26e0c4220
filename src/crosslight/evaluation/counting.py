"""The inner loop of ranking: how many gallery images come before each right answer, without sorting.

Shapes: R queries of a tile, C gallery slots of a tile, U all slots, T galleries, P right answers of
all queries together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crosslight.evaluation.arithmetic import LANES, exact_dot, quick_dot
from crosslight.evaluation.compiled import compiled, compiled_without_nan

DOT, COSINE, EUCLIDEAN, GIVEN = 0, 1, 2, 3
"""What nearness is made of: an inner product, the same by the gallery row's length, or that minus
half its square; or a given matrix of distances."""

_CHUNK = 256
_WAITING = 24
_LOWEST = np.float32(-3.4028235e38)
_HIGHEST = 3.4e38
_HIDDEN = np.float32(-np.inf)


class Answers(NamedTuple):
    """The right answers of the queries, nearest first, in the order of (nearness, slot).

    Attributes:
        starts: `(Q + 1,)`.
        slots: `(P,)`.
        nearness: `(P,)` float64, larger is nearer.
        own_starts, own_slots: All slots of the query's person, ascending; `own_starts[p]` belongs
            to person p.
    """

    starts: Any
    slots: Any
    nearness: Any
    own_starts: Any
    own_slots: Any


class Labelled(NamedTuple):
    """Who is where.

    Attributes:
        query_person: `(Q,)`.
        query_hides: `(Q,)` row of `hidden`, -1 where no camera is hidden.
        person: `(U,)`.
        hidden: `(H, U)` whether the slot is hidden from the query.
        position: `(U, T)` place of the slot in each gallery, -1 where it is not in it.
        last_first: `(Q,)` see `Counts`; -1 to count no people.
    """

    query_person: Any
    query_hides: Any
    person: Any
    hidden: Any
    position: Any
    last_first: Any
    first: Any


class Counts(NamedTuple):
    """What is counted.

    Attributes:
        before: `(P, T)` wrong images that stand between right answer p - 1 and p of a query.
        tied: `(P, T)` wrong images exactly as near as p that stand before it in the gallery.
        met: `(Q, people, T)` whether the person was met before the first right answer.
        people: `(Q, T)` how many were met.
        redone: `(Q,)` entries that the tile did not decide.
        top_nearness: `(Q, K)` the nearest images of gallery 0.
        top_slot: `(Q, K)`, -1 where there is none yet.
        top_gallery: Which gallery these are of.
    """

    before: Any
    tied: Any
    met: Any
    people: Any
    redone: Any
    top_nearness: Any
    top_slot: Any
    top_gallery: int


class Source(NamedTuple):
    """What the exact nearness of an entry comes from.

    Attributes:
        kind: DOT, COSINE, EUCLIDEAN or GIVEN.
        queries: `(Q, D)` rows as given, or `(R, C)` distances.
        gallery: `(C, D)` rows as given.
        terms: `(C,)` float64, COSINE: lengths of the gallery rows, EUCLIDEAN: half their squares.
        quick_queries: `(Q, D)` float32 scaled rows.
        quick_gallery: `(C, D)` the same of the gallery.
        offset: `(C,)` float32 to subtract from an inner product.
    """

    kind: int
    queries: Any
    gallery: Any
    terms: Any
    quick_queries: Any
    quick_gallery: Any
    offset: Any


class Doubt(NamedTuple):
    """How far a value may be from the scaled nearness, per query.

    Attributes:
        scale: `(Q,)` scaled nearness = scale * nearness.
        tile: `(Q,)` of a value of the tile.
        quick: `(Q,)` of an inner product in float32; as large as `tile` if that is one.
        relative: Further error of a value of the tile, as a part of the value.
    """

    scale: Any
    tile: Any
    quick: Any
    relative: float


@compiled
def exact_nearness(source: Source, query: int, row: int, column: int, sums: Any) -> Any:
    if source.kind == GIVEN:
        return -np.float64(source.queries[row, column])
    value = exact_dot(source.queries[query], source.gallery[column], sums)
    if source.kind == COSINE:
        return value / source.terms[column]
    if source.kind == EUCLIDEAN:
        return value - source.terms[column]
    return value


@compiled_without_nan
def _largest(values: Any, count: int) -> Any:
    largest = _HIDDEN
    for j in range(count):
        largest = max(largest, values[j])
    return largest


@compiled
def _classify(
    values: Any, count: int, low: Any, high: Any, start: int, maybe: Any, sure: Any
) -> None:
    # How many right answers stand, perhaps and surely, before each value.
    for j in range(count):
        maybe[j] = start
        sure[j] = start
    k = start
    while k + 4 <= len(low):
        a, b, c, d = high[k], high[k + 1], high[k + 2], high[k + 3]
        e, f, g, h = low[k], low[k + 1], low[k + 2], low[k + 3]
        for j in range(count):
            x = values[j]
            maybe[j] += np.int32(x <= a) + np.int32(x <= b) + np.int32(x <= c) + np.int32(x <= d)
            sure[j] += np.int32(x < e) + np.int32(x < f) + np.int32(x < g) + np.int32(x < h)
        k += 4
    while k < len(low):
        a, e = high[k], low[k]
        for j in range(count):
            maybe[j] += np.int32(values[j] <= a)
            sure[j] += np.int32(values[j] < e)
        k += 1


@compiled
def _surely_farther(scaled: float, width: float, relative: float) -> Any:
    # A float32 value below this one belongs to an entry that is farther than `scaled`.
    value = scaled - width
    value -= relative * abs(value)
    if value < _LOWEST:
        return _LOWEST
    return np.nextafter(np.float32(min(value, _HIGHEST)), _HIDDEN)


@compiled
def _surely_nearer(scaled: float, width: float, relative: float) -> Any:
    value = scaled + width
    value += relative * abs(value)
    if value < _LOWEST:
        return _LOWEST
    return np.nextafter(np.float32(min(value, _HIGHEST)), np.float32(np.inf))


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
def nearness_of(dist: Any, out: Any) -> None:
    """float32 nearness of distances, larger is nearer; a row with a nan begins with one."""
    for i in range(dist.shape[0]):
        bad = 0
        for j in range(dist.shape[1]):
            value = -dist[i, j]
            bad += value != value
            out[i, j] = np.float32(min(max(value, -3.4028234e38), 3.4e38))
        if bad > 0:
            out[i, 0] = np.nan


@compiled
def first_answers(answers: Answers, position: Any, first: Any) -> None:
    """The nearest right answer of each query in each gallery, -1 without any."""
    for query in range(len(answers.starts) - 1):
        begin = answers.starts[query]
        for k in range(answers.starts[query + 1] - begin):
            for t in range(position.shape[1]):
                place = position[answers.slots[begin + k], t]
                if place < 0:
                    continue
                best = first[query, t]
                if best < 0 or (
                    answers.nearness[begin + k] == answers.nearness[begin + best]
                    and place < position[answers.slots[begin + best], t]
                ):
                    first[query, t] = k


@compiled
def keep_answers(answers: Answers, position: Any, counts: Counts) -> None:
    """Puts the right answers into the lists of the nearest."""
    places = position[:, counts.top_gallery]
    for query in range(len(answers.starts) - 1):
        for p in range(answers.starts[query], answers.starts[query + 1]):
            if places[answers.slots[p]] >= 0:
                keep_nearest(
                    counts.top_nearness[query],
                    counts.top_slot[query],
                    answers.nearness[p],
                    answers.slots[p],
                    places,
                )


@compiled
def _top_limit(
    counts: Counts, query: int, scale: float, width: float, relative: float, top: Any
) -> Any:
    # A value below this one does not belong to the nearest images.
    last = counts.top_slot.shape[1] - 1
    if counts.top_slot[query, last] < 0:
        return top
    return max(top, _surely_farther(counts.top_nearness[query, last] * scale, width, relative))


@compiled
def _settle(
    source: Source,
    query: int,
    row: int,
    first_slot: int,
    counts: Counts,
    top_position: Any,
    scale: float,
    doubt: Doubt,
    values: Any,
    columns: Any,
    count: int,
    sums: Any,
) -> None:
    # Exact nearness of the candidates, best first, until the rest cannot enter the list.
    limit = _LOWEST
    for n in range(count):
        limit = _top_limit(counts, query, scale, doubt.tile[query], doubt.relative, limit)
        if values[n] < limit:
            return
        keep_nearest(
            counts.top_nearness[query],
            counts.top_slot[query],
            exact_nearness(source, query, row, columns[n], sums),
            first_slot + columns[n],
            top_position,
        )


@compiled
def count_tile(
    values: Any,
    first_query: int,
    first_slot: int,
    low_row: int,
    high_row: int,
    answers: Answers,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
) -> None:
    """Counts a tile of approximate nearness: queries from `first_query`, slots from `first_slot`.

    Rows `low_row` to `high_row` are worked on, so that threads share a tile.
    """
    columns = values.shape[1]
    galleries = labels.position.shape[1]
    tops = counts.top_slot.shape[1]
    top_position = labels.position[:, counts.top_gallery]
    x = np.empty(_CHUNK, np.float32)
    maybe = np.empty(_CHUNK, np.int32)
    sure = np.empty(_CHUNK, np.int32)
    sums = np.empty(LANES, np.float64)
    wait_value = np.empty(2 * tops + _WAITING, np.float32)
    wait_column = np.empty(2 * tops + _WAITING, np.int64)
    relative = doubt.relative
    for row in range(low_row, high_row):
        query = first_query + row
        begin, end = answers.starts[query], answers.starts[query + 1]
        right = end - begin
        scale, width = doubt.scale[query], doubt.tile[query]
        low, high = np.empty(right, np.float32), np.empty(right, np.float32)
        for k in range(right):
            middle = answers.nearness[begin + k] * scale
            low[k] = _surely_farther(middle, width, relative)
            high[k] = _surely_nearer(middle, width, relative)
        top = _LOWEST
        waiting = 0
        if tops > 0:
            top = _top_limit(counts, query, scale, width, relative, top)
        person = labels.query_person[query]
        own = answers.own_slots[answers.own_starts[person] : answers.own_starts[person + 1]]
        next_own = np.searchsorted(own, first_slot)
        hides = labels.query_hides[query]
        for left in range(0, columns, _CHUNK):
            count = min(_CHUNK, columns - left)
            for j in range(count):
                x[j] = values[row, left + j] - source.offset[left + j]
            if hides >= 0:
                for j in range(count):
                    if labels.hidden[hides, first_slot + left + j]:
                        x[j] = _HIDDEN
            while next_own < len(own) and own[next_own] < first_slot + left + count:
                x[own[next_own] - first_slot - left] = _HIDDEN
                next_own += 1
            largest = _largest(x, count)
            if tops > 0 and largest >= top:
                for j in range(count):
                    if not (x[j] >= top and top_position[first_slot + left + j] >= 0):
                        continue
                    if waiting == len(wait_value):
                        _settle(
                            source,
                            query,
                            row,
                            first_slot,
                            counts,
                            top_position,
                            scale,
                            doubt,
                            wait_value,
                            wait_column,
                            waiting,
                            sums,
                        )
                        waiting = 0
                        top = _top_limit(counts, query, scale, width, relative, top)
                    at = waiting
                    while at > 0 and wait_value[at - 1] < x[j]:
                        wait_value[at] = wait_value[at - 1]
                        wait_column[at] = wait_column[at - 1]
                        at -= 1
                    wait_value[at] = x[j]
                    wait_column[at] = left + j
                    waiting += 1
                    if waiting >= tops:
                        # That many are nearer than this, whatever the errors are.
                        least = np.float64(wait_value[tops - 1])
                        least -= relative * abs(least) + width
                        top = max(top, _surely_farther(least, width, relative))
            if right == 0 or largest < low[right - 1]:
                continue
            nearest = 0
            while low[nearest] > largest:
                nearest += 1
            _classify(x, count, low, high, nearest, maybe, sure)
            for j in range(count):
                place = sure[j]
                if place == right:
                    continue
                slot = first_slot + left + j
                ties = place
                if maybe[j] != place:
                    counts.redone[query] += 1
                    place, ties = _decide(
                        source,
                        query,
                        row,
                        left + j,
                        answers.nearness[begin:end],
                        place,
                        maybe[j],
                        scale,
                        doubt.quick[query],
                        width,
                        sums,
                    )
                for t in range(galleries):
                    position = labels.position[slot, t]
                    if position < 0:
                        continue
                    for k in range(place, ties):
                        if position < labels.position[answers.slots[begin + k], t]:
                            counts.tied[begin + k, t] += 1
                    if ties < right:
                        counts.before[begin + ties, t] += 1
                    if place <= labels.last_first[query]:
                        first = labels.first[query, t]
                        who = labels.person[slot]
                        if (
                            ties <= first
                            or (
                                place <= first
                                and position < labels.position[answers.slots[begin + first], t]
                            )
                        ) and not counts.met[query, who, t]:
                            counts.met[query, who, t] = True
                            counts.people[query, t] += 1
        if waiting > 0:
            _settle(
                source,
                query,
                row,
                first_slot,
                counts,
                top_position,
                scale,
                doubt,
                wait_value,
                wait_column,
                waiting,
                sums,
            )


@compiled
def _decide(
    source: Source,
    query: int,
    row: int,
    column: int,
    nearness: Any,
    place: int,
    end: int,
    scale: float,
    quick_width: float,
    width: float,
    sums: Any,
) -> Any:
    # Right answers `place` to `end` are too near to the value of the tile: first a product in
    # float32, then the exact one. Returns the range of right answers that are exactly as near.
    if quick_width < width:
        value = np.float64(
            quick_dot(source.quick_queries[query], source.quick_gallery[column])
            - source.offset[column]
        )
        while place < end and value < nearness[place] * scale - quick_width:
            place += 1
        sure_end = place
        while sure_end < end and value <= nearness[sure_end] * scale + quick_width:
            sure_end += 1
        end = sure_end
        if place == end:
            return place, place
    exact = exact_nearness(source, query, row, column, sums)
    while place < end and exact < nearness[place]:
        place += 1
    ties = place
    while ties < end and exact == nearness[ties]:
        ties += 1
    return place, ties


@compiled
def collect_ranks(
    answers: Answers, position: Any, before: Any, tied: Any, t: int, starts: Any, ranks: Any
) -> None:
    """Ranks of the right answers of gallery `t`, ascending per query; `starts` is filled too."""
    written = 0
    starts[0] = 0
    for query in range(len(answers.starts) - 1):
        begin, end = answers.starts[query], answers.starts[query + 1]
        total, found = 0, 0
        for p in range(begin, end):
            total += before[p, t]
            place = position[answers.slots[p], t]
            if place < 0:
                continue
            # Right answers that are equally near stand in the order of this gallery.
            earlier = 0
            other = p - 1
            while other >= begin and answers.nearness[other] == answers.nearness[p]:
                if position[answers.slots[other], t] > place:
                    earlier -= 1
                other -= 1
            other = p + 1
            while other < end and answers.nearness[other] == answers.nearness[p]:
                place_of_other = position[answers.slots[other], t]
                if 0 <= place_of_other < place:
                    earlier += 1
                other += 1
            ranks[written + found + earlier] = total + tied[p, t] + found + earlier + 1
            found += 1
        written += found
        starts[query + 1] = written
