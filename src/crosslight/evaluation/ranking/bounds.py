"""How far an inner product in float32 can be from the exact one: bounds that hold for every input.

Rows are scaled to lengths of about 1 at most. With u the unit roundoff, summing n products of two
rows in float32, in any order, fused or not, adds at most n u / (1 - n u) |q| |g| (Cauchy-Schwarz on
the partial sums). A sum in parts is nearer: n is then the longest way that a product takes through
additions, the length of a part plus the number of parts.
"""

from __future__ import annotations

from crosslight.evaluation.ranking.distances import FloatArray

QUICK_LANES = 64
"""Running sums of `arithmetic.quick_dot`."""

_UNIT = 2.0**-24
# Room for the roundings of the bounds themselves, and for squares that underflow.
_SLACK, _FLOOR = 1.01, 1e-17


def float32_width(
    dimensions: int, queries: FloatArray, gallery: float, offset: float, parts: int = 1
) -> FloatArray:
    """Error of an inner product in float32, per query.

    Args:
        dimensions: Length of a row.
        queries: `(n,)` lengths of the query rows.
        gallery: Largest length of a gallery row.
        offset: Largest number subtracted afterwards.
        parts: Equal parts of a row that were summed by themselves before they were added.
    """
    return _width(-(-dimensions // parts) + parts - 1, queries, gallery, offset)


def quick_width(dimensions: int, queries: FloatArray, gallery: float, offset: float) -> FloatArray:
    """Error of `arithmetic.quick_dot`, per query; the arguments are those of `float32_width`."""
    rounds = -(-dimensions // QUICK_LANES)
    return _width(rounds + QUICK_LANES.bit_length() - 1, queries, gallery, offset)


def _width(additions: int, queries: FloatArray, gallery: float, offset: float) -> FloatArray:
    # float64 sums of the exact product are covered by the two extra terms.
    summing = (additions + 2) * _UNIT / (1 - (additions + 2) * _UNIT)
    product = queries * gallery
    return _SLACK * (product * (summing + 4 * _UNIT) + 4 * _UNIT * (product + offset)) + _FLOOR
