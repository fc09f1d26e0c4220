"""What every sampling shares: whole batches of an epoch, and dealing rows like cards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crosslight.errors import DataError

Rows = NDArray[np.int64]


class Batches(ABC):
    """Batches of table rows with whole people in them, the same for any number of processes.

    Within an epoch people are visited in random order, each about equally often, and never twice
    in one batch. A person's images are dealt like cards: none comes again before all have been
    seen, and a batch repeats an image only where the person has too few.

    Attributes:
        people: pids that can be drawn, sorted.
        left_out: pids that cannot be drawn, sorted.
        ids_per_batch: P.
        batch_size: Rows of one batch.
        iterations_per_epoch: Batches of one epoch.
    """

    def __init__(
        self,
        *,
        people: Rows,
        left_out: Rows,
        ids_per_batch: int,
        images_per_id: int,
        images: int,
        seed: int,
        iterations_per_epoch: int | None,
    ) -> None:
        self.people = people
        self.left_out = left_out
        self.ids_per_batch = ids_per_batch
        self.batch_size = ids_per_batch * images_per_id
        shown_once = max(1, round(images / self.batch_size))
        self.iterations_per_epoch = iterations_per_epoch or shown_once
        self._seed = seed

    @abstractmethod
    def batches(self, epoch: int) -> list[Rows]:
        """The global batches of one epoch: rows of the table, (batch_size,) each."""

    @abstractmethod
    def positions(self, rank: int, world: int) -> Rows:
        """Places in a global batch that one of several processes loads: whole people.

        Raises:
            DataError: The people of a batch cannot be shared out equally.
        """

    def shard(self, batch: Rows, rank: int, world: int) -> Rows:
        """The part of a global batch that one of several processes loads.

        Raises:
            DataError: The people of a batch cannot be shared out equally.
        """
        return batch[self.positions(rank, world)]

    def _generator(self, epoch: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self._seed, epoch]))

    def _people_of(self, rank: int, world: int) -> slice:
        if self.ids_per_batch % world:
            raise DataError(
                f"The {self.ids_per_batch} people of a batch cannot be shared out equally among "
                f"{world} processes; set data.ids_per_batch to a multiple of {world}."
            )
        share = self.ids_per_batch // world
        return slice(rank * share, (rank + 1) * share)


class Deck:
    """Deals cards without repeats within a deal, reshuffling when all have been dealt.

    Cards are skipped, and dealt first next time, where a reshuffle would repeat one within a
    deal; so the counts of any two cards never differ by more than one. A deal larger than the
    deck takes every card and draws the rest with replacement.
    """

    def __init__(self, cards: Rows, generator: np.random.Generator) -> None:
        self._cards = cards
        self._generator = generator
        self._left: list[int] = []

    def deal(self, count: int) -> Rows:
        """The next cards, (count,)."""
        if count > len(self._cards):
            extra = self._generator.choice(self._cards, count - len(self._cards))
            return np.concatenate([self._generator.permutation(self._cards), extra])
        dealt, self._left = self._left[:count], self._left[count:]
        if len(dealt) < count:
            shuffled = self._generator.permutation(self._cards).tolist()
            fresh = [card for card in shuffled if card not in dealt]
            again = [card for card in shuffled if card in dealt]
            missing = count - len(dealt)
            dealt, self._left = dealt + fresh[:missing], again + fresh[missing:]
        return np.array(dealt, dtype=np.int64)

    def deal_one(self, allowed: Callable[[int], bool]) -> int:
        """The next card that is allowed; some card must be."""
        place = next((i for i, card in enumerate(self._left) if allowed(card)), None)
        while place is None:
            before = len(self._left)
            self._left += self._generator.permutation(self._cards).tolist()
            fresh = range(before, len(self._left))
            place = next((i for i in fresh if allowed(self._left[i])), None)
        return self._left.pop(place)


def rows_by_person(pids: Rows, rows: Rows | None = None) -> dict[int, Rows]:
    """Pid → its rows in table order; of the given rows only, if any are given."""
    chosen = np.arange(len(pids)) if rows is None else rows
    order = chosen[np.argsort(pids[chosen], kind="stable")]
    people, starts = np.unique(pids[order], return_index=True)
    return dict(zip(people.tolist(), np.split(order, starts)[1:], strict=True))
