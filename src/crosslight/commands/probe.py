"""Probes a run, and writes what was found beside the figures."""

from __future__ import annotations

from pathlib import Path

from crosslight.experiments.options import Probing
from crosslight.experiments.probing import FOLDER, probe_run
from crosslight.files import write_text, written_whole
from crosslight.report.probe import probe_figures, probe_markdown


def run_probe(run: Path, data: str, how: Probing) -> None:
    """Measures, prints the tables, and writes `probe/probe.md` and a PNG of each heat map."""
    probed = probe_run(run, data, how, tell=lambda line: print(line, flush=True)).to_json()
    folder = run / FOLDER
    tables = probe_markdown(probed)
    write_text(folder / "probe.md", tables)
    names = []
    for number, figure in enumerate(probe_figures(probed).values(), start=1):
        names.append(f"heat-map-{number}.png")
        with written_whole(folder / names[-1]) as file:
            figure.savefig(file, format="png", dpi=140)
    print(f"\n{tables}\n{folder}: {', '.join(('probe.md', 'probe.json', *names))}.")
