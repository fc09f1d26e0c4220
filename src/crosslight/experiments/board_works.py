"""What makes the rows of a leaderboard: the start, tries of learning rates, whole trainings."""

from __future__ import annotations

import json
import shutil
import traceback
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosslight.config import load_recipe, parse_recipe, to_plain
from crosslight.errors import (
    ConfigError,
    CrosslightError,
    DataError,
    MissingPartError,
    ReadingError,
    TrainingError,
)
from crosslight.experiments.board import Asked, Board, Given
from crosslight.experiments.board_rows import (
    ROWS,
    RUNS,
    figures_of,
    keep,
    made_now,
    read_row,
    read_try,
)
from crosslight.experiments.budget import (
    beginning_overrides,
    images_seen,
    keys_of_budget,
    overrides_for,
)
from crosslight.experiments.costs import count_parameters, cpu_seconds
from crosslight.experiments.evaluation import Evaluation, evaluate_run
from crosslight.experiments.fitting import Fitting, prepare
from crosslight.experiments.options import Evaluating, Filling
from crosslight.experiments.rows import Work
from crosslight.experiments.systems import Preset, fitting
from crosslight.experiments.validation import (
    make_validation,
    split_people,
    strangers,
    validation_protocol,
)
from crosslight.files import write_text
from crosslight.locking import FolderLock
from crosslight.methods.beginning import beginning_of
from crosslight.registry import digest_of_method, is_file_method
from crosslight.report.standings import START, Cost, Finished, Tried, best_rate
from crosslight.shipped import SHIPPED
from crosslight.training.interruption import TrainingInterrupted
from crosslight.training.loop import FitSummary
from crosslight.training.machines import Machines
from crosslight.training.run import VALIDATED_ON, RunFolder, build_method, what_differs
from crosslight.training.weights import ModelCard, disk_faults_told, load_weights, save_weights
from crosslight.types import Modality

_COST, _TRACEBACK = "training-cost.json", "fault.txt"
_NEVER = 10**9


def planned(folder: Path, runs: Path, asked: Asked, how: Filling) -> list[Work]:
    """Everything that the call asks for; a mistake in the last one should not show after hours."""
    board = asked.board
    starts: list[Work] = []
    tries: list[_Try] = []
    finals: list[_Final] = []
    for layout, given in asked.data.items():
        place = _Place(folder=folder, runs=runs, layout=layout, given=given, asked=asked, how=how)
        presets = _presets(asked, layout)
        if presets:
            starts.append(_Start(place, _begins(board, given)))
        tries += [
            _Try(place, name, preset, factor)
            for name, preset in presets.items()
            for factor in board.rates
        ]
        finals += [
            _Final(place, name, preset, seed)
            for seed in board.seeds
            for name, preset in presets.items()
        ]
    # Rows of seeds and data sets that this call does not name stand in the same table.
    for training in (*tries, *finals):
        training.refuse_another()
    for layout in board.data:
        if layout not in asked.data:
            anywhere = next(iter(asked.data.values()))
            place = _Place(
                folder=folder, runs=runs, layout=layout, given=anywhere, asked=asked, how=how
            )
            for name, preset in _presets(asked, layout).items():
                _refuse_another_by_then(place, name, preset)
    finals = [final for final in finals if final.seed in asked.seeds]
    finals.sort(key=lambda final: final.seed)
    return [*starts, *tries, *finals]


def _presets(asked: Asked, layout: str) -> dict[str, Preset]:
    """Of the systems that a call works on, those that fit a data set of the board."""
    both_lights = asked.board.data[layout].both_lights
    return {
        name: preset
        for name in asked.systems
        if (preset := fitting(asked.board.systems[name], both_lights=both_lights))
    }


