"""The training loop: stages, epochs, validation, checkpoints; it knows no method and no loss.

A training is a pure function of its configuration and data. Batches follow from the seed and the
epoch, augmentation from the place in the epoch, and every draw inside a method (dropout, noise)
from the iteration, because each begins with a seed of its own. So nothing random needs saving, and
a training that is cut anywhere continues bit for bit, with any number of loading processes. That
holds on CPU with the same number of threads; on GPU as far as operations are deterministic there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lightning_fabric import Fabric

from crosslight.config import Recipe
from crosslight.data.loading_processes import worker_deaths_told
from crosslight.data.table import SampleTable
from crosslight.methods.contract import Method
from crosslight.training.claims import Claim, claim_for_training, give_up
from crosslight.training.devices import exactly_repeatable, launch, on_first_rank
from crosslight.training.interruption import Interruption
from crosslight.training.machines import Machines
from crosslight.training.run import RunFolder, build_method
from crosslight.training.session import Preview, Training, Validate


@dataclass(frozen=True, kw_only=True)
class FitSummary:
    """What a training came to.

    Attributes:
        iterations: Iterations over all stages.
        resumed_from: How many of them an earlier call had done.
        seconds: Training time, earlier calls included.
        select: Figure that chose the weights, None where nothing was validated.
        best_score: Its value.
        model: File of the weights.
    """

    iterations: int
    resumed_from: int
    seconds: float
    select: str | None
    best_score: float | None
    model: Path


def fit(
    train: SampleTable,
    config: Recipe,
    run: RunFolder,
    *,
    method: Method | None = None,
    validate: Validate | None = None,
    preview: Preview | None = None,
    select: str = "mAP",
    machines: Machines | None = None,
    progress: bool = True,
    resume: bool = True,
) -> FitSummary:
    """Trains all stages of a method, continuing where an earlier call on the run was cut off.

    On several devices, batch normalisation sees each rank's part of a batch; losses behind
    `gather_with_gradient` see all of it.

    Args:
        train: The training rows.
        config: What to train and how.
        run: Where the state, the log and the weights go.
        method: What is trained, with its initial weights; None: as `config` says.
        validate: Scores a method in eval mode; larger is better. None: the last weights are kept.
        preview: Draws what a method in eval mode makes, every `training.preview_every` iterations;
            gets the number of iterations done over all stages.
        select: Figure of `validate` that chooses the weights to keep.
        machines: Where; None: on one device of this machine, the best it has.
        progress: Show progress on stderr.
        resume: False refuses a run that has begun.

    Raises:
        ConfigError: The configuration cannot be trained here, the run has begun or is that of
            another training, or another process trains into its folder.
        CheckpointError: The run's state is damaged or carries code.
        DataError: The data does not fit the batches, or an image cannot be read.
        TrainingError: A loss lost its value, the method gives no proper losses or moves nothing, or
            the disk is full.
        TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP; the state is saved.
    """
    try:
        fabric = launch(machines or Machines(), config.training.precision)
    except BaseException:
        give_up(run.path)
        raise
    with _undisturbed(run, config, train, fabric) as interruption:
        training = Training(
            fabric,
            build_method(config, num_ids=len(np.unique(train.pids))) if method is None else method,
            train,
            config,
            run,
            validate=validate,
            preview=preview,
            select=select,
            interruption=interruption,
            shown=progress,
        )
        training.restore(resume=resume)
        resumed_from = training.step
        training.run()
    return _summary(training, run, resumed_from, select)


def _summary(training: Training, run: RunFolder, resumed_from: int, select: str) -> FitSummary:
    return FitSummary(
        iterations=training.step,
        resumed_from=resumed_from,
        seconds=training.seconds,
        select=None if training.best is None else select,
        best_score=training.best,
        model=run.model_path,
    )


@contextmanager
def _undisturbed(
    run: RunFolder, config: Recipe, train: SampleTable, fabric: Fabric
) -> Iterator[Interruption]:
    """Inside, a training is alone in its folder, repeatable, and told of what would end it."""
    with (
        _only_training(run, config, train, fabric),
        worker_deaths_told(),
        exactly_repeatable(fabric.device, threads=config.training.threads),
        Interruption() as interruption,
    ):
        yield interruption


@contextmanager
def _only_training(
    run: RunFolder, config: Recipe, train: SampleTable, fabric: Fabric
) -> Iterator[None]:
    """Inside, no other process trains into the folder; readers are not affected.

    Raises:
        ConfigError: Another one does already, or has made it the folder of another training.
        TrainingError: The folder cannot be written.
    """
    locks: list[Claim] = []

    def acquire() -> None:
        locks.append(claim_for_training(run.path))
        run.refuse_another(config, train)

    try:
        on_first_rank(fabric, acquire)
        if fabric.global_rank:  # who may see other images
            run.refuse_another(config, train)
        yield
    finally:
        for lock in locks:
            lock.release()
