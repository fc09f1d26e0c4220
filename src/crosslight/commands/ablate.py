"""Trains variants of a recipe under one budget, and tells how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosslight.experiments.ablation import ablate


def run_ablation(
    recipe: str,
    data: str,
    out: Path,
    *,
    switches: Sequence[str] = (),
    cumulative: bool = False,
    against: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    images: int | None = None,
    overrides: Sequence[str] = (),
    protocols: Sequence[str] = (),
    trial: int = 1,
    accelerator: str = "auto",
) -> None:
    """As `ablate`, printing each row and the table of them all."""
    for row in ablate(
        recipe,
        data,
        out,
        switches=switches,
        cumulative=cumulative,
        against=against,
        seeds=seeds,
        images=images,
        overrides=overrides,
        protocols=protocols,
        trial=trial,
        accelerator=accelerator,
    ):
        if row.state != "done":
            print(f"\n{row.number}/{row.total}  {row.name}, seed {row.seed}", flush=True)
        if row.state == "was done":
            print(f"{row.place} is finished.", flush=True)
        elif row.fitting is not None and row.fitting.chosen_by is not None:
            print(row.fitting.chosen_by, flush=True)
        if row.evaluation is not None:
            print(row.evaluation, flush=True)
    print(f"\n{(out / 'ablation.md').read_text(encoding='utf-8')}")
    print(f"{out}: ablation.md, ablation.json, ablation.png.")
