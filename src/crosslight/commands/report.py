"""Gathers what the report shows about an evaluated run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from crosslight.commands.gallery.report import reliability_of
from crosslight.config import to_plain
from crosslight.data.record import is_promenade
from crosslight.drawing.contact_sheet import draw_contact_sheet
from crosslight.errors import GalleryError
from crosslight.experiments.embedder import fingerprint_of
from crosslight.experiments.evaluation import Evaluation, load_evaluation
from crosslight.experiments.probing import read_probed, sheets_of
from crosslight.files import require_place
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.store import refusal
from crosslight.registry import method_class
from crosslight.report.html import ReportInputs, build_report
from crosslight.training.run import RunFolder


def run_report(
    run: Path, out: Path | None, *, code: str | None = None, gallery: str | None = None
) -> Path:
    """Writes the report of a run that has been evaluated.

    Args:
        run: Run folder.
        out: Page to write; None: in the run folder.
        code: One of the method's codes, shown in place of its embedding.
        gallery: Store whose calibration is shown as well.

    Raises:
        GalleryError: The gallery is not there, or another run filled it.
    """
    suffix = f"-{code}" if code else ""
    out = out or run / f"report{suffix}.html"
    RunFolder.open(run)
    require_place(out)
    calibration = None if gallery is None else _calibration_of(gallery, run)
    page = write_report(
        run,
        load_evaluation(run, code=code),
        out,
        code=code,
        calibration=calibration,
    )
    print(f"Report: {page}")
    return page


def write_report(
    run: Path,
    evaluation: Evaluation,
    out: Path,
    *,
    start: Evaluation | None = None,
    seconds: Mapping[str, float] | None = None,
    code: str | None = None,
    calibration: Calibration | None = None,
    search_sheet: Image.Image | None = None,
) -> Path:
    """Writes the report of an evaluation at hand.

    Args:
        run: Run folder.
        evaluation: Of the run.
        out: Page to write.
        start: Of the weights that the training began with, before any of it.
        seconds: The steps that led to it, with their times.
        code: The code that the evaluation scored in place of the embedding.
        calibration: Of a gallery that the run filled.
        search_sheet: Queries to that gallery, drawn.
    """
    folder = RunFolder.open(run)
    config = folder.load_config()
    settings = evaluation.settings
    notes = []
    if is_promenade(Path(settings.root)):
        notes.append("These people are drawn, not filmed: no figure here is one on a real set.")
    if settings.flip:
        length = ", each of length 1," if settings.unit_views else ""
        notes.append(f"Embeddings of images and their mirror images{length} were summed.")
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
            start=start.results if start else {},
            config=to_plain(config),
            terms=method_class(config.method).terms,
            log=folder.log_path,
            contact_sheet=draw_contact_sheet(evaluation.table),
            previews=tuple(sorted(folder.previews_path.glob("[0-9]*.png"))),
            calibration=reliability_of(calibration),
            probe=probed.to_json() if (probed := read_probed(run)) else {},
            probe_sheets=sheets_of(run),
            search_sheet=search_sheet,
            seconds=seconds or {},
            notes=tuple(notes),
        ),
        out,
    )


def _calibration_of(gallery: str, run: Path) -> Calibration:
    with open_store(gallery) as store:
        if (found := fingerprint_of(run)) != store.info.model:
            raise GalleryError(refusal(store.info, found))
        calibration = Calibration.from_plain(store.info.calibration)
    if calibration is None:
        raise GalleryError(
            f"{gallery} is not calibrated; say: crosslight gallery calibrate {gallery} --data "
            "LAYOUT:ROOT"
        )
    return calibration
