"""Which images meet in a batch: P people x K images, a pure function of seed and epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crosslight.config import DataConfig
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError
from crosslight.types import Modality

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


class IdentityBatches(Batches):
    """P people x K images of each, whatever the light.

    Order inside a batch: person after person.

    Args:
        table: The training rows.
        ids_per_batch: P.
        images_per_id: K.
        seed: Decides every epoch.
        iterations_per_epoch: None: as many as show each image once on average.

    Raises:
        DataError: The table has fewer people than P.
    """

    def __init__(
        self,
        table: SampleTable,
        *,
        ids_per_batch: int,
        images_per_id: int,
        seed: int,
        iterations_per_epoch: int | None = None,
    ) -> None:
        self._images = _rows_by_person(table.pids)
        _refuse_too_few_people(len(self._images), ids_per_batch, "")
        self._images_per_id = images_per_id
        super().__init__(
            people=np.array(sorted(self._images), dtype=np.int64),
            left_out=np.array([], dtype=np.int64),
            ids_per_batch=ids_per_batch,
            images_per_id=images_per_id,
            images=len(table),
            seed=seed,
            iterations_per_epoch=iterations_per_epoch,
        )

    def batches(self, epoch: int) -> list[Rows]:
        """The global batches of one epoch: rows of the table, (P * K,) each."""
        generator = self._generator(epoch)
        people = _Deck(self.people, generator)
        images = {pid: _Deck(rows, generator) for pid, rows in self._images.items()}
        return [
            np.concatenate(
                [
                    images[pid].deal(self._images_per_id)
                    for pid in people.deal(self.ids_per_batch).tolist()
                ]
            )
            for _ in range(self.iterations_per_epoch)
        ]

    def positions(self, rank: int, world: int) -> Rows:
        """Places in a global batch that one of several processes loads: whole people.

        Raises:
            DataError: P is no multiple of `world`.
        """
        places = np.arange(self.batch_size).reshape(self.ids_per_batch, self._images_per_id)
        return places[self._people_of(rank, world)].reshape(-1)


class PairBatches(Batches):
    """P images, each followed by another one of the same person: DG-Net's batches.

    The halves of P come from two shuffles of all images that know nothing of each other. The
    partner is any other image of the person, or the image itself where there is no other. An epoch
    shows every image once in each shuffle.

    Args:
        table: The training rows.
        pairs_per_batch: P.
        seed: Decides every epoch.
        iterations_per_epoch: None: as many as a shuffle lasts.

    Raises:
        ConfigError: P is odd.
    """

    def __init__(
        self,
        table: SampleTable,
        *,
        pairs_per_batch: int,
        seed: int,
        iterations_per_epoch: int | None = None,
    ) -> None:
        if pairs_per_batch % 2:
            raise ConfigError(
                f"data.ids_per_batch is {pairs_per_batch}, but data.sampling pairs needs two "
                "halves; set it to an even number."
            )
        self._pids = table.pids
        self._images = _rows_by_person(table.pids)
        super().__init__(
            people=np.array(sorted(self._images), dtype=np.int64),
            left_out=np.array([], dtype=np.int64),
            ids_per_batch=pairs_per_batch,
            images_per_id=2,
            images=4 * len(table),
            seed=seed,
            iterations_per_epoch=iterations_per_epoch,
        )

    def batches(self, epoch: int) -> list[Rows]:
        """The global batches of one epoch: rows of the table, (2 * P,) each."""
        generator = self._generator(epoch)
        shuffles = [_Deck(np.arange(len(self._pids)), generator) for _ in range(2)]
        half = self.ids_per_batch // 2
        return [
            np.array(
                [
                    row
                    for shuffle in shuffles
                    for image in shuffle.deal(half).tolist()
                    for row in (image, self._partner(image, generator))
                ],
                dtype=np.int64,
            )
            for _ in range(self.iterations_per_epoch)
        ]

    def positions(self, rank: int, world: int) -> Rows:
        """Places in a global batch that one of several processes loads: its share of each half.

        Raises:
            DataError: P / 2 is no multiple of `world`.
        """
        places = np.arange(self.batch_size).reshape(2, -1, 2)
        return places[:, self._people_of(rank, 2 * world)].reshape(-1)

    def _partner(self, image: int, generator: np.random.Generator) -> int:
        own = self._images[self._pids[image]]
        if len(own) == 1:
            return image
        # One of the others: the drawn one, or the last where the image itself was drawn.
        drawn = int(own[generator.integers(len(own) - 1)])
        return int(own[-1]) if drawn == image else drawn


class CrossModalBatches(Batches):
    """P people x (visible + infrared images of the same people).

    People who were seen in one light only are left out. Order inside a batch, on which methods
    rely: all visible images first, then all infrared ones, both person after person with the
    people in the same order. A process's share of the batch keeps that order.

    Args:
        table: The training rows.
        ids_per_batch: P.
        visible_per_id: Visible images per person.
        infrared_per_id: Infrared images per person.
        seed: Decides every epoch.
        iterations_per_epoch: None: as many as show each image once on average.

    Raises:
        DataError: Nobody, or fewer people than P, were seen in both lights.
    """

    def __init__(
        self,
        table: SampleTable,
        *,
        ids_per_batch: int,
        visible_per_id: int,
        infrared_per_id: int,
        seed: int,
        iterations_per_epoch: int | None = None,
    ) -> None:
        rows = np.arange(len(table))
        by_light = {
            light: _rows_by_person(table.pids, rows[table.modality == light]) for light in Modality
        }
        lights = (by_light[Modality.VISIBLE], by_light[Modality.INFRARED])
        both = sorted(lights[0].keys() & lights[1].keys())
        one = np.array(sorted(lights[0].keys() ^ lights[1].keys()), dtype=np.int64)
        if not both:
            raise DataError(_nobody_in_both_lights(one, lights))
        _refuse_too_few_people(len(both), ids_per_batch, " seen in both lights")
        self._images = [{pid: by_person[pid] for pid in both} for by_person in lights]
        self._images_per_id = (visible_per_id, infrared_per_id)
        super().__init__(
            people=np.array(both, dtype=np.int64),
            left_out=one,
            ids_per_batch=ids_per_batch,
            images_per_id=visible_per_id + infrared_per_id,
            images=sum(len(own) for by_person in self._images for own in by_person.values()),
            seed=seed,
            iterations_per_epoch=iterations_per_epoch,
        )

    def batches(self, epoch: int) -> list[Rows]:
        """The global batches of one epoch: rows of the table, visible first."""
        generator = self._generator(epoch)
        people = _Deck(self.people, generator)
        decks = [
            {pid: _Deck(rows, generator) for pid, rows in by_person.items()}
            for by_person in self._images
        ]
        epoch_batches = []
        for _ in range(self.iterations_per_epoch):
            drawn = people.deal(self.ids_per_batch).tolist()
            parts = [
                by_person[pid].deal(count)
                for by_person, count in zip(decks, self._images_per_id, strict=True)
                for pid in drawn
            ]
            epoch_batches.append(np.concatenate(parts))
        return epoch_batches

    def positions(self, rank: int, world: int) -> Rows:
        """Places in a global batch that one of several processes loads: whole people.

        Raises:
            DataError: P is no multiple of `world`.
        """
        own = self._people_of(rank, world)
        visible, infrared = self._images_per_id
        places = np.arange(self.batch_size)
        border = self.ids_per_batch * visible
        return np.concatenate(
            [
                places[:border].reshape(self.ids_per_batch, visible)[own].reshape(-1),
                places[border:].reshape(self.ids_per_batch, infrared)[own].reshape(-1),
            ]
        )


def build_batches(table: SampleTable, config: DataConfig, *, seed: int) -> Batches:
    """The batches that a recipe asks for.

    Raises:
        ConfigError: A count below one or a negative seed.
        DataError: The people of the table do not suffice.
    """
    for name in ("ids_per_batch", "visible_per_id", "infrared_per_id", "images_per_id"):
        if getattr(config, name) < 1:
            raise ConfigError(f"data.{name} is {getattr(config, name)}; set it to 1 or more.")
    if seed < 0:
        raise ConfigError(f"training.seed is {seed}; set it to 0 or more.")
    if config.sampling == "identity":
        return IdentityBatches(
            table,
            ids_per_batch=config.ids_per_batch,
            images_per_id=config.images_per_id,
            seed=seed,
            iterations_per_epoch=config.iterations_per_epoch,
        )
    if config.sampling == "pairs":
        return PairBatches(
            table,
            pairs_per_batch=config.ids_per_batch,
            seed=seed,
            iterations_per_epoch=config.iterations_per_epoch,
        )
    return CrossModalBatches(
        table,
        ids_per_batch=config.ids_per_batch,
        visible_per_id=config.visible_per_id,
        infrared_per_id=config.infrared_per_id,
        seed=seed,
        iterations_per_epoch=config.iterations_per_epoch,
    )


class _Deck:
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


def _rows_by_person(pids: Rows, rows: Rows | None = None) -> dict[int, Rows]:
    chosen = np.arange(len(pids)) if rows is None else rows
    order = chosen[np.argsort(pids[chosen], kind="stable")]
    people, starts = np.unique(pids[order], return_index=True)
    return dict(zip(people.tolist(), np.split(order, starts)[1:], strict=True))


def _refuse_too_few_people(found: int, wanted: int, which: str) -> None:
    if found < wanted:
        raise DataError(
            f"The training data has {found} people{which}, but a batch needs {wanted}; "
            f"set data.ids_per_batch to {found} or less."
        )


def _nobody_in_both_lights(people: Rows, lights: Sequence[dict[int, Rows]]) -> str:
    first = ", ".join(str(pid) for pid in people[:5].tolist())
    more = ", ..." if len(people) > 5 else ""
    return (
        f"None of the {len(people)} training people ({first}{more}) was seen in both lights "
        f"({len(lights[0])} in visible, {len(lights[1])} in infrared), which cross-modal batches "
        "need; set data.sampling to identity or train on data with both."
    )
