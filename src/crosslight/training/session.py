"""One training under way: its networks, its place, and what is done at each iteration."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric

from crosslight.config import Recipe, to_plain
from crosslight.data.batch import Batch
from crosslight.data.sampling import build_batches
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, CrosslightError, TrainingError
from crosslight.methods.contract import (
    Method,
    Progress,
    optimizers_of,
    refuse_few_ids,
    stages_to_train,
)
from crosslight.training.checkpoint import Checkpoints, Position, TrainingState
from crosslight.training.devices import compile_networks, loss_scaler, on_first_rank, seed_draws
from crosslight.training.interruption import Interruption, StopNow, TrainingInterrupted
from crosslight.training.log import Means, RunLog, by_kind
from crosslight.training.progress import Reporter
from crosslight.training.run import RunFolder
from crosslight.training.stage_loader import StageLoader
from crosslight.training.update import LoopUpdate, LostValue, refuse_unfit
from crosslight.training.weights import ModelCard, save_weights

Validate = Callable[[Method], Mapping[str, float]]
Preview = Callable[[Method, int], None]
T = TypeVar("T")
_LONE_VALUE = "Expected more than 1 value per channel"
_IDLE = 100  # iterations; nobody gathers gradients over so many
_FAIL = 1000  # above every signal's number


class Training:
    """A method, its data and its run, from the state that the run holds to the end.

    Args:
        fabric: Launched.
        method: What is trained.
        train: The training rows.
        config: What to train and how.
        run: Where the state, the log and the weights go.
        validate: Scores a method; None: the last weights are kept.
        preview: Draws what a method makes; gets the iterations done over all stages.
        select: Figure of `validate` that chooses the weights to keep.
        interruption: Entered; says when to stop.
        shown: Show progress on stderr.

    Attributes:
        best: Best validation score so far.

    Raises:
        DataError: The data does not fit the batches.
        ConfigError: The method has no proper stages or optimizers.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        train: SampleTable,
        config: Recipe,
        run: RunFolder,
        *,
        validate: Validate | None,
        preview: Preview | None,
        select: str,
        interruption: Interruption,
        shown: bool,
    ) -> None:
        settings = config.training
        self._fabric, self._config, self._settings = fabric, config, settings
        self._run, self._table = run, train
        self._validate, self._select, self._preview = validate, select, preview
        self._interruption = interruption
        self._shown = shown and fabric.global_rank == 0

        refuse_few_ids(
            type(method), config.method, config.data.ids_per_batch, processes=fabric.world_size
        )
        self._batches = build_batches(train, config.data, seed=settings.seed)
        self._loader = StageLoader(
            train,
            config,
            self._batches,
            interruption,
            rank=fabric.global_rank,
            world=fabric.world_size,
        )
        self._format = torch.channels_last if settings.channels_last else torch.preserve_format
        self._method = method.to(fabric.device).train()
        self._method.to(memory_format=self._format)  # type: ignore[call-overload]
        if fabric.world_size > 1:
            for tensor in chain(method.parameters(), method.buffers()):
                dist.broadcast(tensor.detach(), 0)

        optimizers, scaler = optimizers_of(method), loss_scaler(fabric)
        # Before a state is restored, while the optimizers hold their initial learning rates.
        self._update = LoopUpdate(
            fabric,
            optimizers,
            clip_norm=settings.clip_norm,
            scaler=scaler,
            lr_factor=settings.lr_factor,
        )
        self._state = TrainingState(
            method=method, optimizers=optimizers, scaler=scaler, config=config
        )
        self._checkpoints = Checkpoints(run.checkpoints_path)
        self._stages = stages_to_train(method)
        per_epoch = self._batches.iterations_per_epoch
        self._lengths = [s.iterations or (s.epochs or 0) * per_epoch for s in self._stages]
        self._stage = self._iteration = 0
        self.best: float | None = None
        self._validation_due = False
        self._means = Means({}, fabric.device)
        self._seconds_before, self._clock = 0.0, time.perf_counter()
        self._images, self._busy_s = 0, 0.0
        self._log: RunLog | None = None
        self._log_bytes = 0
        self._saved = ""

    def restore(self, *, resume: bool) -> None:
        """Takes over the state that the run holds, if it holds any.

        Raises:
            CheckpointError: The state is damaged, carries code or belongs to another training.
            ConfigError: There is a state, but `resume` is False.
        """
        found = self._checkpoints.load()
        if found is None:
            return
        state, source = found
        if not resume:
            raise ConfigError(
                f"{self._run.path} holds a training that has begun; resume it, or give another "
                "--out."
            )
        position = self._state.restore(state, source)
        self._stage, self._iteration = position.stage, position.iteration
        self.best, self._validation_due = position.best, position.validation_due
        self._means = Means(position.sums, self._fabric.device)
        self._update.moved.update(position.moved)
        self._seconds_before, self._log_bytes = position.seconds, position.log_bytes
        self._saved = f"{source} ({self._where(self._iteration)})"

    def run(self) -> None:
        """Does what is left; saves, and raises, when it cannot go on.

        Raises:
            DataError: An image cannot be read.
            TrainingError: A loss lost its value, the method gives no proper losses or moves
                nothing, or the disk is full.
            TrainingInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        """
        if self._is_over:
            return
        if self._settings.compile:
            compile_networks(self._method)
        if self._fabric.global_rank == 0:
            self._log = RunLog(self._run, size=self._log_bytes, step=self.step)
        self._reporter = Reporter(total=sum(self._lengths), done=self.step, shown=self._shown)
        self._update.note = self._loader.note = self._reporter.note
        try:
            self._introduce()
            self._train()
        finally:
            self._reporter.close()
            if self._log is not None:
                self._log.close()

    @property
    def step(self) -> int:
        """Iterations done over all stages."""
        return sum(self._lengths[: self._stage]) + self._iteration

    @property
    def seconds(self) -> float:
        """Training time so far, earlier calls included."""
        return self._seconds_before + time.perf_counter() - self._clock

    @property
    def _is_over(self) -> bool:
        is_last = self._stage == len(self._stages) - 1
        return is_last and self._iteration == self._lengths[-1] and not self._validation_due

    def _where(self, iteration: int) -> str:
        return f"iteration {iteration} of stage {self._stages[self._stage].name}"

    def _introduce(self) -> None:
        people = len(self._batches.people)
        self._reporter.note(
            f"{self._config.method} on {self._fabric.world_size} x {self._fabric.device.type}: "
            f"{len(self._table)} images, {people} people, "
            f"{self._batches.iterations_per_epoch} iterations per epoch"
        )
        left_out = self._batches.left_out
        if len(left_out):
            self._reporter.note(f"{len(left_out)} people seen in one light only are left out")
        if self._saved:
            self._reporter.note(f"continuing from {self._saved}")

    def _train(self) -> None:
        first_epoch = 0
        for index, length in enumerate(self._lengths):
            if index > self._stage:
                self._stage, self._iteration = index, 0
            if index == self._stage:
                self._train_stage(length, first_epoch)
            first_epoch += math.ceil(length / self._batches.iterations_per_epoch)

    def _train_stage(self, length: int, first_epoch: int) -> None:
        if self._validation_due:
            self._score_weights()
        stage, start = self._stages[self._stage], self._iteration
        loaded = self._loader.iterate(
            self._method, stage, start=start, stop=length, first_epoch=first_epoch
        )
        self._update.steps = 0
        with closing(loaded):
            while self._iteration < length:
                began = time.perf_counter()
                batch = self._next(loaded)
                self._iterate(batch, length)
                self._iteration += 1
                if not start and self._iteration == min(_IDLE, length):
                    self._refuse_idle()
                self._images += len(batch) * self._fabric.world_size
                self._busy_s += time.perf_counter() - began
                self._reporter.advance(
                    self._stages[self._stage].name,
                    self._update.last_loss,
                    len(batch) * self._fabric.world_size,
                )
                self._after_iteration(length)

    def _next(self, loaded: Iterator[Batch]) -> Batch:
        """The next batch, unless this or another rank must stop: then all do, together."""
        batch, failure = None, None
        try:
            # A batch may be long in coming, from a disk far away; nothing is lost without it.
            with self._interruption.immediate():
                batch = next(loaded, None)
        except StopNow:
            batch = None
        except CrosslightError as error:
            failure = error
        verdict = _FAIL if failure else self._interruption.received
        if self._fabric.world_size > 1:
            worst = torch.tensor(verdict, device=self._fabric.device)
            dist.all_reduce(worst, dist.ReduceOp.MAX)
            verdict = int(worst)
        if failure is not None:
            raise failure
        if verdict == _FAIL:
            raise TrainingError("Another process cannot load its images; its message says why.")
        if verdict or batch is None:
            self._save()
            raise self._interrupted(verdict)
        return batch

    def _iterate(self, batch: Batch, length: int) -> None:
        self._update.progress = Progress(
            stage=self._stages[self._stage].name,
            iteration=self._iteration,
            iterations=length,
            iterations_per_epoch=self._batches.iterations_per_epoch,
        )
        moved = batch.to(self._fabric.device)
        moved = replace(moved, images=moved.images.to(memory_format=self._format))
        place = (self._settings.seed, self._stage, self._iteration, self._fabric.global_rank)
        seed_draws(self._fabric.device, *place)
        try:
            with self._fabric.autocast():
                figures = self._method.training_step(moved, self._update)
            name = type(self._method).__name__
            refuse_unfit(figures, f"{name}.training_step returned", none=True)
            self._means.add({**figures, **self._update.counted})
            self._update.counted.clear()
        except LostValue as lost:
            raise TrainingError(
                f"{lost} at {self._where(self._iteration + 1)}; lower the learning "
                f"rate, or set training.clip_norm or training.precision=32-true. {self._rest()}"
            ) from lost
        except ValueError as error:
            if _LONE_VALUE not in str(error):
                raise
            data = self._config.data
            raise ConfigError(
                f"A batch normalisation of {self._config.method} gets one value, of a batch of "
                f"{len(batch)} images of {data.height} x {data.width} pixels; set "
                "data.ids_per_batch, or the images of a person, to more."
            ) from error

    def _refuse_idle(self) -> None:
        if not self._update.steps:
            raise TrainingError(
                f"{type(self._method).__name__}.training_step moved no optimizer until "
                f"{self._where(self._iteration)}; call its `update` with the name of an optimizer "
                "and with losses that depend on the weights of that one."
            )

    def _after_iteration(self, length: int) -> None:
        ends = self._iteration == length
        settings, per_epoch = self._settings, self._batches.iterations_per_epoch
        is_last = ends and self._stage == len(self._stages) - 1
        if ends or _every(settings.log_every, self._iteration):
            self._log_training()
        if self._preview is not None and (is_last or _every(settings.preview_every, self.step)):
            self._on_first_rank(partial(self._draw, self._preview))
        if is_last and self._validate is None:
            self._on_first_rank(partial(self._keep_weights, None))
        if self._validate is not None and (
            is_last or _every(settings.validate_every * per_epoch, self._iteration)
        ):
            self._validation_due = True
            self._score_weights()
        elif ends or _every(settings.checkpoint_every, self._iteration):
            self._save()

    def _log_training(self) -> None:
        line = {
            **self._log_place(),
            **by_kind(self._means.take()),
            "lr": self._update.learning_rates(),
            "images_per_s": round(self._images / self._busy_s, 1),
            "seconds": round(self.seconds, 2),
        }
        self._update.moved.clear()
        self._images, self._busy_s = 0, 0.0
        self._on_first_rank(partial(self._write_log, line))

    def _score_weights(self) -> None:
        """Validates and saves; an interruption leaves the validation for the next call."""
        scored = self._on_first_rank(self._validation)
        self._method.train()
        if isinstance(scored, int):
            self._save()
            raise self._interrupted(scored)
        score = scored[self._select]
        is_best = self.best is None or math.isnan(self.best) or score > self.best
        if is_best:
            self.best = score
            self._on_first_rank(partial(self._keep_weights, score))
        line = {**self._log_place(), "validation": scored, "best": is_best}
        line["seconds"] = round(self.seconds, 2)
        self._on_first_rank(partial(self._write_log, line))
        self._reporter.note(
            f"{self._where(self._iteration)}: validation {self._select} "
            f"{score:.4f}{', the best so far' if is_best else ''}"
        )
        self._validation_due = False
        self._save()

    def _validation(self) -> dict[str, float] | int:
        """What `validate` says, or the number of the signal that tore it."""
        if self._validate is None:
            raise ConfigError(
                f"{self._run.path} was cut off before a validation; validate to continue it."
            )
        self._method.eval()
        try:
            with self._interruption.immediate(), torch.inference_mode():
                scored = {name: float(v) for name, v in self._validate(self._method).items()}
        except StopNow:
            return self._interruption.received
        if self._select not in scored:
            raise ConfigError(
                f"The validation gives no {self._select!r} to choose weights by; it gives "
                f"{', '.join(scored)}."
            )
        return scored

    def _draw(self, preview: Preview) -> None:
        self._method.eval()
        with torch.inference_mode():
            preview(self._method, self.step)
        self._method.train()

    def _keep_weights(self, score: float | None) -> None:
        card = ModelCard(
            method=self._config.method,
            config=to_plain(self._config.config),
            num_ids=len(np.unique(self._table.pids)),
            height=self._config.data.height,
            width=self._config.data.width,
            interpolation=self._config.data.interpolation,
            stage=self._stages[self._stage].name,
            iteration=self._iteration,
            select=None if score is None else self._select,
            score=score,
            data=self._run.load_data(),
        )
        save_weights(self._run.model_path, self._method, card)

    def _save(self) -> None:
        position = Position(
            stage=self._stage,
            iteration=self._iteration,
            seconds=self.seconds,
            best=self.best,
            sums=self._means.sums(),
            moved=tuple(sorted(self._update.moved)),
            validation_due=self._validation_due,
            finished=self._is_over,
        )
        self._on_first_rank(partial(self._write_checkpoint, position))
        self._saved = f"{self._checkpoints.last} ({self._where(self._iteration)})"

    def _write_checkpoint(self, position: Position) -> None:
        finite = [torch.isfinite(p).all() for p in self._method.parameters()]
        if not bool(torch.stack(finite).all()):
            raise TrainingError(
                f"The weights have no value any more at "
                f"{self._where(self._iteration)} and were not saved; lower the "
                f"learning rate, or set training.clip_norm. {self._rest()}"
            )
        size = self._log.size() if self._log is not None else 0
        self._checkpoints.save(self._state.capture(replace(position, log_bytes=size)))

    def _write_log(self, line: Mapping[str, Any]) -> None:
        if self._log is not None:
            self._log.write(line, step=self.step)

    def _log_place(self) -> dict[str, Any]:
        return {
            "stage": self._stages[self._stage].name,
            "iteration": self._iteration,
            "epoch": round(self._iteration / self._batches.iterations_per_epoch, 4),
        }

    def _rest(self) -> str:
        return f"The last checkpoint is {self._saved}." if self._saved else "No checkpoint yet."

    def _interrupted(self, number: int) -> TrainingInterrupted:
        return TrainingInterrupted(
            f"Training was interrupted and saved at {self._where(self._iteration)} "
            f"in {self._run.path}; run the same command again to continue.",
            exit_code=128 + number,
        )

    def _on_first_rank(self, action: Callable[[], T]) -> T:
        return on_first_rank(self._fabric, action)


def _every(length: int, iteration: int) -> bool:
    return length > 0 and iteration % length == 0
