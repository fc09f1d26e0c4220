"""Turning rows of a table into batches, in this process or in others, always the same ones."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from crosslight.config import DataConfig
from crosslight.data.batch import Batch
from crosslight.data.batches import Batches
from crosslight.data.images import read_image
from crosslight.data.loading_processes import Loads, loaded
from crosslight.data.table import SampleTable
from crosslight.data.transforms import InferenceTransform, TrainingTransform
from crosslight.types import Modality

_NO_LABEL = -1


@dataclass(frozen=True, kw_only=True)
class _Order:
    """One training batch to load: which rows, and what seeds their random draws."""

    epoch: int
    iteration: int
    rows: NDArray[np.int64]
    positions: NDArray[np.int64]


class TrainingLoader:
    """Augmented batches of a whole stage, from any iteration on.

    The batches depend on the seed, the epoch and the iteration alone: neither on where loading
    starts nor on the number of workers, and several ranks load the parts of what one would.

    Order inside a batch: as the sampler says. With channel exchange all visible images come
    first, then their exchanged views in the same order, then the infrared images.

    Args:
        table: The training rows.
        config: Size and augmentation.
        batches: Which rows meet.
        seed: Decides every random draw.
        workers: Loading processes; 0 loads in this one.
        rank: This process's part of every batch.
        world: Number of parts.

    Raises:
        DataError: The people of a batch cannot be shared out equally.
    """

    def __init__(
        self,
        table: SampleTable,
        config: DataConfig,
        batches: Batches,
        *,
        seed: int,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._batches = batches
        self._positions = batches.positions(rank, world)
        self._dataset = _TrainingSet(table, TrainingTransform(config), seed)
        self._workers = workers

    def iterate(self, *, start: int, stop: int, first_epoch: int = 0) -> Generator[Batch]:
        """Batches of iterations `start` to `stop - 1`, counted from the start of `first_epoch`.

        Raises:
            DataError: An image cannot be read, or a loading process died.
        """
        orders = _Orders(self._batches, self._positions, start, stop, first_epoch)
        yield from loaded(self._dataset, orders, self._workers)

    def iterate_stored(
        self, feats: Tensor, *, start: int, stop: int, first_epoch: int = 0
    ) -> Generator[Batch]:
        """The same rows without reading an image; with channel exchange, each row once.

        Args:
            feats: (N, D), what stands for each image of the table.
            start: First iteration.
            stop: Iteration to end before.
            first_epoch: Epoch that iterations are counted from.
        """
        for order in _Orders(self._batches, self._positions, start, stop, first_epoch):
            yield self._dataset.stored(torch.from_numpy(order.rows), feats)


def inference_batches(
    table: SampleTable, transform: InferenceTransform, *, batch_size: int, workers: int
) -> Generator[Batch]:
    """All images of a table in its order, resized only; labels are -1.

    Raises:
        DataError: An image cannot be read, or a loading process died.
    """
    rows = np.arange(len(table))
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    dataset = _InferenceSet(table, transform)
    yield from loaded(dataset, parts, min(workers, len(parts)))


class _Orders:
    """The orders of a stage; an epoch's batches are drawn when it begins."""

    def __init__(
        self,
        batches: Batches,
        positions: NDArray[np.int64],
        start: int,
        stop: int,
        first_epoch: int,
    ) -> None:
        self._batches = batches
        self._positions = positions
        self._range = range(start, stop)
        self._first_epoch = first_epoch

    def __len__(self) -> int:
        return len(self._range)

    def __iter__(self) -> Iterator[_Order]:
        drawn: list[NDArray[np.int64]] = []
        drawn_epoch = -1
        for step in self._range:
            past, iteration = divmod(step, self._batches.iterations_per_epoch)
            epoch = self._first_epoch + past
            if epoch != drawn_epoch:
                drawn, drawn_epoch = self._batches.batches(epoch), epoch
            yield _Order(
                epoch=epoch,
                iteration=iteration,
                rows=drawn[iteration][self._positions],
                positions=self._positions,
            )


class _Columns:
    """What loading needs of a table, free of anything that a forked process must not touch."""

    def __init__(self, table: SampleTable) -> None:
        self._paths, self._deep_range = table.paths, table.deep_range
        self.cams = torch.tensor(table.cams, dtype=torch.int64)
        self.modality = torch.tensor(table.modality, dtype=torch.int64)
        self.pids = torch.tensor(table.pids, dtype=torch.int64)

    def image(self, row: int) -> Image.Image:
        return read_image(self._paths[row], deep_range=self._deep_range)

    def batch(self, images: Sequence[Tensor], labels: Tensor, rows: Tensor) -> Batch:
        return Batch(
            images=torch.stack(list(images)),
            labels=labels,
            cams=self.cams[rows],
            modality=self.modality[rows],
            rows=rows,
            pids=self.pids[rows],
        )


class _TrainingSet(Loads[_Order]):
    def __init__(self, table: SampleTable, transform: TrainingTransform, seed: int) -> None:
        self._columns = _Columns(table)
        self._labels = torch.tensor(table.labels(), dtype=torch.int64)
        self._transform = transform
        self._seed = seed

    def stored(self, rows: Tensor, feats: Tensor) -> Batch:
        nothing = torch.empty(3, 0, 0)
        batch = self._columns.batch([nothing] * len(rows), self._labels[rows], rows)
        return replace(batch, feats=feats[rows])

    def load(self, order: _Order) -> Batch:
        """One augmented batch."""
        samples = []
        for row, position in zip(order.rows.tolist(), order.positions.tolist(), strict=True):
            image = self._columns.image(row)
            # The place in the global batch, not in this rank's part: any number of ranks, same
            # draws. A spawn key, because SeedSequence([s, e]) equals SeedSequence([s, e, 0, 0]).
            place = np.random.SeedSequence(
                [self._seed, order.epoch], spawn_key=(order.iteration, position)
            )
            modality = int(self._columns.modality[row])
            samples.append(self._transform(image, modality, np.random.default_rng(place)))
        rows = torch.from_numpy(order.rows)
        if self._transform.visible_views == 1:
            images = [sample[0] for sample in samples]
        else:
            visible = (self._columns.modality[rows] == Modality.VISIBLE).nonzero()[:, 0].tolist()
            infrared = sorted(set(range(len(samples))) - set(visible))
            images = [samples[i][view] for view in (0, 1) for i in visible]
            images += [samples[i][0] for i in infrared]
            rows = rows[visible + visible + infrared]
        return self._columns.batch(images, self._labels[rows], rows)


class _InferenceSet(Loads[NDArray[np.int64]]):
    def __init__(self, table: SampleTable, transform: InferenceTransform) -> None:
        self._columns = _Columns(table)
        self._transform = transform

    def load(self, rows: NDArray[np.int64]) -> Batch:
        """Resized images of some rows."""
        images = [self._transform(self._columns.image(row)) for row in rows]
        labels = torch.full((len(rows),), _NO_LABEL)
        return self._columns.batch(images, labels, torch.from_numpy(rows))
