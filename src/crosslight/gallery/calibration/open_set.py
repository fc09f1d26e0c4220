"""Whether the person of a search is in the gallery, at a rate of false alarms per search.

A false alarm is a search for somebody who is not in the gallery that is answered with "in the
gallery". Where rows of several lights are searched, each may raise its share of the alarms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crosslight.errors import ConfigError
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.calibration.false_alarms import Alarms
from crosslight.gallery.stores.rows import Hit

Verdict = Literal["in-gallery", "not-in-gallery", "unknown"]

USUAL_RATE = 0.01
_EQUAL = 1e-6  # what is left of a rate by taking its logarithm and back


@dataclass(frozen=True, kw_only=True)
class OpenSet:
    """How the hits of one search are judged.

    Attributes:
        alarms: Of each light that has rows, what strangers find there; None where nobody measured.
        rows: Of each of these lights, how many rows are searched.
        rate: Of false alarms; None where nothing can be said.
    """

    alarms: Mapping[int, Alarms | None]
    rows: Mapping[int, int]
    rate: float | None

    def alarm(self, hit: Hit) -> float | None:
        """In how many searches for a stranger something is found that is as telling as this."""
        alarms = self.alarms.get(hit.modality)
        if alarms is None:
            return None
        rows = self.rows[hit.modality]
        return min(1.0, len(self.alarms) * alarms.rate(hit.distance, rows))

    def accepts(self, hit: Hit) -> bool | None:
        """Whether that is at most the rate."""
        alarm = self.alarm(hit)
        return None if alarm is None or self.rate is None else alarm <= self.rate * (1 + _EQUAL)

    def verdict(self, hits: Sequence[Hit]) -> Verdict:
        """From the nearest hits of each light."""
        if not hits or self.rate is None:
            return "unknown"
        if any(self.accepts(hit) for hit in hits):
            return "in-gallery"
        # A light in which nobody measured leaves the question open.
        return "unknown" if None in self.alarms.values() else "not-in-gallery"

    def lowest(self, hits: Sequence[Hit]) -> float | None:
        """The smallest `alarm` of the hits; None where nothing can be said."""
        return min((a for a in map(self.alarm, hits) if a is not None), default=None)

    def share_found(self) -> float | None:
        """Share of enrolled people's images that this rate lets find, of the best light."""
        if self.rate is None:
            return None
        shares = [
            alarms.share_found(self.rate * (1 + _EQUAL) / len(self.alarms), self.rows[light])
            for light, alarms in self.alarms.items()
            if alarms is not None
        ]
        return max((share for share in shares if share is not None), default=None)


def open_set_of(
    calibration: Calibration | None, query: int, rows: Mapping[int, int], rate: float | None
) -> OpenSet:
    """How a search is judged.

    Args:
        calibration: Of the store.
        query: `Modality` of the query.
        rows: Of each light, how many rows are searched.
        rate: Of false alarms; None: `USUAL_RATE`, or the smallest that can be shown.

    Raises:
        ConfigError: So few strangers were tried that none can show so small a rate.
    """
    known = () if calibration is None else calibration.alarms
    searched = {light: count for light, count in rows.items() if count}
    alarms = {
        light: next((a for a in known if (a.query, a.row) == (query, light)), None)
        for light in searched
    }
    measured = {light: found for light, found in alarms.items() if found is not None}
    if not measured:
        return OpenSet(alarms=alarms, rows=searched, rate=None)
    smallest, light = min(
        (min(1.0, len(alarms) * found.smallest(searched[light])), light)
        for light, found in measured.items()
    )
    if rate is None:
        return OpenSet(alarms=alarms, rows=searched, rate=max(USUAL_RATE, smallest))
    if rate < smallest:
        found = measured[light]
        remedy = (
            f"now that {searched[light]:,} rows are there instead of {found.rows:,}"
            if searched[light] > found.rows
            else "on more people"
        )
        raise ConfigError(
            f"A rate of false alarms of {rate:g} was asked for, and the {found.people} people with "
            f"whom this store was calibrated can show none below {smallest:.2g}; ask for "
            f"{math.ceil(1e4 * smallest) / 1e4:g} or more, or calibrate the store again {remedy}."
        )
    return OpenSet(alarms=alarms, rows=searched, rate=rate)
