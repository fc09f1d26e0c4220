"""Ranks from torch tensors, on the device where they lie: the ranks of `rank_features`, bit by bit.

Plain torch operations. The exact inner product adds in the order of `arithmetic.exact_dot` with
operations on whole tensors, which no device reorders. Nothing is sorted but the right answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crosslight.evaluation.arithmetic import LANES
from crosslight.evaluation.bounds import float32_width
from crosslight.evaluation.distances import Distance, IntArray
from crosslight.evaluation.effort import Effort
from crosslight.evaluation.exclusion import Exclusion
from crosslight.evaluation.pooling import Labels, Pool, Trial, make_pool
from crosslight.evaluation.ranking import CmcKind, Ranks, ranks_of_counts, top_distances
from crosslight.evaluation.sides import LARGEST_SQUARE, require_products
from crosslight.evaluation.tally import Tally

_PAIRS = 4096
_ROWS, _COLUMNS = 512, 8192
_SPARE = 44


def rank_tensors(
    query_feats: torch.Tensor,
    query: Labels,
    gallery_feats: torch.Tensor,
    gallery: Labels,
    trials: Sequence[Trial],
    *,
    exclusion: Exclusion,
    distance: Distance = "cosine",
    cmc: CmcKind = "identity",
    top: int = 0,
    effort: Effort | None = None,
) -> list[Ranks]:
    """Ranks from features on any device.

    The arguments are those of `rank_features`; the tables are floating point tensors `(Nq, D)` and
    `(Ng, D)` on one device. Of `effort` the block counts.
    """
    pool = make_pool(trials, query, gallery, exclusion)
    tally = Tally(pool, top, cmc == "identity")
    worker = _Worker(pool, tally, query_feats, gallery_feats, distance)
    worker.find_answers()
    step = (effort or Effort()).block or _ROWS
    for low in range(0, len(pool.query_rows), step):
        worker.count(low, min(low + step, len(pool.query_rows)))
    counted = tally.result("fp32+float64 on " + query_feats.device.type)
    return ranks_of_counts(pool, trials, counted, top_distances(counted, distance), cmc)


def exact_dots(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`(n,)` inner products of the rows of two `(n, D)` tensors in float64, in a stated order."""
    products = a.double() * b.double()
    products = torch.nn.functional.pad(products, (0, -products.shape[1] % LANES))
    lanes = products.view(len(products), -1, LANES)
    sums = lanes[:, 0]
    for i in range(1, lanes.shape[1]):
        sums = sums + lanes[:, i]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums[:, 0]


@dataclass(kw_only=True, eq=False)
class _Part:
    """Thresholds of a block of queries, padded to the most right answers that one of them has.

    Attributes:
        low, high: `(B, P)` float32, ascending; a value below or above is decided.
        exact: `(B, P)` float64 nearness, ascending.
        right: `(B, 1)` number of right answers.
    """

    low: torch.Tensor
    high: torch.Tensor
    exact: torch.Tensor
    right: torch.Tensor


