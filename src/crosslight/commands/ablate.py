"""Tells how far an ablation is, and prints its table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crosslight.commands.rows import tell_rows
from crosslight.experiments.rows import Row


def run_rows(rows: Iterable[Row], out: Path) -> None:
    """Works through the rows of `ablate`, printing each and at last the table of them all."""
    tell_rows(rows)
    table = out / "ablation.md"
    if not table.is_file():
        print("\nNo row is finished yet.")
        return
    print(f"\n{table.read_text(encoding='utf-8')}")
    print(f"{out}: ablation.md, ablation.json, ablation.png.")
