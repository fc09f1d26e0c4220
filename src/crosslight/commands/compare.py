"""Prints runs beside each other, and keeps the table where that is asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from crosslight.experiments.comparing import compare, named_runs
from crosslight.experiments.probing import read_probed
from crosslight.files import require_folder, write_text, written_whole
from crosslight.report.comparison import comparison_figure, comparison_markdown
from crosslight.report.probes import probes_markdown


def run_compare(paths: Sequence[Path], *, protocols: Sequence[str], out: Path | None) -> None:
    """Prints the table, and what probes of the runs found, where there are any.

    With `out` it writes `comparison.md`, `.json` and `.png` into that folder, and `probes.md`.
    """
    if out is not None:
        require_folder(out)
    content = compare(paths, protocols=protocols).to_json()
    table = comparison_markdown(content)
    print(table)
    probed = {name: read_probed(run) for name, run in named_runs(paths).items()}
    probes = {name: found.to_json() for name, found in probed.items() if found is not None}
    codes = probes_markdown(probes) if probes else ""
    if codes:
        print(codes)
    if out is None:
        return
    write_text(out / "comparison.md", table)
    write_text(out / "comparison.json", json.dumps(content, indent=2) + "\n")
    with written_whole(out / "comparison.png") as file:
        comparison_figure(content).savefig(file, format="png", dpi=140)
    if codes:
        write_text(out / "probes.md", codes)
    print(f"{out}: comparison.md, comparison.json, comparison.png{', probes.md' * bool(codes)}.")
