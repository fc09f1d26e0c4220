"""Made-up rows, for the tests of stores."""

from __future__ import annotations

import numpy as np

from crosslight.gallery.stores.rows import Rows, build_rows
from crosslight.gallery.stores.store import StoreInfo

MODEL = "a" * 64
DIM = 16
INFO = StoreInfo(model=MODEL, method="agw", run="runs/agw", dim=DIM, distance="cosine")


def made_up(count: int, *, seed: int = 0, start: int = 0, dim: int = DIM) -> Rows:
    """Rows of people 0, 1, 2 ..., five images each, on four cameras; every tenth has no time."""
    rng = np.random.default_rng([seed, start])
    numbers = np.arange(start, start + count)
    people = np.random.default_rng(seed).normal(size=(numbers[-1] // 5 + 1, dim))
    vectors = people[numbers // 5] + 0.5 * rng.normal(size=(count, dim))
    return build_rows(
        {
            "id": [f"row-{n:07}" for n in numbers],
            "pid": [None if n % 7 == 0 else int(n // 5) for n in numbers],
            "cam": [int(n % 4) for n in numbers],
            "modality": [int(n % 3 == 0) for n in numbers],
            "time": [None if n % 10 == 0 else float(n) for n in numbers],
            "track": [None if n % 2 else f"t{n}" for n in numbers],
            "path": [f"cam{n % 4}/{n}.jpg" for n in numbers],
            "thumbnail": [f"jpeg {n}".encode() for n in numbers],
        },
        vectors,
        model=MODEL,
    )
