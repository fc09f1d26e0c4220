"""How the work of scoring is done: block size, precision, threads. None of it changes a result."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, get_args

from crosslight.errors import ConfigError
from crosslight.evaluation.bounds import Bound, check_bound
from crosslight.evaluation.products import NUMPY, Product, fastest_products

Screening = Literal["auto", "off", "bf16", "int8", "int8x2"]

_WORTH_MEASURING = 2e9
# What to expect before a tile has been counted: the share of entries that a product leaves open
# per right answer of a query, and how much dearer it is to multiply one of them than in a matrix.
# Measured on clustered features of 2048 numbers; `Chooser.learn` corrects it.
_AGAIN_SHARE = {
    ("bf16", "sure"): 0.0009,
    ("int8", "sure"): 0.0038,
    ("int8x2", "sure"): 0.00005,
    ("bf16", "statistical"): 0.0002,
    ("int8", "statistical"): 0.0006,
}
_AGAIN_COST = 25.0
# All the work on a block in float32, as a multiple of its product.
_PLAIN_COST = 1.2


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the work is done; changes no result.

    Attributes:
        block: Queries multiplied at once, by default 512; bounds the memory of a tile.
        screening: 'auto' multiplies in few bits first where that is measured to pay, 'off' always
            in float32, 'bf16' and 'int8' in these, 'int8x2' in two int8 digits per number.
        bound: 'sure' holds for every input; 'statistical' takes seven standard deviations of the
            rounding noise, decides more entries without float64 and is not a proof.

    Raises:
        ConfigError: A name is unknown or the block is not at least 1.
    """

    block: int | None = None
    screening: Screening = "auto"
    bound: Bound = "sure"

    def __post_init__(self) -> None:
        if self.block is not None and self.block < 1:
            raise ConfigError(f"The block is {self.block} queries, expected at least 1.")
        if self.screening not in get_args(Screening):
            raise ConfigError(
                f"Screening '{self.screening}' is unknown; choose one of "
                f"{', '.join(get_args(Screening))}."
            )
        check_bound(self.bound)


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


class Chooser:
    """Takes the cheapest product, and a dearer one when most entries have to be done again."""

    def __init__(self, effort: Effort, work: float, answers: float) -> None:
        self._used: list[str] = []
        self._suffix = "" if effort.bound == "sure" else " (7 sigma)"
        known = {} if work < _WORTH_MEASURING else fastest_products()
        self._plain = known.get("fp32", NUMPY)
        self._candidates: list[Product] = []
        if effort.screening != "auto" and effort.screening != "off":
            product = fastest_products().get(effort.screening)
            if product is None:
                raise ConfigError(
                    f"This machine cannot multiply in {effort.screening}; leave the screening to "
                    "'auto' or 'off'."
                )
            self._forced: Product | None = product
            return
        self._forced = None
        if effort.screening == "auto":
            again = _AGAIN_COST * self._plain.seconds
            expected = {
                product.seconds + again * answers * share: product
                for precision, product in known.items()
                if (share := _AGAIN_SHARE.get((precision, effort.bound))) is not None
            }
            self._candidates = [
                expected[cost] for cost in sorted(expected) if cost < self._plain.seconds
            ]

    @property
    def path(self) -> str:
        """The arithmetic used so far, in words."""
        return ", then ".join(self._used)

    def product(self) -> Product:
        """How to multiply the next tile."""
        chosen = self._forced or (self._candidates[0] if self._candidates else self._plain)
        name = chosen.precision + (self._suffix if chosen.precision != "fp32" else "") + "+float64"
        if name not in self._used[-1:]:
            self._used.append(name)
        return chosen

    def learn(self, product: Product, multiplications: float, cpu_seconds: float) -> None:
        """What a tile has cost, all in all; a product that does not pay is not taken again."""
        plain = _PLAIN_COST * self._plain.seconds * multiplications * 1e-9
        if product in self._candidates and cpu_seconds > plain:
            self._candidates.remove(product)
