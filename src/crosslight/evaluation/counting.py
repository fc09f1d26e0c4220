"""The inner loop of ranking: how many images come before each right answer, without sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from crosslight.evaluation.arithmetic import LANES, quick_dot
from crosslight.evaluation.compiled import compiled, compiled_without_nan
from crosslight.evaluation.nearest_images import settle, top_limit
from crosslight.evaluation.people_met import meet, note_ties, open_galleries
from crosslight.evaluation.records import (
    FARTHEST,
    LOWEST,
    Answers,
    Counts,
    Doubt,
    Labelled,
    Source,
    exact_nearness,
    surely_farther,
    surely_nearer,
)

_CHUNK = 256
_WAITING = 24
_MOST_PASSED = 2**16 - 1
_HIDDEN = np.float32(-np.inf)


@compiled
def _largest_bits(bits: Any, count: int) -> Any:
    # The bit pattern of the largest float32: as integers, with negative ones turned round, they
    # have the same order, and integers are compared many at a time.
    turn = np.int32(0x7FFFFFFF)
    largest = np.int32(-(2**31))
    for j in range(count):
        key = bits[j]
        largest = max(largest, key if key >= 0 else key ^ turn)
    return largest if largest >= 0 else largest ^ turn


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


@compiled_without_nan
def _count_nearer(values: Any, count: int, low: Any, high: Any, start: int, nearer: Any) -> Any:
    # How many values are surely nearer than each right answer; returns how many may be as well.
    # Counted in float32, which is exact here and done for many values at a time.
    one, zero = np.float32(1.0), np.float32(0.0)
    doubts = zero
    last = len(low) - 1
    k = start
    while k <= last:
        q, r, s = min(k + 1, last), min(k + 2, last), min(k + 3, last)
        a, b, c, d = high[k], high[q], high[r], high[s]
        e, f, g, h = low[k], low[q], low[r], low[s]
        sure_a = sure_b = sure_c = sure_d = zero
        maybe_a = maybe_b = maybe_c = maybe_d = zero
        for j in range(count):
            x = values[j]
            sure_a += one if x > a else zero
            sure_b += one if x > b else zero
            sure_c += one if x > c else zero
            sure_d += one if x > d else zero
            maybe_a += one if x >= e else zero
            maybe_b += one if x >= f else zero
            maybe_c += one if x >= g else zero
            maybe_d += one if x >= h else zero
        doubts += (maybe_a - sure_a) + (maybe_b - sure_b)
        doubts += (maybe_c - sure_c) + (maybe_d - sure_d)
        nearer[k], nearer[q] = np.int64(sure_a), np.int64(sure_b)
        nearer[r], nearer[s] = np.int64(sure_c), np.int64(sure_d)
        k += 4
    return doubts


@compiled
def _pick(values: Any, count: int, limit: Any, picked: Any, where: Any) -> int:
    # The values that are not below the limit, and where they stand.
    found = 0
    for j in range(count):
        picked[found] = values[j]
        where[found] = j
        found += values[j] >= limit
    return found


@compiled
def _find(values: Any, count: int, limit: Any, where: Any) -> int:
    # The same where few are expected.
    found = 0
    for j in range(count):
        if values[j] >= limit:
            where[found] = j
            found += 1
    return found


@compiled
def _carry(passed: Any, before: Any, begin: int) -> None:
    # From the small counters of one query to the large ones.
    for k in range(passed.shape[0]):
        for t in range(before.shape[1]):
            before[begin + k, t] += passed[k, t]
    passed[:] = 0


@compiled
def nearness_of(dist: Any, out: Any) -> None:
    """float32 nearness of distances, larger is nearer; a row with a nan begins with one."""
    for i in range(dist.shape[0]):
        bad = 0
        for j in range(dist.shape[1]):
            value = -dist[i, j]
            bad += value != value
            out[i, j] = np.float32(min(max(value, -FARTHEST), FARTHEST))
        if bad > 0:
            out[i, 0] = np.nan


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
    bits, result = x.view(np.int32), np.empty(1, np.int32)
    result_as_float = result.view(np.float32)
    picked, where = np.empty(_CHUNK, np.float32), np.empty(_CHUNK, np.int64)
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
            low[k] = surely_farther(middle, width, relative)
            high[k] = surely_nearer(middle, width, relative)
        top = LOWEST
        # One gallery, no people, few doubts: a chunk without any needs no look at single entries.
        plain = (
            galleries == 1 and labels.last_first[query] < 0 and width <= 4.0 * doubt.quick[query]
        )
        nearer = np.empty(right, np.int64)
        passed = np.zeros((right, 4 * labels.member.shape[1]), np.uint16)
        passed_words = passed.view(np.uint64)
        uncarried = 0
        open_bits = open_galleries(labels, query)
        waiting, next_top = 0, 0
        if tops > 0:
            next_top = int(np.searchsorted(counts.top_slots, first_slot))
            top = top_limit(counts, query, scale, width, relative, top)
        person = labels.query_person[query]
        own = answers.own_slots[answers.own_starts[person] : answers.own_starts[person + 1]]
        next_own = np.searchsorted(own, first_slot)
        hides = labels.query_hides[query]
        for left in range(0, columns, _CHUNK):
            count = min(_CHUNK, columns - left)
            for j in range(count):
                x[j] = values[row, left + j] - source.offset[left + j]
            if hides >= 0:
                hidden = labels.hidden[hides, first_slot + left : first_slot + left + count]
                for j in range(count):
                    x[j] = _HIDDEN if hidden[j] else x[j]
            while next_own < len(own) and own[next_own] < first_slot + left + count:
                x[own[next_own] - first_slot - left] = _HIDDEN
                next_own += 1
            result[0] = _largest_bits(bits, count)
            largest = result_as_float[0]
            if tops > 0 and largest >= top:
                if len(counts.top_slots) == len(top_position):
                    shown = _find(x, count, top, where)
                else:
                    shown = 0
                    while next_top < len(counts.top_slots):
                        j = counts.top_slots[next_top] - first_slot - left
                        if j >= count:
                            break
                        where[shown] = j
                        shown += j >= 0 and x[j] >= top
                        next_top += 1
                for c in range(shown):
                    j = where[c]
                    if x[j] < top:
                        continue
                    if waiting == len(wait_value):
                        settle(
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
                        top = top_limit(counts, query, scale, width, relative, top)
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
                        top = max(top, surely_farther(least, width, relative))
            if right == 0 or largest < low[right - 1]:
                continue
            nearest = 0
            while low[nearest] > largest:
                nearest += 1
            if plain and _count_nearer(x, count, low, high, nearest, nearer) == 0:
                counted = 0
                for k in range(nearest, right):
                    counts.before[begin + k, 0] += nearer[k] - counted
                    counted = nearer[k]
                continue
            candidates = _pick(x, count, low[right - 1], picked, where)
            _classify(picked, candidates, low, high, nearest, maybe, sure)
            if uncarried + candidates > _MOST_PASSED:
                _carry(passed, counts.before, begin)
                uncarried = 0
            uncarried += candidates
            for c in range(candidates):
                place = sure[c]
                if place == right:
                    continue
                slot = first_slot + left + where[c]
                ties = place
                if maybe[c] != place:
                    counts.redone[query] += 1
                    place, ties = _decide(
                        source,
                        query,
                        row,
                        left + where[c],
                        answers.nearness[begin:end],
                        place,
                        maybe[c],
                        scale,
                        doubt.quick[query],
                        width,
                        sums,
                    )
                if ties < right:
                    for word in range(passed_words.shape[1]):
                        passed_words[ties, word] += labels.member[slot, word]
                if place != ties:
                    note_ties(answers, labels, counts, query, begin, slot, place, ties)
                elif place < len(open_bits):
                    meet(labels, counts, query, slot, open_bits[place])
        if uncarried > 0:
            _carry(passed, counts.before, begin)
        if waiting > 0:
            settle(
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
