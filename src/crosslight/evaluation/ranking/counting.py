"""The inner loop of ranking: how many images come before each positive, without sorting.

The positives of a query cut the values into as many intervals and one. A value finds its interval
by its bucket, one of 512 of equal width, whatever the number of positives; values in a bucket with
an edge are compared with the edges, and those nearer to a positive than the error of a value are
decided in float64.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crosslight.evaluation.ranking.arithmetic import LANES, quick_dot
from crosslight.evaluation.ranking.bounds import QUICK_LANES
from crosslight.evaluation.ranking.compiled import compiled
from crosslight.evaluation.ranking.nearest_images import settle, top_limit
from crosslight.evaluation.ranking.people_met import meet, note_ties, open_galleries
from crosslight.evaluation.ranking.records import (
    FARTHEST,
    LOWEST,
    Counts,
    Doubt,
    Labelled,
    Positives,
    Source,
    exact_nearness,
    surely_farther,
    surely_nearer,
)

_CHUNK = 256
_BUCKETS = 512
_WAITING = 24
_MOST_PASSED = 2**16 - 1
_INFINITY = np.float32(np.inf)
_HIDDEN = np.float32(-np.inf)


class Scratch(NamedTuple):
    """Memory that the rows of a tile use one after another.

    Attributes:
        x: Values of a chunk.
        bits: The same memory as int32.
        bucket: Their buckets.
        where: Values of the chunk that need a look.
        table: `Edges.table`.
        filled: How many values of a row fell into each bucket.
        found, found_bits: One number, as float32 and as int32.
        sums, quick_sums: For inner products.
        wait_value, wait_column: Candidates for the nearest images.
    """

    x: Any
    bits: Any
    bucket: Any
    where: Any
    table: Any
    filled: Any
    found: Any
    found_bits: Any
    sums: Any
    quick_sums: Any
    wait_value: Any
    wait_column: Any


class Edges(NamedTuple):
    """The positives of a query among the values of a tile.

    Attributes:
        low, high: `(P,)` float32; a value below `low[k]` is farther than positive k, one above
            `high[k]` nearer, nearest positive first.
        base, inverse: Where the buckets begin, and one over their width.
        table: `(512,)` number of positives nearer than all values of the bucket; plus P + 1 where
            an edge lies in the bucket.
    """

    low: Any
    high: Any
    base: Any
    inverse: Any
    table: Any


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
def _find(values: Any, count: int, limit: Any, where: Any) -> int:
    # Where the values stand that are not below the limit, of which few are expected.
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
def _read(values: Any, row: int, left: int, count: int, offset: Any, x: Any) -> None:
    parts = values.shape[0]
    first = values[0, row, left : left + count]
    for j in range(count):
        x[j] = first[j]
    for part in range(1, parts):
        more = values[part, row, left : left + count]
        for j in range(count):
            x[j] += more[j]
    less = offset[left : left + count]
    for j in range(count):
        x[j] -= less[j]


@compiled
def _hide(
    labels: Labelled, query: int, first: int, count: int, own: Any, next_own: int, x: Any
) -> Any:
    # What the camera rule hides, and all images of the query's person: the positives are known.
    hides = labels.query_hides[query]
    if hides >= 0:
        hidden = labels.hidden[hides, first : first + count]
        for j in range(count):
            x[j] = _HIDDEN if hidden[j] else x[j]
    while next_own < len(own) and own[next_own] < first + count:
        x[own[next_own] - first] = _HIDDEN
        next_own += 1
    return next_own


@compiled
def _bucket(value: Any, base: Any, inverse: Any) -> Any:
    # Never falls while the value rises, which is all that is asked of it.
    place = (value - base) * inverse
    place = place if place > np.float32(0.0) else np.float32(0.0)
    place = place if place < np.float32(_BUCKETS - 1) else np.float32(_BUCKETS - 1)
    return np.uint16(np.int32(place))


@compiled
def _edges(nearness: Any, scale: float, width: float, table: Any) -> Edges:
    count = len(nearness)
    low, high = np.empty(count, np.float32), np.empty(count, np.float32)
    for k in range(count):
        low[k] = surely_farther(nearness[k] * scale, width)
        high[k] = surely_nearer(nearness[k] * scale, width)
    base, inverse = np.float32(0.0), np.float32(1.0)
    if count > 0:
        # Values below the last edge and above the first have buckets of their own.
        wide = np.float64(high[0]) - np.float64(low[count - 1])
        inverse = np.float32((_BUCKETS - 4) / wide)
        base = np.nextafter(np.float32(low[count - 1] - 2.0 * wide / (_BUCKETS - 4)), -_INFINITY)
    bucket = _BUCKETS - 1
    for k in range(count):
        last, first = _bucket(high[k], base, inverse), _bucket(low[k], base, inverse)
        while bucket > last:
            table[bucket] = k
            bucket -= 1
        while bucket >= first:
            table[bucket] = k + count + 1
            bucket -= 1
    while bucket >= 0:
        table[bucket] = count
        bucket -= 1
    return Edges(low, high, base, inverse, table)


@compiled
def _place(x: Any, count: int, base: Any, inverse: Any, bucket: Any) -> None:
    for j in range(count):
        bucket[j] = _bucket(x[j], base, inverse)


@compiled
def _fill(bucket: Any, count: int, table: Any, behind: int, filled: Any, where: Any) -> int:
    # Counts a chunk into its buckets and lists the values whose bucket holds an edge.
    listed = 0
    for j in range(count):
        b = bucket[j]
        filled[b] += 1
        if table[b] > behind:
            where[listed] = j
            listed += 1
    return listed


@compiled
def _list(bucket: Any, count: int, table: Any, behind: int, where: Any) -> int:
    # The values that are not surely behind the last positive.
    listed = 0
    for j in range(count):
        if table[bucket[j]] != behind:
            where[listed] = j
            listed += 1
    return listed


@compiled
def _decide(
    source: Source,
    query: int,
    row: int,
    column: int,
    nearness: Any,
    place: int,
    end: int,
    doubt: Doubt,
    scratch: Scratch,
) -> Any:
    # Positives `place` to `end` are too near to the value of the tile: first a better product in
    # float32, then the exact one. Returns the range of positives that are exactly as near.
    quick_width, scale = doubt.quick[query], doubt.scale[query]
    if quick_width < doubt.tile[query]:
        value = np.float64(
            quick_dot(source.quick_queries[query], source.quick_gallery[column], scratch.quick_sums)
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
    exact = exact_nearness(source, query, row, column, scratch.sums)
    while place < end and exact < nearness[place]:
        place += 1
    ties = place
    while ties < end and exact == nearness[ties]:
        ties += 1
    return place, ties


@compiled
def _count_looked_at(
    row: int,
    query: int,
    first_slot: int,
    left: int,
    listed: int,
    edges: Edges,
    plain: bool,
    numbers: Any,
    passed: Any,
    open_bits: Any,
    positives: Positives,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
    scratch: Scratch,
) -> None:
    low, high, table = edges.low, edges.high, edges.table
    x, where, bucket, member = scratch.x, scratch.where, scratch.bucket, labels.member
    behind = len(low)
    begin = positives.starts[query]
    words = passed.view(np.uint64)
    for n in range(listed):
        column, place = left + where[n], table[bucket[where[n]]]
        ties = place
        if place > behind:
            value = x[where[n]]
            place -= behind + 1
            while place < behind and value < low[place]:
                place += 1
            ties = place
            while ties < behind and value <= high[ties]:
                ties += 1
            if ties > place:
                counts.redone[query] += 1
                place, ties = _decide(
                    source,
                    query,
                    row,
                    column,
                    positives.nearness[begin : begin + behind],
                    place,
                    ties,
                    doubt,
                    scratch,
                )
        if place == behind:
            continue
        slot = first_slot + column
        if ties < behind:
            if plain:
                numbers[ties] += 1
            else:
                for word in range(words.shape[1]):
                    words[ties, word] += member[slot, word]
        if place != ties:
            note_ties(positives, labels, counts, query, begin, slot, place, ties)
        elif place < len(open_bits):
            meet(labels, counts, query, slot, open_bits[place])


@compiled
def _settle(
    row: int,
    query: int,
    first_slot: int,
    waiting: int,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
    scratch: Scratch,
) -> None:
    settle(
        source,
        query,
        row,
        first_slot,
        counts,
        labels.position[:, counts.top_gallery],
        doubt.scale[query],
        doubt.tile[query],
        scratch.wait_value,
        scratch.wait_column,
        waiting,
        scratch.sums,
    )


@compiled
def _offer(
    row: int,
    query: int,
    first_slot: int,
    left: int,
    count: int,
    top: Any,
    waiting: int,
    next_top: int,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
    scratch: Scratch,
) -> Any:
    # Values that may belong to the nearest images wait, largest first, until they are many.
    x, where = scratch.x, scratch.where
    wait_value, wait_column = scratch.wait_value, scratch.wait_column
    tops = counts.top_slot.shape[1]
    scale, width = doubt.scale[query], doubt.tile[query]
    shown = 0
    if len(counts.top_slots) == labels.position.shape[0]:
        shown = _find(x, count, top, where)
    else:
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
            _settle(row, query, first_slot, waiting, labels, counts, source, doubt, scratch)
            waiting = 0
            top = top_limit(counts, query, scale, width, top)
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
            least = np.float64(wait_value[tops - 1]) - width
            top = max(top, surely_farther(least, width))
    return top, waiting, next_top


@compiled
def _count_row(
    values: Any,
    row: int,
    query: int,
    first_slot: int,
    positives: Positives,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
    scratch: Scratch,
) -> None:
    columns = values.shape[2]
    begin, end = positives.starts[query], positives.starts[query + 1]
    nearness = positives.nearness[begin:end]
    scale, width = doubt.scale[query], doubt.tile[query]
    edges = _edges(nearness, scale, width, scratch.table)
    # One gallery and no people: what is before a positive is a number.
    plain = labels.position.shape[1] == 1 and labels.last_first[query] < 0
    passed = np.zeros((len(nearness), 4 * labels.member.shape[1]), np.uint16)
    numbers = np.zeros(2 * len(nearness) + 2, np.int64)
    open_bits = open_galleries(labels, query)
    uncarried = 0
    person = labels.query_person[query]
    own = positives.own_slots[positives.own_starts[person] : positives.own_starts[person + 1]]
    next_own = int(np.searchsorted(own, first_slot))
    x, bits, bucket, where = scratch.x, scratch.bits, scratch.bucket, scratch.where
    table, filled, low = scratch.table, scratch.filled, edges.low
    offset = source.offset
    # A plain 0 is a type of its own, for which all that it is given to is compiled once more.
    top, waiting, next_top = LOWEST, int(np.int64(0)), int(np.int64(0))
    if counts.top_slot.shape[1] > 0:
        next_top = int(np.searchsorted(counts.top_slots, first_slot))
        top = top_limit(counts, query, scale, width, top)
    for left in range(0, columns, _CHUNK):
        count = min(_CHUNK, columns - left)
        _read(values, row, left, count, offset, x)
        next_own = _hide(labels, query, first_slot + left, count, own, next_own, x)
        scratch.found_bits[0] = _largest_bits(bits, count)
        largest = scratch.found[0]
        if counts.top_slot.shape[1] > 0 and largest >= top:
            top, waiting, next_top = _offer(
                row,
                query,
                first_slot,
                left,
                count,
                top,
                waiting,
                next_top,
                labels,
                counts,
                source,
                doubt,
                scratch,
            )
        if len(nearness) == 0 or largest < low[-1]:
            continue
        _place(x, count, edges.base, edges.inverse, bucket)
        if plain:
            looked_at = _fill(bucket, count, table, len(nearness), filled, where)
        else:
            looked_at = _list(bucket, count, table, len(nearness), where)
            if uncarried + looked_at > _MOST_PASSED:
                _carry(passed, counts.before, begin)
                uncarried = 0
            uncarried += looked_at
        _count_looked_at(
            row,
            query,
            first_slot,
            left,
            looked_at,
            edges,
            plain,
            numbers,
            passed,
            open_bits,
            positives,
            labels,
            counts,
            source,
            doubt,
            scratch,
        )
    if plain:
        for b in range(_BUCKETS):
            numbers[table[b]] += filled[b]
            filled[b] = 0
        for k in range(len(nearness)):
            counts.before[begin + k, 0] += numbers[k]
    elif uncarried > 0:
        _carry(passed, counts.before, begin)
    if waiting > 0:
        _settle(row, query, first_slot, waiting, labels, counts, source, doubt, scratch)


@compiled
def count_tile(
    values: Any,
    first_query: int,
    first_slot: int,
    low_row: int,
    high_row: int,
    positives: Positives,
    labels: Labelled,
    counts: Counts,
    source: Source,
    doubt: Doubt,
) -> None:
    """Counts a tile of approximate nearness: queries from `first_query`, slots from `first_slot`.

    `values[:, i, j]` are the parts of one value, to be added. Rows `low_row` to `high_row` are
    worked on, so that threads share a tile.
    """
    x, found = np.empty(_CHUNK, np.float32), np.empty(1, np.float32)
    room = 2 * counts.top_slot.shape[1] + _WAITING
    scratch = Scratch(
        x,
        x.view(np.int32),
        np.empty(_CHUNK, np.uint16),
        np.empty(_CHUNK, np.int64),
        np.empty(_BUCKETS, np.int32),
        np.zeros(_BUCKETS, np.int32),
        found,
        found.view(np.int32),
        np.empty(LANES, np.float64),
        np.empty(QUICK_LANES, np.float32),
        np.empty(room, np.float32),
        np.empty(room, np.int64),
    )
    for row in range(low_row, high_row):
        _count_row(
            values,
            row,
            first_query + row,
            first_slot,
            positives,
            labels,
            counts,
            source,
            doubt,
            scratch,
        )


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
def collect_ranks(
    positives: Positives, position: Any, before: Any, tied: Any, t: int, starts: Any, ranks: Any
) -> None:
    """Ranks of the positives of gallery `t`, ascending per query; `starts` is filled too."""
    written = 0
    starts[0] = 0
    for query in range(len(positives.starts) - 1):
        begin, end = positives.starts[query], positives.starts[query + 1]
        total, found = 0, 0
        for p in range(begin, end):
            total += before[p, t]
            place = position[positives.slots[p], t]
            if place < 0:
                continue
            # positives that are equally near stand in the order of this gallery.
            earlier = 0
            other = p - 1
            while other >= begin and positives.nearness[other] == positives.nearness[p]:
                if position[positives.slots[other], t] > place:
                    earlier -= 1
                other -= 1
            other = p + 1
            while other < end and positives.nearness[other] == positives.nearness[p]:
                place_of_other = position[positives.slots[other], t]
                if 0 <= place_of_other < place:
                    earlier += 1
                other += 1
            ranks[written + found + earlier] = total + tied[p, t] + found + earlier + 1
            found += 1
        written += found
        starts[query + 1] = written
