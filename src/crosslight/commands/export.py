"""Exports a run, and tells how near the result comes to it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from crosslight.experiments.exporting import export_run
from crosslight.experiments.options import Exporting


def run_export(run: Path, out: Path, exporting: Exporting) -> None:
    """Prints what was made and compared, and what comes next; raises what `export_run` does."""
    print(export_run(run, out, exporting), flush=True)
    print(f"Next: crosslight gallery create people.lance --model {quote(str(out))}", flush=True)
