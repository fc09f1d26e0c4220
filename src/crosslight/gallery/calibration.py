"""From the distance of two embeddings to the probability that they show the same person.

Pairs within one light and pairs across lights have different distances, so each kind has its own
curve. A curve gives the log-likelihood ratio of "same person" at a distance; with the prior, the
share of same-person pairs among all pairs, it becomes a probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from crosslight.errors import GalleryError


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What was learned from the pairs of one kind.

    Attributes:
        fit: `logistic` or `isotonic`, whichever was better on people left out.
        distances: Knots, ascending.
        log_ratios: log p(distance | same) / p(distance | different) at the knots, descending;
            between them on a straight line, beyond them constant.
        prior: Share of same-person pairs that probabilities assume.
        threshold: Largest distance that counts as a match.
        missed: Share of same-person pairs beyond the threshold.
        same: Same-person pairs seen.
        different: Different-person pairs seen.
        log_loss: Mean -log of the probability given to what was true, on people left out.
        reliability: On people left out: (mean probability said, share that were the same person,
            pairs) for each tenth of the probability scale that has pairs.
    """

    fit: str
    distances: tuple[float, ...]
    log_ratios: tuple[float, ...]
    prior: float
    threshold: float
    missed: float
    same: int
    different: int
    log_loss: float
    reliability: tuple[tuple[float, float, int], ...]

    def probability(self, distance: float) -> float:
        """That two images at this distance show the same person."""
        ratio = float(np.interp(distance, self.distances, self.log_ratios))
        odds = ratio + math.log(self.prior / (1 - self.prior))
        return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The curves of a store.

    Attributes:
        false_match_rate: What the thresholds were chosen for.
        data: Name of the data it was fitted on.
        people: People in it.
        within: Pairs of one light; None where the data had too few.
        across: Pairs of two lights; None where the data had too few.
    """

    false_match_rate: float
    data: str
    people: int
    within: Curve | None
    across: Curve | None

    def curve(self, first: int, second: int) -> Curve | None:
        """The curve for a pair of `Modality` values."""
        return self.within if first == second else self.across

    def probability(self, distance: float, first: int, second: int) -> float | None:
        """That a pair of these lights shows the same person; None where nothing was fitted."""
        curve = self.curve(first, second)
        return None if curve is None else curve.probability(distance)

    def accepts(self, distance: float, first: int, second: int) -> bool | None:
        """Whether the distance is within the threshold; None where nothing was fitted."""
        curve = self.curve(first, second)
        return None if curve is None else distance <= curve.threshold

    def summary(self) -> str:
        """In a sentence."""
        parts = [
            f"{name} lights distance up to {curve.threshold:.3f} (misses {curve.missed:.1%})"
            for name, curve in (("within", self.within), ("across", self.across))
            if curve is not None
        ]
        return f"false-match rate {self.false_match_rate:g} on {self.data}: {', '.join(parts)}"

    def to_plain(self) -> dict[str, Any]:
        """As JSON can write it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Calibration | None:
        """What `to_plain` gave; None for an empty one.

        Raises:
            GalleryError: Damaged.
        """
        if not plain:
            return None
        try:
            values = dict(plain)
            for kind in ("within", "across"):
                values[kind] = values[kind] and _curve(values[kind])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise GalleryError(
                f"The store's calibration is damaged ({error}); run crosslight gallery calibrate "
                "again."
            ) from error


def _curve(plain: Mapping[str, Any]) -> Curve:
    values = dict(plain)
    values["distances"] = tuple(values["distances"])
    values["log_ratios"] = tuple(values["log_ratios"])
    values["reliability"] = tuple((float(p), float(s), int(n)) for p, s, n in values["reliability"])
    return Curve(**values)
