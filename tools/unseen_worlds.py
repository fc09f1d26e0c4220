"""Worlds that nothing was learnt from, and what a run scores in them, light by light."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.promenade import make
from crosslight.evaluation.protocols import Result
from crosslight.experiments.evaluation import evaluate_run
from crosslight.experiments.options import Evaluating

SEEDS = (101, 102, 103)
PEOPLE = 100
LIGHTS = ("visible", "near-infrared", "thermal")
PROTOCOL = "any-camera"


def results_by_light(
    run: Path, worlds: Path, out: Path, *, height: int, width: int, workers: int
) -> dict[str, list[tuple[Result, Result]]]:
    """Light that asks visible images → result and chance in each world.

    Args:
        run: Run folder.
        worlds: Folder for the worlds; those that are there already are not drawn again.
        out: Folder for the evaluations.
        height: Of the images.
        width: Of the images.
        workers: Processes that draw and load.
    """
    found: dict[str, list[tuple[Result, Result]]] = {light: [] for light in LIGHTS}
    how = Evaluating(protocols=(PROTOCOL,), workers=workers)
    for seed in SEEDS:
        world = worlds / f"world-{seed}"
        make(
            world, layout="table", people=0, val_people=0, test_people=PEOPLE, seed=seed,
            first_world=1, height=height, width=width, workers=workers,
        )  # fmt: skip
        for light in LIGHTS:
            data = f"table:{world / f'test-{light}.csv'}"
            evaluation = evaluate_run(run, data, how, out=out / f"{seed}-by-{light}")
            found[light].append((evaluation.results[PROTOCOL], evaluation.chance[PROTOCOL]))
    return found
