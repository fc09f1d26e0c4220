"""How often a search for somebody who is not in a gallery finds an image as near as this.

The nearer of more rows is nearer: what one pair's distance means says little about a search. So
the rate is one of whole searches, over the rows that a filter leaves. strangers.py measures it when
a store is calibrated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """What strangers find whose images are of one light, among rows of one light.

    Attributes:
        query: `Modality` of the query.
        row: `Modality` of the rows.
        rows: How many rows were there.
        people: Strangers that were tried.
        distances: Ascending.
        sizes: Rows that are searched, descending from `rows`.
        rates: For each size and distance, in how many of the searches the nearest row is that near
            or nearer, one stranger more than were tried among them: nobody knows how near the next
            one comes.
        found: For each distance, the share of images of people of the calibration whose nearest
            image of the rows' light by another camera is that near; empty where there is none.
    """

    query: int
    row: int
    rows: int
    people: int
    distances: tuple[float, ...]
    sizes: tuple[float, ...]
    rates: tuple[tuple[float, ...], ...]
    found: tuple[float, ...] = ()

    def rate(self, distance: float, rows: int) -> float:
        """Share of strangers' searches over so many rows in which one is that near or nearer.

        Of more rows than were there, at most as many times the rate as there are times the rows.
        """
        at = [self._at(distance, rates) for rates in self.rates]
        if rows >= self.rows:
            return min(1.0, at[0] * rows / self.rows)
        logs = [math.log(size) for size in self.sizes]
        place = math.log(max(rows, 1))
        return float(np.exp(np.interp(place, logs[::-1], np.log(at[::-1]))))

    def smallest(self, rows: int) -> float:
        """The smallest rate that so few people can show among so many rows."""
        return min(1.0, max(1.0, rows / self.rows) / (self.people + 1))

    def largest_distance(self, rate: float, rows: int) -> float | None:
        """The largest distance with at most this rate; None where there is none."""
        rates = [self.rate(distance, rows) for distance in self.distances]
        within = sum(found <= rate for found in rates)
        if not within or within == len(rates):
            return self.distances[-1] if within else None
        between = (rate - rates[within - 1]) / (rates[within] - rates[within - 1])
        near, far = self.distances[within - 1 : within + 1]
        return near + between * (far - near)

    def share_found(self, rate: float, rows: int) -> float | None:
        """Share of enrolled people's images that are found at this rate; None where unknown."""
        if not self.found:
            return None
        distance = self.largest_distance(rate, rows)
        return 0.0 if distance is None else float(np.interp(distance, self.distances, self.found))

    def _at(self, distance: float, rates: tuple[float, ...]) -> float:
        # Beyond the last distance nothing was measured.
        return float(np.interp(distance, self.distances, rates, right=1.0))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Alarms:
        """What `dataclasses.asdict` gave, after JSON."""
        values = dict(plain)
        for name in ("distances", "sizes", "found"):
            values[name] = tuple(float(value) for value in values[name])
        values["rates"] = tuple(tuple(float(rate) for rate in rates) for rates in values["rates"])
        return cls(**values)
