"""What a gallery adds to a report: its calibration, and a sheet of queries across light."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from crosslight.commands.gallery.search import sheet_of
from crosslight.data.images import read_image
from crosslight.data.table import SampleTable
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.search import Searcher
from crosslight.gallery.stores.rows import Filter
from crosslight.report.reliability import Reliability
from crosslight.types import Modality

QUERIES = 6
RESULTS = 8


def reliability_of(calibration: Calibration | None) -> Mapping[str, Reliability]:
    """The calibration as the report shows it; empty where there is none."""
    if calibration is None:
        return {}
    curves = (("within one light", calibration.within), ("across lights", calibration.across))
    return {
        name: Reliability(
            fit=curve.fit,
            said=tuple(said for said, _, _ in curve.reliability),
            true=tuple(true for _, true, _ in curve.reliability),
            pairs=tuple(pairs for *_, pairs in curve.reliability),
            threshold=curve.threshold,
            false_match_rate=calibration.false_match_rate,
            missed=curve.missed,
            sure=curve.sure.sentence if curve.sure else "",
        )
        for name, curve in curves
        if curve is not None
    }


def infrared_sheet(
    searcher: Searcher, table: SampleTable, *, queries: int = QUERIES, seed: int = 0
) -> Image.Image | None:
    """Infrared images of different people as queries to the visible rows of a gallery.

    Args:
        searcher: Over the gallery.
        table: Images to draw queries from; rows of nobody known are left out.
        queries: Rows of the sheet.
        seed: Decides which people and images.

    Returns:
        The sheet, or None where no infrared image shows a known person.
    """
    rng = np.random.default_rng(seed)
    infrared = np.flatnonzero((table.modality == Modality.INFRARED) & table.known)
    people = rng.permutation(np.unique(table.pids[infrared]))[:queries]
    if not people.size:
        return None
    rows = [int(rng.choice(infrared[table.pids[infrared] == pid])) for pid in people]
    visible = Filter(modalities=frozenset({int(Modality.VISIBLE)}))
    answers = []
    for row in rows:
        picture = read_image(table.paths[row], deep_range=searcher.store.info.deep_range)
        answer = searcher.search(picture, k=RESULTS, where=visible, modality=Modality.INFRARED)
        answers.append((picture, f"person {table.pids[row]}", answer))
    return sheet_of(searcher.store, answers, people=people.tolist())
