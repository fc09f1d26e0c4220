"""The shapes that a calibration's curve may have, fitted to pairs counted by distance.

Each gives log p(distance | same person) / p(distance | different people), never rising with the
distance. A logistic curve is fitted with as many same-person pairs in a hundred as the prior says:
then the distances at which probabilities are near one half decide about its course. Weighed
equally, both sorts of pairs meet at distances where the probability is a hundred times smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from crosslight.gallery.calibration.pairs import FloatArray
from crosslight.parts import named_if_missing

_RIDGE = 1e-8  # keeps the slope finite where no distance has both sorts of pairs
_STEPS = 100
_SETTLED = 1e-9


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Pairs by distance: centres of the bins, and how many of each sort are in them, (B,) each."""

    centres: FloatArray
    same: FloatArray
    different: FloatArray

    @property
    def both(self) -> bool:
        """Whether there are pairs of both sorts."""
        return bool(self.same.sum() and self.different.sum())


Shape = Callable[[Counts, float], FloatArray]
"""From the counts and the prior to the (B,) log ratios at the centres."""


def logistic(counts: Counts, prior: float) -> FloatArray:
    """Log ratio as a straight line in the distance."""
    same = prior * counts.same / counts.same.sum()
    every = same + (1 - prior) * counts.different / counts.different.sum()
    middle = float(np.average(counts.centres, weights=every))
    spread = float(np.sqrt(np.average((counts.centres - middle) ** 2, weights=every))) or 1.0
    x = np.stack([np.ones_like(counts.centres), (counts.centres - middle) / spread])
    before = np.log(prior / (1 - prior))
    line = _maximised(x, same, every, np.array([before, -1.0]))
    line[1] = min(line[1], 0.0)  # a larger distance never speaks for the same person
    return np.asarray(line @ x - before)


def isotonic(counts: Counts, prior: float) -> FloatArray:
    """Log ratio as falling steps; a step's own counts, smoothed, bound what it may claim."""
    with named_if_missing():
        from sklearn.isotonic import IsotonicRegression

    del prior  # decides about none of the steps
    same, different = counts.same.sum(), counts.different.sum()
    weight = counts.same / same + counts.different / different
    seen = weight > 0
    posterior = (counts.same[seen] / same) / weight[seen]
    fitted = IsotonicRegression(increasing=False).fit_transform(
        counts.centres[seen], posterior, sample_weight=weight[seen]
    )
    _, step = np.unique(-fitted, return_inverse=True)
    s = np.bincount(step, counts.same[seen])[step]
    d = np.bincount(step, counts.different[seen])[step]
    ratios = np.log((s + 0.5) / (same + 1)) - np.log((d + 0.5) / (different + 1))
    ratios = np.minimum.accumulate(ratios)
    return np.interp(counts.centres, counts.centres[seen], ratios)


SHAPES: dict[str, Shape] = {"logistic": logistic, "isotonic": isotonic}


def probabilities(ratios: FloatArray, prior: float) -> FloatArray:
    """The probability of the same person for each log ratio."""
    odds = ratios + np.log(prior / (1 - prior))
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -50, 50))))


def _maximised(x: FloatArray, same: FloatArray, every: FloatArray, line: FloatArray) -> FloatArray:
    """The line of the largest likelihood, by Newton's method with halved steps.

    Args:
        x: (2, B).
        same: (B,) weight of same-person pairs.
        every: (B,) weight of all pairs.
        line: (2,) where to begin.
    """

    def likelihood(at: FloatArray) -> float:
        odds = at @ x
        # log(1 + e^odds) without overflow
        soft = np.logaddexp(0, odds)
        return float((same * odds - every * soft).sum() - _RIDGE * (at @ at) / 2)

    best = likelihood(line)
    for _ in range(_STEPS):
        said = 1 / (1 + np.exp(-np.clip(line @ x, -500, 500)))
        slope = x @ (same - every * said) - _RIDGE * line
        bend = (x * (every * said * (1 - said))) @ x.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (reached := likelihood(line + size * step)) < best and size > _SETTLED:
            size /= 2
        if reached <= best + _SETTLED * 1e-6:
            break
        line, best = line + size * step, reached
    return line
