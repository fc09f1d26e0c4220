"""Tells how far an ablation is, and prints its table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crosslight.commands.evaluate import print_evaluation
from crosslight.experiments.rows import Row


def run_rows(rows: Iterable[Row], out: Path) -> None:
    """Works through the rows of `ablate`, printing each and at last the table of them all."""
    for row in rows:
        if row.state != "done":
            print(f"\n{row.number}/{row.total}  {row.name}, seed {row.seed}", flush=True)
        if row.state == "was done":
            print(f"{row.place} is finished.", flush=True)
        elif row.state == "elsewhere":
            print(f"{row.place} is another process's.", flush=True)
        elif row.fitting is not None and row.fitting.chosen_by is not None:
            print(row.fitting.chosen_by, flush=True)
        if row.evaluation is not None:
            print_evaluation(row.evaluation)
    table = out / "ablation.md"
    if not table.is_file():
        print("\nNo row is finished yet.")
        return
    print(f"\n{table.read_text(encoding='utf-8')}")
    print(f"{out}: ablation.md, ablation.json, ablation.png.")
