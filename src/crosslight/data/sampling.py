"""Which images meet in a batch: P people x K images, a pure function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from crosslight.config import DataConfig
from crosslight.data.batches import Batches, Deck, Rows, rows_by_person
from crosslight.data.pairing import LightPairBatches, PairBatches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError
from crosslight.types import Modality


class IdentityBatches(Batches):
    """P people x K images of each, whatever the light.

    Order inside a batch: person after person.

    Args:
        table: The training rows.
        ids_per_batch: P.
        images_per_id: K.
        seed: Decides every epoch.
        iterations_per_epoch: None: as many as show each image once on average.
        by_images: Visit people in proportion to their images; see `DataConfig.visits`.

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
        by_images: bool = False,
    ) -> None:
        self._by_images = by_images
        self._images = rows_by_person(table.pids)
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
        if self._by_images:
            return list(islice(self._passes(generator), self.iterations_per_epoch))
        people = Deck(self.people, generator)
        images = {pid: Deck(rows, generator) for pid, rows in self._images.items()}
        return [
            np.concatenate(
                [
                    images[pid].deal(self._images_per_id)
                    for pid in people.deal(self.ids_per_batch).tolist()
                ]
            )
            for _ in range(self.iterations_per_epoch)
        ]

    def _passes(self, generator: np.random.Generator) -> Iterator[Rows]:
        """Batches of passes over the data, one pass after the other, without end."""
        count = self._images_per_id
        while True:
            left = {}
            for pid, rows in self._images.items():
                short = max(0, count - len(rows))
                shuffled = generator.permutation(rows)
                left[pid] = np.concatenate([shuffled, generator.choice(rows, short)])
            while len(left) >= self.ids_per_batch:
                chosen = generator.choice(list(left), self.ids_per_batch, replace=False).tolist()
                yield np.concatenate([left[pid][:count] for pid in chosen])
                for pid in chosen:
                    left[pid] = left[pid][count:]
                    if len(left[pid]) < count:
                        del left[pid]

    def positions(self, rank: int, world: int) -> Rows:
        """Places in a global batch that one of several processes loads: whole people.

        Raises:
            DataError: P is no multiple of `world`.
        """
        places = np.arange(self.batch_size).reshape(self.ids_per_batch, self._images_per_id)
        return places[self._people_of(rank, world)].reshape(-1)


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
        sites_apart: Take the people of a batch from one site, each site as often as it has people.

    Raises:
        DataError: Nobody, or fewer people than P, were seen in both lights, or at one of the sites.
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
        sites_apart: bool = False,
    ) -> None:
        rows = np.arange(len(table))
        by_light = {
            light: rows_by_person(table.pids, rows[table.modality == light]) for light in Modality
        }
        lights = (by_light[Modality.VISIBLE], by_light[Modality.INFRARED])
        both = sorted(lights[0].keys() & lights[1].keys())
        one = np.array(sorted(lights[0].keys() ^ lights[1].keys()), dtype=np.int64)
        if not both:
            raise DataError(_nobody_in_both_lights(one, lights))
        _refuse_too_few_people(len(both), ids_per_batch, " seen in both lights")
        self._images = [{pid: by_person[pid] for pid in both} for by_person in lights]
        self._images_per_id = (visible_per_id, infrared_per_id)
        sites = people_by_site(table) if sites_apart else [np.array(both, dtype=np.int64)]
        paired = (np.intersect1d(people, both) for people in sites)
        self._sites = [people for people in paired if len(people)]
        smallest = min(len(people) for people in self._sites)
        _refuse_too_few_people(smallest, ids_per_batch, " seen in both lights at one of its sites")
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
        people = [Deck(own, generator) for own in self._sites]
        shares = np.repeat(np.arange(len(people)), [len(own) for own in self._sites])
        sites = Deck(shares, generator)
        decks = [
            {pid: Deck(rows, generator) for pid, rows in by_person.items()}
            for by_person in self._images
        ]
        epoch_batches = []
        for _ in range(self.iterations_per_epoch):
            site = 0 if len(people) == 1 else int(sites.deal(1)[0])
            drawn = people[site].deal(self.ids_per_batch).tolist()
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
    if config.sites == "apart" and config.sampling != "cross-modal":
        raise ConfigError(
            f"data.sites is apart, but data.sampling is {config.sampling}, which mixes sites; set "
            "data.sites to mixed, or data.sampling to cross-modal."
        )
    if config.sampling == "identity":
        return IdentityBatches(
            table,
            ids_per_batch=config.ids_per_batch,
            images_per_id=config.images_per_id,
            seed=seed,
            iterations_per_epoch=config.iterations_per_epoch,
            by_images=config.visits == "by-images",
        )
    if config.visits != "equal":
        raise ConfigError(
            f"data.visits is {config.visits}, but data.sampling is {config.sampling}, which visits "
            "people equally; set data.visits to equal, or data.sampling to identity."
        )
    if config.sampling == "pairs":
        return PairBatches(
            table,
            pairs_per_batch=config.ids_per_batch,
            seed=seed,
            iterations_per_epoch=config.iterations_per_epoch,
        )
    if config.sampling == "light-pairs":
        return LightPairBatches(
            table,
            pairs_per_batch=config.ids_per_batch,
            across_light=config.across_light,
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
        sites_apart=config.sites == "apart",
    )


def people_by_site(table: SampleTable) -> list[Rows]:
    """The people of each site, sorted; people whom a camera saw, or one through another, share one.

    People without a camera id are a site of their own, all of them one.
    """
    people, who = np.unique(table.pids, return_inverse=True)
    cams, where = np.unique(table.cams, return_inverse=True)
    size = len(people) + len(cams)
    seen = coo_array((np.ones(len(table)), (who, len(people) + where)), shape=(size, size))
    _, site = connected_components(seen, directed=False)
    return [people[site[: len(people)] == number] for number in dict.fromkeys(site.tolist())]


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
