"""The end of the demo: its test people, seen in visible light, in a gallery."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from PIL import Image

from crosslight.commands.gallery.add import create, tell
from crosslight.commands.gallery.calibrate import calibrate
from crosslight.commands.gallery.report import infrared_sheet
from crosslight.data.layouts import read_layout
from crosslight.drawing.pictures import write_png
from crosslight.experiments.embedder import fingerprint_of, load_embedder
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.options import Calibrating
from crosslight.gallery.search import Searcher
from crosslight.gallery.sources import candidates_from
from crosslight.gallery.stores.description import read_description
from crosslight.gallery.stores.opening import open_store
from crosslight.types import Modality

LAYOUT = "sysu-mm01"


@dataclass(frozen=True, kw_only=True)
class DemoGallery:
    """What the demo enrolled.

    Attributes:
        calibration: Fitted on the validation people.
        sheet: Infrared queries and what they found; None where there is none.
        query: An infrared image of a test person, to search with.
    """

    calibration: Calibration
    sheet: Image.Image | None
    query: Path


def make_gallery(
    store: Path,
    *,
    run: Path,
    data: Path,
    sheet: Path,
    calibrating: Calibrating | None = None,
) -> DemoGallery:
    """Enrols the visible test images, calibrates on the validation people, draws queries.

    Args:
        store: Where the gallery lives; one that another training filled is made again.
        run: Run folder.
        data: The demo's data set.
        sheet: File for the drawn queries.
        calibrating: How the gallery is calibrated; None: as usual.
    """
    argument = f"{LAYOUT}:{data}"
    if store.is_dir() and read_description(store)[1].model != fingerprint_of(run):
        shutil.rmtree(store)
    if not store.is_dir():
        create(str(store), model=run)
    embedder = load_embedder(run)
    visible = [
        candidate
        for candidate in candidates_from(argument, splits=("test",))
        if candidate.modality == Modality.VISIBLE
    ]
    with open_store(store) as opened:
        tell(opened, enrol(opened, embedder, visible))
    calibration = calibrate(str(store), argument, calibrating or Calibrating())
    table = read_layout(LAYOUT, data).split("test")
    queries = table.where(pl.col("modality") == int(Modality.INFRARED))
    with open_store(store) as opened:
        drawn = infrared_sheet(Searcher(opened, embedder), queries)
    if drawn is not None:
        write_png(drawn, sheet)
    return DemoGallery(calibration=calibration, sheet=drawn, query=queries.paths[0])
