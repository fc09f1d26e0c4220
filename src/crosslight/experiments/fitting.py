"""Trains a recipe on a data set, into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from crosslight.config import Recipe, load_recipe
from crosslight.data.layouts import Layout, parse_data_argument, read_layout
from crosslight.data.splits import TEST_SPLITS
from crosslight.data.table import SampleTable
from crosslight.drawing.previews import Previews
from crosslight.experiments.run import Run
from crosslight.experiments.validation import make_validation, split_people, validation_protocol
from crosslight.methods.contract import refuse_few_ids
from crosslight.registry import method_class
from crosslight.training.devices import fastest_precision
from crosslight.training.loop import FitSummary
from crosslight.training.loop import fit as fit_method
from crosslight.training.machines import Machines
from crosslight.training.run import VALIDATED_ON, RunFolder
from crosslight.types import Accelerator


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """A training that is ready to begin, or to continue.

    Attributes:
        recipe: What is trained, and how.
        train: The training rows.
        held_out: Rows of people who choose the weights; None: the last weights are kept.
        run: Where it goes.
        tested: People of the data set's test splits, as far as they are numbered alike.
    """

    recipe: Recipe
    train: SampleTable
    held_out: SampleTable | None
    run: RunFolder
    tested: frozenset[int] = frozenset()

    @property
    def chosen_by(self) -> str | None:
        """How weights are chosen, in words; None: the last ones are kept."""
        if self.held_out is None:
            return None
        people = set(self.held_out.pids.tolist())
        protocol = validation_protocol(self.held_out)
        chosen = f"Weights are chosen by {protocol} on {len(people)} people"
        trained, tested = people.intersection(self.train.pids.tolist()), people & self.tested
        if not trained and not tested:
            return f"{chosen} who are neither trained on nor tested."
        shared = {"trained on": trained, "tested": tested}
        also = " and ".join(f"{len(who)} {what}" for what, who in shared.items() if who)
        remedy = (
            "give each split people of its own"
            if tested
            else "--set data.validation=holdout holds others out"
        )
        return f"{chosen}, {also} as well, which flatters the model; {remedy}."

    def train_all(
        self,
        machines: Machines | None = None,
        *,
        progress: bool = True,
    ) -> FitSummary:
        """Trains every stage; see `crosslight.training.loop.fit`.

        Raises:
            TrainingError: A loss lost its value, the disk is full, or the training was
                interrupted.
        """
        config, validate = self.recipe, None
        if self.held_out is not None:
            validate = make_validation(
                self.held_out, config.data, precision=config.training.precision
            )
        return fit_method(
            self.train,
            config,
            self.run,
            validate=validate,
            preview=Previews(self.train, config.data, self.run)
            if config.training.preview_every
            else None,
            machines=machines,
            progress=progress,
        )


def prepare(
    recipe: str | Path,
    data: str,
    out: Path | str,
    *,
    trial: int = 1,
    overrides: Sequence[str] = (),
    accelerator: Accelerator = Machines.accelerator,
) -> Fitting:
    """Reads the recipe and the data set, and makes the run folder, or opens that of before.

    Args:
        recipe: Name of a shipped recipe, or a YAML file.
        data: `LAYOUT:ROOT`.
        out: Run folder.
        trial: Split number, for layouts that have several.
        overrides: `key.subkey=value`, as for `crosslight train --set`.
        accelerator: auto, cpu, cuda or mps: what `training.precision: auto` is decided for.

    Raises:
        ConfigError: The recipe is wrong, or `out` holds another training.
        DataError: The data set cannot be read.
    """
    out = Path(out)
    config = _with_arithmetic(load_recipe(str(recipe), overrides), out, accelerator)
    refuse_few_ids(method_class(config.method), config.method, config.data.ids_per_batch)
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=trial)
    train, held_out = split_people(table, config.data, seed=config.training.seed)
    content = {
        "layout": layout.name,
        "root": str(root.resolve()),
        "trial": trial,
        "fingerprint": train.fingerprint(),
    }
    if held_out is not None:
        content[VALIDATED_ON] = held_out.fingerprint()
    run = RunFolder.create(out, config, data=content, train=train)
    return Fitting(
        recipe=config, train=train, held_out=held_out, run=run, tested=_tested(table, layout)
    )


def fit(
    recipe: str | Path,
    data: str,
    out: Path | str,
    *,
    trial: int = 1,
    overrides: Sequence[str] = (),
    accelerator: Accelerator = Machines.accelerator,
    devices: int = Machines.devices,
    nodes: int = Machines.nodes,
    progress: bool = True,
) -> Run:
    """Trains a recipe, or continues a training that was cut off, and opens the result.

    Args:
        recipe: Name of a shipped recipe, or a YAML file.
        data: `LAYOUT:ROOT`, such as `sysu-mm01:people`.
        out: Run folder.
        trial: Split number, for layouts that have several.
        overrides: `key.subkey=value`, such as `training.seed=3`.
        accelerator: auto, cpu, cuda or mps.
        devices: Processes on each node, one per device.
        nodes: Machines.
        progress: Show progress on stderr.

    Raises:
        ConfigError: The recipe is wrong, or `out` holds another training.
        DataError: The data set cannot be read.
        TrainingError: A loss lost its value, the disk is full, or the training was interrupted.
    """
    fitting = prepare(recipe, data, out, trial=trial, overrides=overrides, accelerator=accelerator)
    machines = Machines(accelerator=accelerator, devices=devices, nodes=nodes)
    fitting.train_all(machines, progress=progress)
    return Run(out)


def _tested(table: SampleTable, layout: Layout) -> frozenset[int]:
    if layout.ids_restart:
        return frozenset()
    return frozenset(table.where(pl.col("split").is_in(TEST_SPLITS)).of_known().pids.tolist())


def _with_arithmetic(config: Recipe, out: Path, accelerator: Accelerator) -> Recipe:
    """`auto` is decided once: a training continues, on any machine, in what it began with."""
    if config.training.precision != "auto":
        return config
    begun = RunFolder(path=out)
    precision = (
        begun.load_config().training.precision
        if begun.config_path.is_file()
        else fastest_precision(accelerator)
    )
    return replace(config, training=replace(config.training, precision=precision))
