"""DukeMTMC-reID: eight visible cameras of one campus; withdrawn by its owner."""

from __future__ import annotations

import re
from pathlib import Path

from crosslight.data.layouts.bounding_boxes import read_boxes
from crosslight.data.layouts.contract import Expected, Layout, Search
from crosslight.data.table import SampleTable

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


def read(root: Path, trial: int) -> SampleTable:
    """Splits train, query and gallery."""
    del trial
    return read_boxes("dukemtmc", root, FOLDERS, "0001_c2_f0046182.jpg")


LAYOUT = Layout(
    name="dukemtmc",
    title="DukeMTMC-reID",
    cross_modal=False,
    signs=(("bounding_box_train", "bounding_box_test", "query"),),
    sample=("query", re.compile(r"\d+_c\d+_f\d+")),
    reader=read,
    obtain="DukeMTMC was withdrawn by its owner in 2019; crosslight reads copies, but names none.",
    protocols=("dukemtmc",),
    searches=(Search(protocol="dukemtmc"),),
    # Counts stated by the common readers; 1,110 = 702 people and 408 distractors.
    expected=(
        Expected(split="train", ids=702, images=16522),
        Expected(split="query", ids=702, images=2228),
        Expected(split="gallery", ids=1110, images=17661),
    ),
)