def _begins(board: Board, given: Given) -> Preset:
    """The first system of the whole board with a network that can begin from the weights."""
    presets = [
        preset
        for own in board.systems.values()
        if (preset := fitting(own, both_lights=given.known.both_lights))
    ]
    begin = (p for p in presets if beginning_of(load_recipe(p.recipe, p.set).config) is not None)
    return next(begin, presets[0])


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A data set of a board, and where its rows go."""

    folder: Path
    runs: Path
    layout: str
    given: Given
    asked: Asked
    how: Filling
    found: dict[tuple[Preset, int | None, tuple[str, ...]], tuple[str, ...]] = field(
        default_factory=dict
    )

    def row(self, system: str, name: str) -> Path:
        return self.folder / ROWS / self.layout / system / f"{name}.json"

    def run(self, system: str, name: str) -> Path:
        return self.runs / self.layout / system / name

    def without_methods_own(self) -> _Place:
        """The same, but what is changed in every system concerns no method's configuration."""
        board = self.asked.board
        kept = tuple(text for text in board.set if not text.startswith("config."))
        return replace(self, asked=replace(self.asked, board=replace(board, set=kept)), found={})

    def overrides(
        self, preset: Preset, images: int | None, more: tuple[str, ...] = ()
    ) -> tuple[str, ...]:
        """What is changed in a recipe so that it has what all systems of the board have.

        Args:
            preset: The recipe, and what is changed first.
            images: To be seen; None: as many as the recipe says.
            more: Changed besides.

        Raises:
            DataError: The data does not suffice for the batches.
        """
        key = (preset, images, more)
        if key not in self.found:
            self.found[key] = self._overrides(preset, images, more)
        return self.found[key]

    def _overrides(
        self, preset: Preset, images: int | None, more: tuple[str, ...]
    ) -> tuple[str, ...]:
        board = self.asked.board
        own = (
            *preset.set,
            f"data.height={board.height}",
            f"data.width={board.width}",
            f"data.train_splits={json.dumps(board.train_splits)}",
            "data.validation=none",
            f"training.precision={board.precision}",
            *board.set,
            *more,
        )
        config, weights = load_recipe(preset.recipe, own), self.asked.weights
        own += beginning_overrides(config, network=board.backbone, weights=weights)
        if images is None:
            return own
        config = load_recipe(preset.recipe, own)
        train, _ = split_people(self.given.table, config.data, seed=config.training.seed)
        return (*own, *overrides_for(config, train, images))

    def refuse_another(
        self,
        row: Path,
        kept: Finished | Tried,
        preset: Preset,
        overrides: tuple[str, ...],
        unknown: Collection[str] = (),
    ) -> None:
        """Compares what a row was made with and what its system is now.

        Args:
            row: Its file.
            kept: What stands in it.
            preset: Of its system.
            overrides: What is changed in it.
            unknown: Keys that are not compared.

        Raises:
            ConfigError: They differ.
        """
        config = kept.config
        if not config:  # it failed
            return
        where, system = f"row {row}", row.parent.name
        remedy = (
            f"to make its rows again remove {row.parent} and "
            f"{self.run(system, row.stem).parent}, or give another folder"
        )
        factor = config["training"].get("lr_factor", 1.0)
        recipe = load_recipe(preset.recipe, (*overrides, f"training.lr_factor={factor}"))
        wanted = self.plain(recipe)
        if config["method"] == wanted["method"]:  # a file, perhaps, which lies somewhere
            config = {**config, "method": recipe.method}
        # What the row was made before had its default.
        before = self.plain(parse_recipe(config, where=where))
        for key, old, new in what_differs(before, wanted):
            if key not in unknown:
                raise ConfigError(
                    f"The {where} was made with {key} = {old!r}, but now {system} has {new!r}; "
                    f"{remedy}."
                )
        code = digest_of_method(recipe.method)
        if None not in (code, kept.code_sha256) and code != kept.code_sha256:
            file = wanted["method"].rpartition(":")[0]
            raise ConfigError(
                f"The {where} was made with other code than now stands in {file}; {remedy}."
            )

    def plain(self, config: Any) -> dict[str, Any]:
        """A configuration in which no file's place on this machine stands."""
        text = json.dumps(to_plain(config))
        named = json.dumps(self.asked.weights)
        content: dict[str, Any] = json.loads(
            text.replace(named, json.dumps(self.asked.board.weights))
        )
        if is_file_method(content["method"]):
            content["method"] = Path(content["method"]).name
        return content

    def told(self, error: Exception) -> str:
        """An error's sentence in which no place on this machine stands."""
        known = isinstance(error, CrosslightError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        text = text.splitlines()[0]
        for path, name in ((self.runs, RUNS), (self.given.root, self.layout)):
            for place in (path, path.resolve()):
                if place.is_absolute():  # `people` may well be a word of the sentence
                    text = text.replace(str(place), name)
        return text


def _refuse_another_by_then(place: _Place, system: str, preset: Preset) -> None:
    """Compares all rows that a system has by then on a data set with what it is by then.

    Not what depends on the data set's images, which may lie elsewhere: how they bring the budget
    about, and whom tries ask.

    Raises:
        ConfigError: They differ.
    """
    overrides = place.overrides(preset, None)
    unknown = {
        "training.seed",
        "data.validation",
        "training.validate_every",
        *keys_of_budget(load_recipe(preset.recipe, overrides)),
    }
    rows = place.row(system, "").parent
    for path in sorted(rows.glob("seed-*.json")):
        place.refuse_another(path, read_row(path), preset, overrides, unknown)
    for path in sorted(rows.glob("rate-*.json")):
        place.refuse_another(path, read_try(path), preset, overrides, unknown)


@dataclass(frozen=True, kw_only=True)
class _Spent:
    """What a training took.

    Attributes:
        iterations: All of them.
        seconds: Likewise.
        cpu_s: CPU-seconds, of a training that was cut off those after that.
        images: Seen meanwhile.
    """

    iterations: int
    seconds: float
    cpu_s: float
    images: int


class Training(Work):
    """A training of a board.

    Attributes:
        system: Its name.
        unfit: Why the data does not suffice for its batches; None: it does.
    """

    _factor = 1.0
    """Of the recipe's learning rates."""

    def __init__(
        self, place: _Place, system: str, preset: Preset, *, seed: int, own: str, images: int | None
    ) -> None:
        self.name, self.seed, self.system = self._called(system, place.layout), seed, system
        self.place = place.run(system, own)
        self._row = place.row(system, own)
        self._in, self._preset = place, preset
        self._began = False
        self._code: str | None = None
        self.unfit: DataError | None = None
        self._overrides: tuple[str, ...] = ()
        try:
            self._overrides = (*place.overrides(preset, images, self._of_all()), *self._own())
        except DataError as error:  # too few people, say: a row, and the others go on
            self.unfit = error
        except ConfigError as error:
            raise ConfigError(f"{self._told_of(system)}: {error}") from error

    @property
    def claim(self) -> Path:
        """The row's file: runs may lie in another folder on every machine."""
        return self._row.with_suffix("")

    def was_done(self) -> bool:
        """Whether the row's file is there; that of a failure too."""
        return self._row.is_file()

    def refuse_another(self) -> None:
        """Compares what was done before with what is asked for now.

        Raises:
            ConfigError: They differ.
        """
        if self._row.is_file():
            self._in.refuse_another(self._row, self._kept(), self._preset, self._overrides)

    def prepare(self) -> Fitting | None:
        """Makes the run folder, or opens that of before; another training in it is put aside."""
        if self.unfit is not None:
            raise self.unfit
        _refuse_another_by_then(self._in, self.system, self._preset)
        fitting = self._prepared()
        self._began = True
        return fitting

    def kept_fault(self, error: Exception) -> str:
        """Keeps the failure of a system; what is the user's or the machine's ends the call."""
        is_ours = isinstance(error, ConfigError) and not self._began
        is_machines = isinstance(error, OSError | ReadingError | MissingPartError) or (
            isinstance(error, CrosslightError) and isinstance(error.__cause__, OSError)
        )
        if is_ours or is_machines or isinstance(error, TrainingInterrupted):
            raise error
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise TrainingError(
                f"{self.name}, seed {self.seed}: the memory is full ({self._in.told(error)}); "
                "free some, or leave the system out (--systems)."
            ) from error
        sentence = self._in.told(error)
        if not isinstance(error, CrosslightError):
            write_text(self.place / _TRACEBACK, "".join(traceback.format_exception(error)))
        self._keep_fault(sentence)
        return sentence

    def _end(self, fitting: Fitting) -> None:
        """Removes what a training continues from, of hundreds of rows it fills a disk; and told of.

        A row that failed, whose file was removed, is made again in the same folder.
        """
        shutil.rmtree(fitting.run.checkpoints_path, ignore_errors=True)
        with suppress(OSError):
            (self.place / _TRACEBACK).unlink(missing_ok=True)

    def _called(self, system: str, layout: str) -> str:
        return f"{system} on {layout}"

    def _told_of(self, system: str) -> str:
        return f"System {system}"

    def _of_all(self) -> tuple[str, ...]:
        """Changes that several works of a system share."""
        return ()

    def _own(self) -> tuple[str, ...]:
        return (f"training.seed={self.seed}",)

    def _kept(self) -> Finished | Tried:
        """The row of before."""
        return read_row(self._row)

    def _keep_fault(self, sentence: str) -> None:
        row = Finished(
            system=self.system,
            data=self._in.layout,
            seed=self.seed,
            fault=sentence,
            lr_factor=self._factor,
            made=made_now(),
        )
        keep(self._row, row)

    def _prepared(self) -> Fitting:
        try:
            return self._begun()
        except ConfigError:
            aside = self._put_aside()
            if aside is None:
                raise
        try:
            return self._begun()
        except ConfigError:  # it was not what lay there
            if not self.place.exists():
                aside.rename(self.place)
            raise

    def _begun(self) -> Fitting:
        self._code = digest_of_method(load_recipe(self._preset.recipe, self._overrides).method)
        return prepare(
            self._preset.recipe,
            self._in.given.argument,
            self.place,
            trial=self._in.asked.board.trial,
            overrides=self._overrides,
            accelerator=self._in.how.accelerator,
        )

    def _put_aside(self) -> Path | None:
        """Moves what lies in the run's folder, for which no row stands: nothing is lost.

        Returns:
            Where to; None: nothing lies there.

        Raises:
            ConfigError: Another process is at it.
        """
        if not self.place.is_dir():
            return None
        with disk_faults_told(self.place):
            lock = FolderLock(self.place)
            try:
                lock.acquire()
            except BlockingIOError as error:
                raise ConfigError(
                    f"For the row {self._row} there is another training in {self.place}, and "
                    "another process is at it; end that, or wait for it, and give the same "
                    "command again: it puts that folder aside."
                ) from error
            lock.release()
            places = (self.place.with_name(f"{self.place.name}-before-{n}") for n in count(1))
            aside = next(place for place in places if not place.exists())
            self.place.rename(aside)
        return aside

    def _trained(self, fitting: Fitting) -> tuple[FitSummary, _Spent]:
        """Trains; gives what it took, as far as this machine has seen it."""
        before = cpu_seconds()
        summary = fitting.train_all(Machines(accelerator=self._in.how.accelerator))
        took = cpu_seconds() - before
        done = summary.iterations - summary.resumed_from
        if not done:  # it was cut off before it was scored
            kept = _spent_on(self.place)
            return summary, kept or _Spent(
                iterations=summary.iterations, seconds=summary.seconds, cpu_s=0.0, images=0
            )
        spent = _Spent(
            iterations=summary.iterations,
            seconds=summary.seconds,
            cpu_s=took,
            images=images_seen(fitting.recipe, fitting.train) * done // summary.iterations,
        )
        write_text(self.place / _COST, json.dumps(asdict(spent)) + "\n")
        return summary, spent

    def _is_alike(self, place: Path, fitting: Fitting) -> bool:
        """Whether there lies a training that differs only in who is asked at its end."""
        run = RunFolder(path=place)
        if not run.model_path.is_file():
            return False
        kept, own = run.load_config(), fitting.recipe
        alike = replace(
            own,
            data=replace(own.data, validation=kept.data.validation),
            training=replace(own.training, validate_every=kept.training.validate_every),
        )
        # The fingerprint is that of its own training people.
        kept_data, own_data = (
            {key: value for key, value in one.load_data().items() if key != VALIDATED_ON}
            for one in (run, fitting.run)
        )
        return kept == alike and kept_data == own_data


class _Start(Training):
    """What all systems begin from, untrained."""

    def __init__(self, place: _Place, preset: Preset) -> None:
        weights = place.asked.weights
        self._ships = weights in SHIPPED
        if self._ships:  # as it ships, but for the size of the images
            preset = Preset(recipe=str(RunFolder.open(Path(weights)).config_path))
            place = place.without_methods_own()
        super().__init__(place, START, preset, seed=0, own="seed-0", images=None)

    def fault(self) -> str | None:
        return read_row(self._row).fault

    def finish(self, fitting: Fitting) -> Evaluation:
        _save_untrained(fitting, Path(self._in.asked.weights) if self._ships else None)
        evaluation = _scored(self._in, self.place, fitting)
        row = Finished(
            system=START,
            data=self._in.layout,
            seed=0,
            **figures_of(evaluation),
            cost=_cost(self._in, self.place, evaluation),
            config=self._in.plain(fitting.recipe),
            code_sha256=self._code,
            made=made_now(),
        )
        keep(self._row, row)
        return evaluation


class _Try(Training):
    """A training with a learning rate, scored by validation people."""

    def __init__(self, place: _Place, system: str, preset: Preset, factor: float) -> None:
        board = place.asked.board
        self._factor = factor
        self._validation = strangers(place.given.table, board.train_splits)
        images = max(1, round(board.images * board.try_share))
        own = f"rate-{factor:g}"
        super().__init__(place, system, preset, seed=board.seeds[0], own=own, images=images)

    def fault(self) -> str | None:
        return read_try(self._row).fault

    def finish(self, fitting: Fitting) -> None:
        assert fitting.held_out is not None
        score = self._score_of_row(fitting)
        if score is None:
            score = self._trained(fitting)[0].best_score
        self._keep(
            images=images_seen(fitting.recipe, fitting.train),
            score=score,
            protocol=validation_protocol(fitting.held_out),
            people=len(np.unique(fitting.held_out.pids)),
            config=self._in.plain(fitting.recipe),
            code_sha256=self._code,
        )
        self._end(fitting)

    def _score_of_row(self, fitting: Fitting) -> float | None:
        """That of a row which is this training, made before rates were tried; None: none here."""
        name = f"seed-{self.seed}"
        place = self._in.run(self.system, name)
        if not self._in.row(self.system, name).is_file() or not self._is_alike(place, fitting):
            return None
        assert fitting.held_out is not None
        recipe = fitting.recipe
        precision = recipe.training.precision
        validate = make_validation(fitting.held_out, recipe.data, precision=precision)
        return validate(RunFolder.open(place).load_method())["mAP"]

    def _called(self, system: str, layout: str) -> str:
        return f"{super()._called(system, layout)}, learning rate x {self._factor:g}"

    def _told_of(self, system: str) -> str:
        return f"Tries of {system}, with {self._in.asked.board.try_share:.0%} of the images"

    def _of_all(self) -> tuple[str, ...]:
        return (
            f"training.seed={self.seed}",  # whom validation takes
            f"data.validation={self._validation}",
            f"training.validate_every={_NEVER}",  # at the end alone
        )

    def _own(self) -> tuple[str, ...]:
        return (f"training.lr_factor={self._factor}",)

    def _kept(self) -> Tried:
        return read_try(self._row)

    def _keep_fault(self, sentence: str) -> None:
        self._keep(fault=sentence)

    def _keep(self, **figures: Any) -> None:
        tried = Tried(
            system=self.system,
            data=self._in.layout,
            seed=self.seed,
            lr_factor=self._factor,
            made=made_now(),
            **figures,
        )
        write_text(self._row, json.dumps(asdict(tried), indent=2) + "\n")


class _Final(Training):
    """A system with a seed."""

    def __init__(self, place: _Place, system: str, preset: Preset, seed: int) -> None:
        images = place.asked.board.images
        super().__init__(place, system, preset, seed=seed, own=f"seed-{seed}", images=images)

    def was_done(self) -> bool:
        """Whether the row is there, with the rate that its tries chose.

        A board may begin to try rates after it has rows; those that had the best one stay, and
        all where no rate could be tried.
        """
        if not super().was_done():
            return False
        if not self._in.asked.board.rates:
            return True
        tried = self._tried()
        return tried is not None and best_rate(tried) in (None, read_row(self._row).lr_factor)

    def fault(self) -> str | None:
        return read_row(self._row).fault

    def prepare(self) -> Fitting | None:
        tried = self._tried()
        if tried is None:
            return None
        if tried and self.unfit is None:
            factor = best_rate(tried)
            if factor is None:
                raise TrainingError(f"No learning rate could be tried: {tried[0].fault}")
            self._factor = factor
            self._leave_another()
            self._overrides = (*self._overrides, f"training.lr_factor={factor}")
        return super().prepare()

    def _keep_fault(self, sentence: str) -> None:
        if self._row.is_file() and (kept := read_row(self._row)).fault is None:
            name = f"before-{self._row.stem}-at-rate-{kept.lr_factor:g}.json"
            self._row.rename(self._row.with_name(name))
        super()._keep_fault(sentence)

    def _tried(self) -> list[Tried] | None:
        """Its rates, tried; None: not all yet."""
        rates = self._in.asked.board.rates
        paths = [self._in.row(self.system, f"rate-{factor:g}") for factor in rates]
        return [read_try(path) for path in paths] if all(p.is_file() for p in paths) else None

    def _leave_another(self) -> None:
        """Puts the run aside that was trained with another rate, before rates were tried."""
        run = RunFolder(path=self.place)
        if not run.config_path.is_file():
            return
        kept = run.load_config().training.lr_factor
        if kept != self._factor:
            self.place.rename(self.place.with_name(f"{self.place.name}-at-rate-{kept:g}"))

    def _taken_over(self, fitting: Fitting) -> _Spent | None:
        """Takes a try for the row that saw all images of the same people: it is that training.

        Returns:
            What it took; None: there is none such here.
        """
        place = self._in.run(self.system, f"rate-{fitting.recipe.training.lr_factor:g}")
        spent = _spent_on(place)
        if spent is None or not self._is_alike(place, fitting):
            return None
        own = shutil.ignore_patterns(fitting.run.config_path.name, ".*")
        shutil.copytree(place, self.place, ignore=own, dirs_exist_ok=True)
        return spent

    def finish(self, fitting: Fitting) -> Evaluation:
        spent = self._taken_over(fitting) or self._trained(fitting)[1]
        evaluation = _scored(self._in, self.place, fitting)
        row = Finished(
            system=self.system,
            data=self._in.layout,
            seed=self.seed,
            images=images_seen(fitting.recipe, fitting.train),
            iterations=spent.iterations,
            seconds=round(spent.seconds, 1),
            lr_factor=fitting.recipe.training.lr_factor,
            **figures_of(evaluation),
            cost=_cost(self._in, self.place, evaluation, spent),
            from_noise=beginning_of(fitting.recipe.config) is None,
            config=self._in.plain(fitting.recipe),
            code_sha256=self._code,
            made=made_now(),
        )
        keep(self._row, row)
        self._end(fitting)
        return evaluation


def _spent_on(place: Path) -> _Spent | None:
    """What a training took, from its folder; None: it was not kept, or not so much of it."""
    try:
        return _Spent(**json.loads((place / _COST).read_text(encoding="utf-8")))
    except (OSError, TypeError):
        return None


def _save_untrained(fitting: Fitting, ships: Path | None) -> None:
    """Gives a run that was not trained the weights that it begins with, or those that ship."""
    recipe = fitting.recipe
    people = len(np.unique(fitting.train.pids))
    if ships is not None:
        people = load_weights(RunFolder.open(ships).model_path)[0].num_ids
        method = RunFolder.open(ships).load_method()
    else:
        method = build_method(recipe, num_ids=people)
    card = ModelCard(
        method=recipe.method,
        config=to_plain(recipe.config),
        num_ids=people,
        height=recipe.data.height,
        width=recipe.data.width,
        interpolation=recipe.data.interpolation,
        stage="untrained",
        iteration=0,
        data=fitting.run.load_data(),
    )
    save_weights(fitting.run.model_path, method, card)


def _scored(place: _Place, run: Path, fitting: Fitting) -> Evaluation:
    workers, trial = fitting.recipe.data.workers, place.asked.board.trial
    evaluating = Evaluating(trial=trial, workers=workers, accelerator=place.how.accelerator)
    return evaluate_run(run, place.given.argument, evaluating)


def _cost(place: _Place, run: Path, evaluation: Evaluation, spent: _Spent | None = None) -> Cost:
    assert evaluation.cpu_s is not None
    folder = RunFolder.open(run)
    data = folder.load_config().data
    lights = sorted({Modality(m) for m in place.given.table.modality.tolist()})
    parameters = count_parameters(folder.load_method(), data.height, data.width, lights)
    return Cost(
        training_s=round(spent.cpu_s, 2) if spent else 0.0,
        trained=spent.images if spent else 0,
        embedding_s=round(evaluation.cpu_s, 2),
        embedded=len(evaluation.table),
        parameters=parameters.all,
        embedding_parameters=parameters.embedding,
    )
