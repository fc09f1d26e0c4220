"""Trains a method as a recipe says, and tells what comes next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from crosslight.experiments.fitting import prepare
from crosslight.registry import TRUSTED_VARIABLE, is_file_method
from crosslight.training.loop import FitSummary
from crosslight.training.machines import Machines


def run_training(
    recipe: str,
    data: str,
    out: Path,
    *,
    machines: Machines,
    trial: int = 1,
    overrides: Sequence[str] = (),
) -> FitSummary:
    """Trains, or continues a training that was cut off; see `prepare` for what it raises."""
    fitting = prepare(
        recipe, data, out, trial=trial, overrides=overrides, accelerator=machines.accelerator
    )
    if fitting.chosen_by is not None:
        _say(fitting.chosen_by)
    summary = fitting.train_all(machines)
    done = f"{summary.iterations} iterations in {summary.seconds:.0f} s"
    if summary.resumed_from == summary.iterations:
        _say(f"{out} was finished before ({done}) and is as it was; another --out trains anew.")
    else:
        _say(f"{out}: {done}.")
    method = fitting.recipe.method
    if is_file_method(method):
        # What opens the run later must be told that this file may be run.
        _say(f"Next: export {TRUSTED_VARIABLE}={quote(method.rpartition(':')[0])}")
    _say(f"Next: crosslight evaluate {quote(str(out))} --data {quote(data)}")
    return summary


def _say(sentence: str) -> None:
    # On several devices the whole command runs once for each.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        print(sentence, flush=True)
