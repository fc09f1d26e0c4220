"""Whether one system is better than another on the same queries: a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
COVERAGE = 0.95


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first system's mean minus the second's.

    Attributes:
        mean: On the queries at hand.
        low: Where the interval begins that holds 95 % of the resampled means.
        high: Where it ends.
        resampled: Whether samples could differ at all: not of one person alone, nor where nobody's
            figures do.
    """

    mean: float
    low: float
    high: float
    resampled: bool = True

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.resampled and (self.low > 0 or self.high < 0)

    def around(self, mean: float) -> Difference:
        """The same interval about another mean: that over all trials of which this is the first.

        A trial draws a gallery, and every query of it gains or loses by that; what the means over
        trials say should not be contradicted by one draw.
        """
        moved = mean - self.mean
        return replace(self, mean=mean, low=self.low + moved, high=self.high + moved)


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """Resamples groups of queries, with replacement, and takes the mean difference of each sample.

    Queries of one person resemble each other, so groups are people; with a group for each query it
    is the usual bootstrap over queries, whose intervals are too narrow then.

    Args:
        first: `(Q,)` a figure of each query, such as its average precision.
        second: `(Q,)` of the same queries by the other system.
        groups: `(Q,)` whose query it is.
        draws: Samples.
        seed: Of the samples.
    """
    gaps = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    _, members = np.unique(groups, return_inverse=True)
    sums = np.asarray(np.bincount(members, gaps), np.float64)
    return resampled(sums, np.bincount(members), draws=draws, seed=seed)


def resampled(
    sums: NDArray[np.float64],
    sizes: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Difference:
    """As `paired_difference`, from what the groups sum up to.

    Args:
        sums: `(P,)` first minus second, summed over the queries of each group.
        sizes: `(P,)` queries of each group.
        draws: Samples.
        seed: Of the samples.
    """
    chosen = np.random.default_rng(seed).integers(len(sums), size=(draws, len(sums)))
    means = sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)
    outside = (1 - COVERAGE) / 2
    low, high = np.quantile(means, [outside, 1 - outside])
    return Difference(
        mean=float(sums.sum() / sizes.sum()),
        low=float(low),
        high=float(high),
        resampled=len(sums) > 1 and bool(np.any(sums)),
    )
