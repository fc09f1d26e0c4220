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
from crosslight.gallery.calibration.false_alarms import Alarms

_FAR = 700.0
"""Of a log ratio, beyond which its exponential is no number."""


def probability_of(log_ratio: float, prior: float) -> float:
    """What a likelihood ratio makes of a probability between 0 and 1."""
    weighed = ratio_of(log_ratio) * prior
    return weighed / (weighed + 1 - prior)


def ratio_of(log_ratio: float) -> float:
    """The likelihood ratio itself, as large as a number can be told: pairs may lie far apart."""
    return math.exp(min(max(log_ratio, -_FAR), _FAR))


@dataclass(frozen=True, kw_only=True)
class SurePairs:
    """What became of pairs of people left out that were said to be 50 % or more.

    Attributes:
        pairs: How many.
        people: On them.
        said: Mean probability that was said of them; None where there are none.
        true: Share of them that shows the same person, at the curve's prior.
        interval: Between which values `said` less `true` lies in 95 of 100 samples of these people,
            drawn again with replacement; None where they are too few to say.
    """

    pairs: int
    people: int
    said: float | None = None
    true: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def sentence(self) -> str:
        """In words, with its uncertainty; beginning in the middle of a sentence."""
        if self.said is None or self.true is None:
            return "none of them was said to be 50 % or more"
        found = (
            f"of {self.pairs:,} said to be 50 % or more, {self.said:.1%} on average, "
            f"{self.true:.1%} were the same person"
        )
        if self.interval is None:
            return f"{found}; {self.people} people are too few to say how far off that is"
        low, high = (100 * end for end in self.interval)
        off = 100 * (self.said - self.true)
        return f"{found}, {off:+.1f} points off (95 %: {low:+.1f} to {high:+.1f})"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What was learned from the pairs of one kind.

    Attributes:
        fit: `logistic` or `isotonic`, whichever was better on people left out.
        distances: Knots, ascending.
        log_ratios: log p(distance | same) / p(distance | different) at the knots, descending;
            between them on a straight line, beyond them constant.
        low_ratios: Below which the log ratio at each knot lies in 2.5 of 100 samples of other
            people; empty in stores that were calibrated before there were such.
        high_ratios: Above which it lies in 2.5 of 100.
        prior: Share of same-person pairs that probabilities assume.
        threshold: Largest distance that counts as a match.
        missed: Share of same-person pairs beyond the threshold.
        same: Same-person pairs seen.
        different: Different-person pairs seen.
        log_loss: Mean -log of the probability given to what was true, on people left out.
        reliability: On people left out: (mean probability said, share that were the same person,
            pairs) for each tenth of the probability scale that has pairs; those of different people
            count for so many that the prior holds.
        sure: Those of them that were said to be 50 % or more; None in older stores.
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
    low_ratios: tuple[float, ...] = ()
    high_ratios: tuple[float, ...] = ()
    sure: SurePairs | None = None

    @property
    def error(self) -> float:
        """Mean difference of what was said and what was true, over all pairs of people left out."""
        off = sum(abs(said - true) * pairs for said, true, pairs in self.reliability)
        return off / max(1, sum(pairs for *_, pairs in self.reliability))

    def probability(self, distance: float) -> float:
        """That two images at this distance show the same person."""
        return probability_of(self.log_ratio(distance), self.prior)

    def log_ratio(self, distance: float) -> float:
        """How much oftener the same person than different people are this far apart, as log."""
        return float(np.interp(distance, self.distances, self.log_ratios))

    def band(self, distance: float) -> tuple[float, float] | None:
        """The 95 % interval of `log_ratio`; None in stores calibrated before there were such."""
        if not self.low_ratios or not self.high_ratios:
            return None
        low, high = (
            float(np.interp(distance, self.distances, ratios))
            for ratios in (self.low_ratios, self.high_ratios)
        )
        return low, high


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The curves of a store.

    Attributes:
        false_match_rate: What the thresholds were chosen for.
        data: Name of the data it was fitted on.
        people: People in it.
        within: Pairs of one light; None where the data had too few.
        across: Pairs of two lights; None where the data had too few.
        alarms: What strangers find in the store; empty where it held nothing, and in older stores.
    """

    false_match_rate: float
    data: str
    people: int
    within: Curve | None
    across: Curve | None
    alarms: tuple[Alarms, ...] = ()

    def curve(self, first: int, second: int) -> Curve | None:
        """The curve for a pair of `Modality` values."""
        return self.within if first == second else self.across

    def probability(self, distance: float, first: int, second: int) -> float | None:
        """That a pair of these lights shows the same person; None where nothing was fitted."""
        curve = self.curve(first, second)
        return None if curve is None else curve.probability(distance)

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
            values["alarms"] = tuple(map(Alarms.from_plain, values.get("alarms", ())))
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
    values["low_ratios"] = tuple(values.get("low_ratios", ()))
    values["high_ratios"] = tuple(values.get("high_ratios", ()))
    values["reliability"] = tuple((float(p), float(s), int(n)) for p, s, n in values["reliability"])
    values["sure"] = _sure(values["sure"]) if values.get("sure") else None
    return Curve(**values)


def _sure(plain: Mapping[str, Any]) -> SurePairs:
    interval = plain["interval"]
    return SurePairs(**{**plain, "interval": interval and (float(interval[0]), float(interval[1]))})
