"""Batches of a stage: augmented images, or a stored code of the method's frozen networks."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from crosslight.config import Recipe
from crosslight.data.batch import Batch
from crosslight.data.batches import Batches
from crosslight.data.loading import TrainingLoader
from crosslight.data.table import SampleTable
from crosslight.methods.contract import Method, Stage
from crosslight.training.embedding import embed_table
from crosslight.training.interruption import Interruption, StopNow


class StageLoader:
    """What each stage of a training learns from.

    A stored code is a pure function of the frozen weights and the training images: computed in
    eval mode, in table order, without augmentation. It is not saved; a training that is continued
    computes the same values again. Every process computes all of it.

    Args:
        table: The training rows.
        config: Image size, batches, arithmetic.
        batches: Which rows meet.
        interruption: Tears the computing of a code.
        rank: This process's part of every batch.
        world: Number of parts.

    Attributes:
        note: Shows a person a line that stays; set by the loop.

    Raises:
        DataError: The people of a batch cannot be shared out equally.
    """

    def __init__(
        self,
        table: SampleTable,
        config: Recipe,
        batches: Batches,
        interruption: Interruption,
        *,
        rank: int,
        world: int,
    ) -> None:
        self.note: Callable[[str], None] = print
        self._table, self._config = table, config
        self._interruption = interruption
        self._images = TrainingLoader(
            table,
            config.data,
            batches,
            seed=config.training.seed,
            workers=config.data.workers,
            rank=rank,
            world=world,
        )
        self._code, self._feats = "", torch.empty(0)

    def iterate(
        self, method: Method, stage: Stage, *, start: int, stop: int, first_epoch: int
    ) -> Generator[Batch]:
        """Batches of iterations `start` to `stop - 1`; none after an interruption.

        Args:
            method: Whose code is stored.
            stage: Says what it learns from.
            start: First iteration.
            stop: Iteration to end before.
            first_epoch: Epoch that iterations are counted from.

        Raises:
            DataError: An image cannot be read, or a loading process died.
            ConfigError: The method has no such code.
        """
        if stage.learns_from is None:
            self._code = ""  # what it was computed with moves now
            yield from self._images.iterate(start=start, stop=stop, first_epoch=first_epoch)
            return
        if stage.learns_from != self._code:
            try:
                with self._interruption.immediate():
                    self._feats = self._stored(method, stage.learns_from)
            except StopNow:
                return
            self._code = stage.learns_from
        yield from self._images.iterate_stored(
            self._feats, start=start, stop=stop, first_epoch=first_epoch
        )

    def _stored(self, method: Method, code: str) -> Tensor:
        self.note(f"computing the code {code} of {len(self._table)} training images, once")
        data = self._config.data
        feats = embed_table(
            method,
            self._table,
            height=data.height,
            width=data.width,
            interpolation=data.interpolation,
            workers=data.workers,
            precision=self._config.training.precision,
            code=code,
        )
        return torch.from_numpy(feats)
