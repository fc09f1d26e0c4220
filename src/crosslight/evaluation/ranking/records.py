"""What the counting loops read and write, and the exact nearness of one entry.

Shapes: R queries of a tile, C gallery slots of a tile, U all slots, T galleries, P positives of
all queries together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from crosslight.evaluation.ranking.arithmetic import exact_dot
from crosslight.evaluation.ranking.compiled import compiled

DOT, COSINE, EUCLIDEAN, GIVEN = 0, 1, 2, 3
"""What nearness is made of: an inner product, the same by the gallery row's length, or that minus
half its square; or a given matrix of distances."""

LOWEST = np.float32(-3.4028235e38)
FARTHEST = 3e38
"""Nearness beyond this, either way and to infinity, is decided by the exact one alone; what is
hidden lies beyond it."""


class Positives(NamedTuple):
    """The positives of the queries, nearest first, in the order of (nearness, slot).

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
        member, member_bits: `(U, W)`, `(U, B)` see `Pool`.
        first: `(Q, T)` the nearest positive in each gallery, -1 without any.
        last_first: `(Q,)` the largest of them; -1 to count no people.
    """

    query_person: Any
    query_hides: Any
    person: Any
    hidden: Any
    position: Any
    member: Any
    member_bits: Any
    last_first: Any
    first: Any


class Counts(NamedTuple):
    """What is counted.

    Attributes:
        before: `(P, T)` negatives that stand between positive p - 1 and p of a query.
        tied: `(P, T)` negatives exactly as near as p that stand before it in the gallery.
        met: `(Q, people, B)` one bit per gallery, whether the person was met before the first right
            answer.
        people: `(Q, T)` how many were met.
        redone: `(Q,)` entries that the tile did not decide.
        top_nearness: `(Q, K)` the nearest images of gallery 0.
        top_slot: `(Q, K)`, -1 where there is none yet.
        top_gallery: Which gallery these are of.
        top_slots: `(M,)` its slots, ascending.
    """

    before: Any
    tied: Any
    met: Any
    people: Any
    redone: Any
    top_nearness: Any
    top_slot: Any
    top_gallery: int
    top_slots: Any


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
        quick: `(Q,)` of `quick_dot`; as large as `tile` where there are no rows to multiply.
    """

    scale: Any
    tile: Any
    quick: Any


@compiled
def exact_nearness(source: Source, query: int, row: int, column: int, sums: Any) -> Any:
    """The nearness that decides: float64, in the order of operations of `exact_dot`."""
    if source.kind == GIVEN:
        return -np.float64(source.queries[row, column])
    value = exact_dot(source.queries[query], source.gallery[column], sums)
    if source.kind == COSINE:
        return value / source.terms[column]
    if source.kind == EUCLIDEAN:
        return value - source.terms[column]
    return value


@compiled
def surely_farther(scaled: float, width: float) -> Any:
    """A float32 value below this one belongs to an entry that is farther than `scaled`."""
    value = min(max(scaled, -FARTHEST), FARTHEST) - width
    return np.nextafter(np.float32(value), np.float32(-np.inf))


@compiled
def surely_nearer(scaled: float, width: float) -> Any:
    """A float32 value above this one belongs to an entry that is nearer than `scaled`."""
    value = min(max(scaled, -FARTHEST), FARTHEST) + width
    return np.nextafter(np.float32(value), np.float32(np.inf))
