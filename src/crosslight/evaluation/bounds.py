"""How far a product in few bits can be from the exact one: bounds that hold for every input.

Rows are scaled to lengths of about 1 at most. With x the exact row, x' its rounded form and u the
unit roundoff, the inner product of rounded rows differs from the exact one by at most

    |q - q'| |g| + |q'| |g - g'|      (Cauchy-Schwarz)

and summing D products in float32, in any order, fused or not, adds at most
D u / (1 - D u) |q'| |g'|.
Rows in two int8 digits, x' = high + low, leave out the product of the low digits, which is at most
|low of q| |low of g|.

The 'statistical' bound takes seven standard deviations of the rounding noise instead of the first
line: errors of independent roundings do not point the same way. It is not a proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from crosslight.errors import ConfigError
from crosslight.evaluation.distances import FloatArray

Bound = Literal["sure", "statistical"]

_DEVIATIONS = 7.0
_UNIT = 2.0**-24
_BFLOAT16_UNIT = 2.0**-9
# Room for the roundings of the bounds themselves, and for squares that underflow.
_SLACK, _FLOOR = 1.01, 1e-17


def check_bound(name: str) -> Bound:
    """The name itself, if it is one of the bounds.

    Raises:
        ConfigError: It is not.
    """
    for bound in get_args(Bound):
        if name == bound:
            return name  # type: ignore[return-value]
    raise ConfigError(f"Bound '{name}' is unknown; choose one of {', '.join(get_args(Bound))}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class Roundings:
    """What rounding took from rows, in scaled units.

    Attributes:
        length: `(n,)` lengths of the exact rows.
        kept: `(n,)` lengths of the rounded rows.
        lost: `(n,)` lengths of the differences.
        low: `(n,)` lengths of the low digits, 0 where a number has one digit.
    """

    length: FloatArray
    kept: FloatArray
    lost: FloatArray
    low: FloatArray


def float32_width(
    dimensions: int, queries: FloatArray, gallery: float, offset: float
) -> FloatArray:
    """Error of an inner product in float32, per query.

    Args:
        dimensions: Length of a row.
        queries: `(n,)` lengths of the query rows.
        gallery: Largest length of a gallery row.
        offset: Largest number subtracted afterwards.
    """
    summing = _summing(dimensions)
    product = queries * gallery
    return _SLACK * (product * (summing + 4 * _UNIT) + 4 * _UNIT * (product + offset)) + _FLOOR


def rounded_width(
    dimensions: int,
    queries: Roundings,
    gallery: Roundings,
    offset: float,
    bound: Bound,
    *,
    bfloat16_result: bool,
) -> FloatArray:
    """Error of an inner product of rounded rows, per query.

    Args:
        dimensions: Length of a row.
        queries: The query rows.
        gallery: The gallery rows; the largest count.
        offset: Largest number subtracted afterwards.
        bound: 'sure' or 'statistical'.
        bfloat16_result: Whether the product itself is rounded to bfloat16 and an offset follows;
            without an offset `RESULT_PART` of the value covers it.
    """
    length, kept, lost, low = (
        float(np.max(values, initial=0.0))
        for values in (gallery.length, gallery.kept, gallery.lost, gallery.low)
    )
    # The float32 rows that are rounded differ from the exact ones by one rounding.
    query_lost = queries.lost + 4 * _UNIT * queries.length
    gallery_lost = lost + 4 * _UNIT * length
    left, right = query_lost * length, queries.kept * gallery_lost
    if bound == "sure":
        rounding = left + right + queries.low * low
    else:
        rounding = (
            _DEVIATIONS
            / np.sqrt(dimensions)
            * np.sqrt(left**2 + right**2 + (queries.low * low) ** 2)
        )
    product = queries.kept * kept
    # int8 is summed in whole numbers; the units that sum bfloat16 may round twice per product.
    summing = 2 * _summing(dimensions) if bfloat16_result else 0.0
    width = rounding + product * (summing + 8 * _UNIT)
    width += 4 * _UNIT * (product + offset)
    if bfloat16_result and offset > 0:
        width += RESULT_PART * (product + width)
    result: FloatArray = _SLACK * width + _FLOOR
    return result


RESULT_PART = _BFLOAT16_UNIT / (1 - 2 * _BFLOAT16_UNIT)
"""Rounding a value to bfloat16 changes it by at most this part of itself."""


def _summing(dimensions: int) -> float:
    # float64 sums of the exact product are covered by the two extra terms.
    return (dimensions + 2) * _UNIT / (1 - (dimensions + 2) * _UNIT)
