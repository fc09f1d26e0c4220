"""Trains a method as a recipe says."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from crosslight.commands.previews import Previews
from crosslight.commands.validation import make_validation, split_people, validation_protocol
from crosslight.config import RunConfig, load_recipe
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.training.devices import fastest_precision
from crosslight.training.loop import FitSummary, fit
from crosslight.training.run import RunFolder


def run_training(
    recipe: str,
    data: str,
    out: Path,
    *,
    trial: int = 1,
    overrides: Sequence[str] = (),
    accelerator: str = "auto",
    devices: int = 1,
    nodes: int = 1,
) -> FitSummary:
    """Trains, or continues a training that was cut off.

    Raises:
        ConfigError: The recipe is wrong, or `out` holds another training.
        DataError: The data set cannot be read.
        TrainingError: A loss lost its value, the disk is full, or the training was interrupted.
    """
    config = _with_arithmetic(load_recipe(recipe, overrides), out, accelerator)
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=trial)
    train, held_out = split_people(table, config.data, seed=config.training.seed)
    run = RunFolder.create(
        out,
        config,
        data={
            "layout": layout.name,
            "root": str(root.resolve()),
            "trial": trial,
            "fingerprint": train.fingerprint(),
        },
        train=train,
    )
    validate = None
    if held_out is not None:
        validate = make_validation(held_out, config.data, precision=config.training.precision)
        _say(
            f"Weights are chosen by {validation_protocol(held_out)} on "
            f"{len(set(held_out.pids.tolist()))} people who are neither trained on nor tested."
        )
    summary = fit(
        train,
        config,
        run,
        validate=validate,
        preview=Previews(train, config.data, run) if config.training.preview_every else None,
        accelerator=accelerator,
        devices=devices,
        nodes=nodes,
    )
    _say(f"{run.path}: {summary.iterations} iterations in {summary.seconds:.0f} s.")
    _say(f"Next: crosslight evaluate {out} --data {data}")
    return summary


def _with_arithmetic(config: RunConfig, out: Path, accelerator: str) -> RunConfig:
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


def _say(sentence: str) -> None:
    # On several devices the whole command runs once for each.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(sentence, flush=True)
