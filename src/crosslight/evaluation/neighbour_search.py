"""The nearest neighbours of all rows, the farthest distance of each, in one pass over a triangle.

Only the upper triangle of the squared distances is multiplied; each tile feeds the lists of its
rows and of its columns and is dropped. Where bfloat16 is fast, it decides who may be among the
nearest and the farthest; the few candidates are multiplied again, and a row for which its lists
were too short is compared with all rows in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.bounds import Bound, Roundings, float32_width, rounded_width
from crosslight.evaluation.distances import FloatArray, IntArray
from crosslight.evaluation.effort import Threads
from crosslight.evaluation.products import Product, Rows

Floats = npt.NDArray[np.float32]

ROWS, COLUMNS = 512, 2048
_SPARE = 19
_SCREENED_SPARE, _FAR = 43, 16


@dataclass(eq=False)
class _Lists:
    """Per row the best values so far, ascending, and whose they are; `limits` is the worst kept."""

    values: Floats
    numbers: IntArray
    limits: Floats

    @staticmethod
    def of(rows: int, room: int) -> _Lists:
        room = min(room, rows)
        return _Lists(
            values=np.full((rows, room), np.inf, dtype=np.float32),
            numbers=np.zeros((rows, room), dtype=np.int64),
            limits=np.full(rows, np.inf, dtype=np.float32),
        )


class NeighbourSearch:
    """Finds neighbours among rows.

    Args:
        tables: The rows as given, see `Tables`.
        rows: `(N, D)` float32, the same rows scaled; queries first.
        product: A product in float32.
        screen: A product in bfloat16 to be used first, or None.
        bound: The bound of its error.
        kept: `(Q, N - Q)` to be filled with squared distances of queries and gallery, or None.
        threads: Where the work is done.
    """

    def __init__(
        self,
        tables: Any,
        rows: Floats,
        product: Product,
        screen: Product | None,
        bound: Bound,
        kept: Floats | None,
        threads: Threads,
    ) -> None:
        self._tables, self._rows, self._kept = tables, rows, kept
        self._product, self._screen, self._bound = product, screen, bound
        self._over, self._count = threads.over, len(rows)
        self._exact_squares: FloatArray = tables.squares
        self._squares = self._exact_squares.astype(np.float32)
        self._queries = 0 if kept is None else len(kept)
        self.largest = np.zeros(self._count, dtype=np.float32)

    def nearest(self, wanted: int) -> IntArray:
        """`(N, wanted)` neighbours of each row, itself included; fills `largest` and `kept`."""
        spare = _SPARE if self._screen is None else _SCREENED_SPARE
        near = _Lists.of(self._count, wanted + spare)
        far = None if self._screen is None else _Lists.of(self._count, _FAR)
        if far is not None:
            far.limits[:] = -np.inf
        self._pass_triangle(near, far)
        lengths = np.sqrt(self._exact_squares)
        width = float32_width(self._rows.shape[1], lengths, float(lengths.max()), 0.0)
        doubt = 2.0 * width + self._subtraction()
        nearest = np.empty((self._count, wanted), dtype=np.int64)
        settled = np.ones(self._count, dtype=np.bool_)
        if far is not None:
            settled = self._settle(near, far, doubt, wanted)
        self._order(np.flatnonzero(settled), near, doubt, nearest)
        again = np.flatnonzero(~settled)
        for low in range(0, len(again), ROWS):
            self._compare_with_all(again[low : low + ROWS], doubt, nearest)
        return nearest

    def _pass_triangle(self, near: _Lists, far: _Lists | None) -> None:
        count = self._count
        buffer = np.empty(ROWS * COLUMNS, dtype=np.float32)
        for left in range(0, count, COLUMNS):
            right = min(left + COLUMNS, count)
            packed: dict[tuple[bool, int], Any] = {}
            for top in range(0, right, ROWS):
                bottom = min(top + ROWS, right if top >= left else left)
                start = max(left, top)
                # What is kept must be as good as float32.
                screened = self._screen is not None and top >= self._queries
                product = self._screen if self._screen and screened else self._product
                if (screened, start) not in packed:
                    packed = {(screened, start): product.pack(self._form(start, right, screened))}
                tile = buffer[: (bottom - top) * (right - start)].reshape(bottom - top, -1)
                tile = product.multiply(
                    self._form(top, bottom, screened), packed[screened, start], tile
                )
                self._offer(tile, top, start, near, far)

    def _offer(self, tile: Floats, top: int, start: int, near: _Lists, far: _Lists | None) -> None:
        from crosslight.evaluation import neighbour_lists as lists

        bottom, right = top + tile.shape[0], start + tile.shape[1]
        squares, largest = self._squares, self.largest.view(np.int32)

        def rows(low: int, high: int) -> None:
            part, columns = slice(top + low, top + high), slice(start, right)
            lists.squares_to_rows(
                tile[low:high],
                squares[part],
                squares[columns],
                start,
                near.values[part],
                near.numbers[part],
                largest[part],
            )
            if far is not None:
                lists.offer_far_rows(tile[low:high], start, far.values[part], far.numbers[part])

        self._over(len(tile), tile.size, rows)
        if self._kept is not None and top < self._queries < right:
            first = max(start, self._queries)
            count = min(bottom, self._queries) - top
            columns = slice(first - self._queries, right - self._queries)
            self._kept[top : top + count, columns] = tile[:count, first - start :]
        beyond = max(start, bottom)
        if beyond < right:

            def columns_task(low: int, high: int) -> None:
                part = slice(beyond + low, beyond + high)
                offered = tile[:, part.start - start : part.stop - start]
                lists.offer_columns(
                    offered,
                    top,
                    near.values[part],
                    near.numbers[part],
                    near.limits[part],
                    largest[part],
                )
                if far is not None:
                    lists.offer_far_columns(
                        offered, top, far.values[part], far.numbers[part], far.limits[part]
                    )

            self._over(right - beyond, tile.size, columns_task)
        # Lists that rows filled meanwhile are as strict as those that columns filled.
        near.limits[top:bottom] = near.values[top:bottom, -1]
        if far is not None:
            far.limits[top:bottom] = -far.values[top:bottom, -1]

    def _form(self, low: int, high: int, screened: bool) -> Rows:
        rows = self._rows[low:high]
        return self._rounded(rows)[0] if screened else Rows(numbers=rows)

    def _rounded(self, rows: Floats) -> tuple[Rows, FloatArray, FloatArray]:
        from crosslight.evaluation.arithmetic import round_to_bfloat16

        numbers = np.empty(rows.shape, dtype=np.uint16)
        lost, kept = np.empty(len(rows)), np.empty(len(rows))
        self._over(
            len(rows),
            rows.size,
            lambda a, b: round_to_bfloat16(rows[a:b], numbers[a:b], lost[a:b], kept[a:b]),
        )
        return Rows(numbers=numbers), lost, kept

    def _screened_width(self) -> FloatArray:
        lost, kept = np.empty(self._count), np.empty(self._count)
        for low in range(0, self._count, COLUMNS):
            part = slice(low, low + COLUMNS)
            _, lost[part], kept[part] = self._rounded(self._rows[part])
        roundings = Roundings(
            length=np.sqrt(self._exact_squares), kept=kept, lost=lost, low=np.zeros(self._count)
        )
        # With an offset, the rounding of the result to bfloat16 is part of the width.
        width = rounded_width(
            self._rows.shape[1],
            roundings,
            roundings,
            float(self._exact_squares.max()) or 1.0,
            self._bound,
            bfloat16_result=True,
        )
        return 2.0 * width + self._subtraction()

    def _subtraction(self) -> FloatArray:
        width: FloatArray = 8.0 * 2.0**-24 * (self._exact_squares + self._exact_squares.max())
        return width

    def _settle(
        self, near: _Lists, far: _Lists, doubt: FloatArray, wanted: int
    ) -> npt.NDArray[np.bool_]:
        from crosslight.evaluation.neighbour_lists import settle_neighbours

        settled = np.empty(self._count, dtype=np.bool_)
        width = self._screened_width()
        self._over(
            self._count,
            2**20,
            lambda a, b: settle_neighbours(
                self._rows,
                self._exact_squares,
                near.values,
                near.numbers,
                far.values,
                far.numbers,
                width,
                doubt,
                wanted,
                a,
                b,
                self.largest,
                settled,
            ),
        )
        return settled

    def _order(self, which: IntArray, lists: _Lists, doubt: FloatArray, nearest: IntArray) -> None:
        from crosslight.evaluation.neighbour_lists import order_neighbours

        whole = len(which) == self._count
        values = lists.values if whole else lists.values[which]
        numbers = lists.numbers if whole else lists.numbers[which]
        self._over(
            len(which),
            2**20,
            lambda a, b: order_neighbours(
                self._tables, which, values, numbers, doubt, a, b, nearest
            ),
        )

    def _compare_with_all(self, which: IntArray, doubt: FloatArray, nearest: IntArray) -> None:
        from crosslight.evaluation.neighbour_lists import order_neighbours, squares_to_rows

        rows = np.ascontiguousarray(self._rows[which])
        room = min(nearest.shape[1] + _SPARE, self._count)
        values = np.full((len(which), room), np.inf, dtype=np.float32)
        numbers = np.zeros((len(which), room), dtype=np.int64)
        largest = np.zeros(len(which), dtype=np.int32)
        for left in range(0, self._count, COLUMNS):
            right = min(left + COLUMNS, self._count)
            packed = self._product.pack(Rows(numbers=self._rows[left:right]))
            tile = np.empty((len(which), right - left), dtype=np.float32)
            tile = self._product.multiply(Rows(numbers=rows), packed, tile)
            squares = self._squares[left:right]
            self._over(
                len(tile),
                tile.size,
                lambda a, b, t=tile, s=squares, f=left: squares_to_rows(  # type: ignore[misc]
                    t[a:b], self._squares[which[a:b]], s, f, values[a:b], numbers[a:b], largest[a:b]
                ),
            )
        self.largest[which] = largest.view(np.float32)
        self._over(
            len(which),
            2**20,
            lambda a, b: order_neighbours(
                self._tables, which, values, numbers, doubt, a, b, nearest
            ),
        )
