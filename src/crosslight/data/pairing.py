"""Batches of pairs in two halves that exchange their codes: DG-Net's, and those across lights."""

from __future__ import annotations

from functools import partial

import numpy as np

from crosslight.data.batches import Batches, Deck, Rows, rows_by_person
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError
from crosslight.types import Modality


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
        self._images = rows_by_person(table.pids)
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
        shuffles = [Deck(np.arange(len(self._pids)), generator) for _ in range(2)]
        half = self.ids_per_batch // 2
        return [
            self._with_partners(
                [image for shuffle in shuffles for image in shuffle.deal(half).tolist()], generator
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

    def _with_partners(self, images: list[int], generator: np.random.Generator) -> Rows:
        rows = [row for image in images for row in (image, self._partner(image, generator))]
        return np.array(rows, dtype=np.int64)

    def _candidates(self, image: int) -> Rows:
        return self._images[self._pids[image]]

    def _partner(self, image: int, generator: np.random.Generator) -> int:
        own = self._candidates(image)
        if len(own) == 1:
            return image
        # One of the others: the drawn one, or the last where the image itself was drawn.
        drawn = int(own[generator.integers(len(own) - 1)])
        return int(own[-1]) if drawn == image else drawn


class LightPairBatches(PairBatches):
    """P images, each followed by another one of the same person in the same light.

    The pairings of DG-Net across spectra: partners share person and light, and how often the two
    halves of P, which exchange their codes place by place, meet across light is decided here.
    People who meet are then always different ones. A person's only image in a light is its own
    partner.

    Args:
        table: The training rows.
        pairs_per_batch: P.
        across_light: Part of the meetings between a visible and an infrared image, in [0, 1];
            None leaves light and person of those who meet to two independent shuffles.
        seed: Decides every epoch.
        iterations_per_epoch: None: as many as show each image once in the first half.

    Raises:
        ConfigError: P is odd, or `across_light` is no part.
        DataError: A light shows fewer than two people.
    """

    def __init__(
        self,
        table: SampleTable,
        *,
        pairs_per_batch: int,
        across_light: float | None,
        seed: int,
        iterations_per_epoch: int | None = None,
    ) -> None:
        super().__init__(
            table,
            pairs_per_batch=pairs_per_batch,
            seed=seed,
            iterations_per_epoch=iterations_per_epoch,
        )
        if across_light is not None and not 0 <= across_light <= 1:
            raise ConfigError(
                f"data.across_light is {across_light}; set it to a part from 0 to 1, or leave it "
                "out for chance."
            )
        self._across_light = across_light
        self._lights = table.modality
        rows = np.arange(len(table))
        self._rows = {light: rows[self._lights == light] for light in Modality}
        self._in_light = {
            light: rows_by_person(table.pids, own) for light, own in self._rows.items()
        }
        for light, people in self._in_light.items():
            if across_light is not None and len(people) < 2:
                raise DataError(
                    f"The training data shows {len(people)} people in {light.name.lower()} light, "
                    "but pairs across light need two or more; leave data.across_light out, or "
                    "train on data with both lights."
                )

    def batches(self, epoch: int) -> list[Rows]:
        """The global batches of one epoch: rows of the table, (2 * P,) each."""
        if self._across_light is None:
            return super().batches(epoch)
        generator = self._generator(epoch)
        first = Deck(np.arange(len(self._pids)), generator)
        second = {light: Deck(rows, generator) for light, rows in self._rows.items()}
        drawn, owed = [], 0.0
        for _ in range(self.iterations_per_epoch):
            ours = first.deal(self.ids_per_batch // 2).tolist()
            theirs = []
            for image in ours:
                owed += self._across_light
                across = owed >= 1 - 1e-9
                owed -= across
                light = Modality(int(self._lights[image]) ^ across)
                theirs.append(second[light].deal_one(partial(self._differs, image)))
            drawn.append(self._with_partners(ours + theirs, generator))
        return drawn

    def _differs(self, image: int, other: int) -> bool:
        return bool(self._pids[image] != self._pids[other])

    def _candidates(self, image: int) -> Rows:
        return self._in_light[Modality(int(self._lights[image]))][int(self._pids[image])]
