"""Evaluates a run and prints the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosslight.evaluation.reranking import Refinement
from crosslight.experiments.evaluation import Evaluation, evaluate_run


def run_evaluation(
    run: Path,
    data: str,
    *,
    trial: int = 1,
    protocols: Sequence[str] = (),
    distance: str | None = None,
    sampler: str = "seeded",
    permutations: Path | None = None,
    flip: bool = False,
    unit_views: bool = False,
    code: str | None = None,
    refinements: Sequence[Refinement] = (),
    workers: int = 2,
) -> Evaluation:
    """As `evaluate_run`, and prints what came out."""
    evaluation = evaluate_run(
        run,
        data,
        trial=trial,
        protocols=protocols,
        distance=distance,
        sampler=sampler,
        permutations=permutations,
        flip=flip,
        unit_views=unit_views,
        code=code,
        refinements=refinements,
        workers=workers,
    )
    print(evaluation)
    return evaluation
