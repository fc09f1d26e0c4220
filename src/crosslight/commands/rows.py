"""Tells how far the rows of a folder are."""

from __future__ import annotations

from collections.abc import Iterable

from crosslight.commands.evaluate import print_evaluation
from crosslight.experiments.rows import Row


def tell_rows(rows: Iterable[Row]) -> dict[str, Row]:
    """Works through rows, printing each; gives the last word on each by its run folder."""
    told: dict[str, Row] = {}
    begun: str | None = None
    for row in rows:
        place = str(row.place)
        if place != begun:
            print(f"\n{row.number}/{row.total}  {row.name}, seed {row.seed}", flush=True)
        begun = place if row.state == "begins" else None
        if row.fault is not None:
            print(f"{row.place} failed: {row.fault}", flush=True)
        elif row.state == "was done":
            print(f"{row.place} is finished.", flush=True)
        elif row.state == "elsewhere":
            print(f"{row.place} is another process's.", flush=True)
        elif row.state == "waits":
            print(f"{row.place} waits for another process.", flush=True)
        elif row.fitting is not None and row.fitting.chosen_by is not None:
            print(row.fitting.chosen_by, flush=True)
        if row.evaluation is not None:
            print_evaluation(row.evaluation)
        told[place] = row
    return told
