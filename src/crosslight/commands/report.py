"""Gathers what the report shows about an evaluated run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crosslight.commands.contact_sheet import draw_contact_sheet
from crosslight.commands.evaluate import Evaluation, load_evaluation
from crosslight.config import to_plain
from crosslight.data.promenade.recipe import MANIFEST
from crosslight.report.html import ReportInputs, build_report
from crosslight.training.run import RunFolder


def run_report(run: Path, out: Path | None, *, code: str | None = None) -> Path:
    """Writes the report of a run that has been evaluated, by its embedding or one of its codes."""
    suffix = f"-{code}" if code else ""
    page = write_report(
        run, load_evaluation(run, code=code), out or run / f"report{suffix}.html", code=code
    )
    print(f"Report: {page}")
    return page


def write_report(
    run: Path,
    evaluation: Evaluation,
    out: Path,
    *,
    seconds: Mapping[str, float] | None = None,
    code: str | None = None,
) -> Path:
    """Writes the report of an evaluation at hand; `seconds` names the steps that led to it."""
    folder = RunFolder.open(run)
    config = folder.load_config()
    settings = evaluation.settings
    notes = []
    if (Path(settings.root) / MANIFEST).exists():
        notes.append("These people are drawn, not filmed: no figure here is one on a real set.")
    if settings.flip:
        notes.append("Images and their mirror images were embedded and summed.")
    if code:
        notes.append(f"The code {code} was scored, in place of the embedding.")
    return build_report(
        ReportInputs(
            title=f"{config.method} on {settings.title}",
            data_name=settings.title,
            table=evaluation.table,
            features=evaluation.features.feats,
            results=evaluation.results,
            chance=evaluation.chance,
            config=to_plain(config),
            log=folder.log_path,
            contact_sheet=draw_contact_sheet(evaluation.table),
            previews=tuple(sorted(folder.previews_path.glob("[0-9]*.png"))),
            seconds=seconds or {},
            notes=tuple(notes),
        ),
        out,
    )