class _Worker:
    def __init__(
        self,
        pool: Pool,
        tally: Tally,
        query_feats: torch.Tensor,
        gallery_feats: torch.Tensor,
        distance: Distance,
    ) -> None:
        self._pool, self._tally, self._distance = pool, tally, distance
        self._device = query_feats.device
        self._queries = self._rows_of(query_feats, pool.query_rows)
        self._gallery = self._rows_of(gallery_feats, pool.slot_rows)
        self._query_squares = self._squares(self._queries, pool.query_rows)
        self._slot_squares = self._squares(self._gallery, pool.slot_rows)
        largest = torch.cat([self._query_squares, self._slot_squares]).max().item()
        unit = 1.0 if largest == 0 else 2.0 ** -float(np.ceil(np.log2(largest) / 2))
        query_lengths, slot_lengths = map(_lengths, (self._query_squares, self._slot_squares))
        self._offset = torch.zeros(len(self._gallery), device=self._device)
        if distance == "cosine":
            self._terms = slot_lengths
            query_factors, slot_factors = 1.0 / query_lengths, 1.0 / slot_lengths
            self._scale = query_factors
        else:
            self._terms = 0.5 * self._slot_squares
            query_factors = torch.full_like(query_lengths, unit)
            slot_factors = torch.full_like(slot_lengths, unit)
            self._scale = query_factors * unit
            if distance == "euclidean":
                self._offset = (self._terms * unit * unit).float()
        # In float64 where torch may multiply float32 in fewer bits; the bound covers it.
        whole = torch.get_float32_matmul_precision() == "highest"
        kind = torch.float32 if whole else torch.float64
        self._quick_queries = (self._queries.double() * query_factors[:, None]).float().to(kind)
        self._quick_gallery = (self._gallery.double() * slot_factors[:, None]).float().to(kind)
        width = float32_width(
            self._queries.shape[1],
            (query_lengths * query_factors).cpu().numpy(),
            float((slot_lengths * slot_factors).max()),
            float(self._offset.max()),
        )
        self._width = torch.from_numpy(width).to(self._device)
        self._position = torch.from_numpy(pool.position.astype(np.int64)).to(self._device)
        self._person = torch.from_numpy(pool.person).to(self._device)
        self._query_person = torch.from_numpy(pool.query_person).to(self._device)
        self._hidden = torch.from_numpy(pool.hidden).to(self._device)
        self._hides = torch.from_numpy(pool.query_hides).to(self._device)

    def find_answers(self) -> None:
        pool = self._pool
        owner = np.repeat(np.arange(len(pool.query_rows)), np.diff(pool.starts))
        nearness = self._nearness(
            torch.from_numpy(owner).to(self._device),
            torch.from_numpy(pool.positives).to(self._device),
        )
        values = nearness.cpu().numpy()
        order = np.lexsort((pool.positives, -values, owner))
        self._tally.slots[:] = pool.positives[order]
        self._tally.nearness[:] = values[order]
        self._tally.query_squares[:] = self._query_squares.cpu().numpy()

    def count(self, low: int, high: int) -> None:
        pool, tally, device = self._pool, self._tally, self._device
        rows, galleries = high - low, pool.position.shape[1]
        part = self._part(low, high)
        most = part.exact.shape[1]
        first = self._first(low, high)
        before = torch.zeros((galleries, rows, most + 1), dtype=torch.int64, device=device)
        met = torch.zeros(
            (galleries, rows, pool.people if tally.counts_people else 0),
            dtype=torch.int8,
            device=device,
        )
        best: list[tuple[torch.Tensor, torch.Tensor]] = []
        for left in range(0, len(self._gallery), _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, len(self._gallery)))
            values = (self._quick_queries[low:high] @ self._quick_gallery[columns].T).float()
            values -= self._offset[columns]
            hidden = self._hides[low:high, None] >= 0
            if len(self._hidden):
                hidden = hidden & self._hidden[self._hides[low:high].clamp(min=0), columns]
            own = self._query_person[low:high, None] == self._person[columns]
            if tally.top_slot.shape[1]:
                best.append(self._candidates(values, hidden | own, columns))
            place, ties = self._places(values, hidden | own, part, low, columns)
            flat = ties + torch.arange(rows, device=device)[:, None] * (most + 1)
            for t in range(galleries):
                position = self._position[columns, t]
                member = (position >= 0).long().expand(rows, -1)
                before[t].view(-1).scatter_add_(0, flat.reshape(-1), member.reshape(-1))
                if tally.counts_people:
                    self._meet(met[t], first[:, t], place, ties, position, columns, t, low)
            self._tie(place, ties, low, columns)
        owner = np.repeat(np.arange(low, high), np.diff(pool.starts[low : high + 1]))
        nth = np.arange(len(owner)) + pool.starts[low] - pool.starts[owner]
        answers = slice(int(pool.starts[low]), int(pool.starts[high]))
        tally.before[answers] = before.cpu().numpy()[:, owner - low, nth].T
        tally.people[low:high] = met.sum(dim=2, dtype=torch.int64).T.cpu().numpy()
        if best:
            self._keep_nearest(best, low, high)

    def _part(self, low: int, high: int) -> _Part:
        pool = self._pool
        counts = np.diff(pool.starts[low : high + 1])
        most = max(int(counts.max(initial=0)), 1)
        exact = np.full((high - low, most), -np.inf)
        owner = np.repeat(np.arange(high - low), counts)
        nth = np.arange(len(owner)) + pool.starts[low] - pool.starts[low + owner]
        # Ascending: the nearest right answer stands last, padding first.
        exact[owner, most - 1 - nth] = self._tally.nearness[pool.starts[low] : pool.starts[high]]
        thresholds = torch.from_numpy(exact).to(self._device)
        scaled = thresholds * self._scale[low:high, None]
        width = self._width[low:high, None]
        least, highest = torch.tensor([-torch.inf, torch.inf], device=self._device)
        return _Part(
            low=torch.nextafter((scaled - width).float(), least),
            high=torch.nextafter((scaled + width).float(), highest),
            exact=thresholds,
            right=torch.from_numpy(counts).to(self._device)[:, None],
        )

    def _places(
        self,
        values: torch.Tensor,
        left_out: torch.Tensor,
        part: _Part,
        low: int,
        columns: slice,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Right answers before each entry, without and with those that are exactly as near.
        most = part.exact.shape[1]
        place = most - torch.searchsorted(part.low, values, right=True)
        ties = most - torch.searchsorted(part.high, values)
        place.masked_fill_(left_out, most)
        ties.masked_fill_(left_out, most)
        rows, found = torch.nonzero(place < torch.minimum(ties, part.right), as_tuple=True)
        if len(rows):
            exact = self._nearness(rows + low, found + columns.start)
            for at in range(0, len(rows), _PAIRS):
                chunk = slice(at, at + _PAIRS)
                r, value = rows[chunk], exact[chunk, None]
                thresholds = part.exact[r]
                place[r, found[chunk]] = most - torch.searchsorted(
                    thresholds, value, right=True
                ).squeeze(1)
                ties[r, found[chunk]] = most - torch.searchsorted(thresholds, value).squeeze(1)
            np.add.at(self._tally.redone, rows.cpu().numpy() + low, 1)
        return place, ties

    def _meet(
        self,
        met: torch.Tensor,
        first: torch.Tensor,
        place: torch.Tensor,
        ties: torch.Tensor,
        position: torch.Tensor,
        columns: slice,
        t: int,
        low: int,
    ) -> None:
        starts = torch.from_numpy(self._pool.starts[low : low + len(met)]).to(self._device)
        slots = torch.from_numpy(self._tally.slots).to(self._device)
        if not len(slots):
            return
        own = self._position[slots[(starts + first).clamp(0, len(slots) - 1)], t]
        earlier = ties <= first[:, None]
        earlier |= (place <= first[:, None]) & (position < own[:, None])
        earlier &= (position >= 0) & (first[:, None] >= 0)
        who = self._person[columns].expand(len(met), -1)
        met.scatter_reduce_(1, who, earlier.to(torch.int8), "amax")

    def _tie(self, place: torch.Tensor, ties: torch.Tensor, low: int, columns: slice) -> None:
        pool, tally = self._pool, self._tally
        for row, column in torch.nonzero(place < ties).tolist():
            begin = int(pool.starts[low + row])
            end = min(int(ties[row, column]), int(pool.starts[low + row + 1]) - begin)
            position = pool.position[columns.start + column]
            for k in range(begin + int(place[row, column]), begin + end):
                earlier = (position >= 0) & (position < pool.position[tally.slots[k]])
                tally.tied[k] += earlier.astype(np.int32)

    def _first(self, low: int, high: int) -> torch.Tensor:
        pool, tally = self._pool, self._tally
        first = np.full((high - low, pool.position.shape[1]), -1, dtype=np.int64)
        for row in range(high - low if tally.counts_people else 0):
            begin, end = int(pool.starts[low + row]), int(pool.starts[low + row + 1])
            for t in range(first.shape[1]):
                places = pool.position[tally.slots[begin:end], t].astype(np.int64)
                shown = np.flatnonzero(places >= 0)
                if len(shown):
                    nearest = shown[
                        tally.nearness[begin + shown] == tally.nearness[begin + shown[0]]
                    ]
                    first[row, t] = nearest[np.argmin(places[nearest])]
        return torch.from_numpy(first).to(self._device)

    def _candidates(
        self, values: torch.Tensor, left_out: torch.Tensor, columns: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        # Right answers join later; the other images of the person are hidden or right answers.
        out = left_out | (self._position[columns, self._pool.gallery_of[0]] < 0)
        values = values.masked_fill(out, -torch.inf)
        room = min(self._tally.top_slot.shape[1] + _SPARE, values.shape[1])
        kept, where = torch.topk(values, room, dim=1)
        return kept, where + columns.start

    def _keep_nearest(
        self, best: list[tuple[torch.Tensor, torch.Tensor]], low: int, high: int
    ) -> None:
        pool, tally = self._pool, self._tally
        tops, places = tally.top_slot.shape[1], pool.position[:, pool.gallery_of[0]]
        values = torch.cat([kept for kept, _ in best], dim=1)
        slots = torch.cat([where for _, where in best], dim=1)
        limit = torch.topk(values, min(tops, values.shape[1]), dim=1).values[:, -1].double()
        limit -= 2.0 * self._width[low:high]
        # A block whose last candidate may belong to the nearest may hold more of them.
        short = torch.zeros(high - low, dtype=torch.bool, device=self._device)
        for kept, _ in best:
            whole = kept.shape[1] < tops + _SPARE
            short |= torch.isfinite(kept[:, -1]) & (kept[:, -1].double() >= limit) & (not whole)
        candidate = torch.isfinite(values) & (values.double() >= limit[:, None])
        for row in range(high - low):
            query = low + row
            if short[row]:
                wrong = pool.person != pool.query_person[query]
                if pool.query_hides[query] >= 0:
                    wrong &= ~pool.hidden[pool.query_hides[query]]
                chosen = np.flatnonzero(wrong & (places >= 0))
            else:
                chosen = slots[row][candidate[row]].cpu().numpy()
            slot = torch.from_numpy(chosen).to(self._device)
            exact = self._nearness(torch.full_like(slot, query), slot).cpu().numpy()
            mine = slice(int(pool.starts[query]), int(pool.starts[query + 1]))
            right = places[tally.slots[mine]] >= 0
            chosen = np.concatenate([chosen, tally.slots[mine][right]])
            exact = np.concatenate([exact, tally.nearness[mine][right]])
            order = np.lexsort((places[chosen], -exact))[:tops]
            tally.top_slot[query, : len(order)] = chosen[order]
            tally.top_nearness[query, : len(order)] = exact[order]

    def _nearness(self, queries: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        parts = [
            exact_dots(
                self._queries[queries[at : at + _PAIRS]], self._gallery[slots[at : at + _PAIRS]]
            )
            for at in range(0, len(queries), _PAIRS)
        ]
        dots = torch.cat(parts) if parts else self._terms[:0]
        if self._distance == "cosine":
            return dots / self._terms[slots]
        return dots - self._terms[slots] if self._distance == "euclidean" else dots

    def _squares(self, rows: torch.Tensor, numbers: IntArray) -> torch.Tensor:
        squares = []
        for at in range(0, len(rows), _PAIRS):
            block = rows[at : at + _PAIRS]
            squares.append(exact_dots(block, block))
            if not bool((squares[-1] <= LARGEST_SQUARE).all()):
                require_products(
                    squares[-1].cpu().numpy(), block.cpu().numpy(), numbers[at : at + _PAIRS]
                )
        return torch.cat(squares)

    def _rows_of(self, feats: torch.Tensor, rows: IntArray) -> torch.Tensor:
        taken = feats[torch.from_numpy(rows).to(feats.device)]
        return taken.float() if taken.dtype in (torch.float16, torch.bfloat16) else taken


def _lengths(squares: torch.Tensor) -> torch.Tensor:
    # By numpy: torch does not round every square root to the nearest number.
    values = squares.cpu().numpy()
    return torch.from_numpy(np.sqrt(np.where(values > 0, values, 1.0))).to(squares.device)
