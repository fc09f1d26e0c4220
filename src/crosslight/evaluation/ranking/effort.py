"""How the work of scoring is done: block size, threads. None of it changes a result."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from crosslight.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the work is done; changes no result.

    Attributes:
        block: Queries multiplied at once, by default 512; bounds the memory of a tile.

    Raises:
        ConfigError: The block is not at least 1.
    """

    block: int | None = None

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 1:
            raise ConfigError(f"The block is {self.block} queries, expected at least 1.")


class Threads:
    """Splits the rows of a tile between threads; kernels release the interpreter's lock."""

    def __init__(self) -> None:
        import numba

        self._count = int(numba.config.NUMBA_NUM_THREADS)
        self._pool = ThreadPoolExecutor(self._count)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def over(self, rows: int, work: int, task: Callable[[int, int], None]) -> None:
        """Calls `task(low, high)` for parts of the rows; small work stays in this thread."""
        if self._count == 1 or work < 2**16 or rows < 2:
            task(0, rows)
            return
        parts = min(4 * self._count, rows)
        edges = [rows * part // parts for part in range(parts + 1)]
        for done in [self._pool.submit(task, low, high) for low, high in itertools.pairwise(edges)]:
            done.result()
