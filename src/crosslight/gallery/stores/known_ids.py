"""Which ids a store may hold, in eight bytes each: a writer need not ask for every batch."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

_MERGE_AT = 200_000


class KnownIds:
    """A set of hashes: never forgets an id, may rarely claim one that is not there."""

    def __init__(self) -> None:
        self._sorted: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._recent: list[NDArray[np.uint64]] = []

    def update(self, ids: pl.Series) -> None:
        """Adds ids."""
        self._recent.append(_hashes(ids))
        if sum(map(len, self._recent)) > _MERGE_AT:
            self._merge()

    def maybe(self, ids: pl.Series) -> pl.Series:
        """Those of the ids that may be among the known ones."""
        hashes = _hashes(ids)
        found = np.zeros(len(hashes), dtype=bool)
        if len(self._sorted):
            places = np.searchsorted(self._sorted, hashes)
            found = self._sorted[np.minimum(places, len(self._sorted) - 1)] == hashes
        for recent in self._recent:
            found |= np.isin(hashes, recent)
        return ids.filter(pl.Series(found, dtype=pl.Boolean))

    def _merge(self) -> None:
        self._sorted = np.sort(np.concatenate([self._sorted, *self._recent]))
        self._recent = []


def _hashes(ids: pl.Series) -> NDArray[np.uint64]:
    return ids.hash(seed=0).to_numpy()
