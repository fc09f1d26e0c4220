"""Market-1501: six visible cameras of one supermarket."""

from __future__ import annotations

import re
from pathlib import Path

from crosslight.data.layouts.bounding_boxes import read_boxes
from crosslight.data.layouts.contract import Expected, Layout, Search
from crosslight.data.table import SampleTable

FOLDERS = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
    "multi-query": "gt_bbox",
}


def read(root: Path, trial: int) -> SampleTable:
    """Splits train, query, gallery and, where `gt_bbox` is there, multi-query.

    Junk (pid -1) and distractors (pid 0) stay in the gallery: its protocol deletes the former.
    """
    del trial
    return read_boxes("market1501", root, FOLDERS, "0002_c1s1_000451_03.jpg")


LAYOUT = Layout(
    name="market1501",
    title="Market-1501",
    cross_modal=False,
    signs=(("bounding_box_train", "bounding_box_test", "query"),),
    sample=("query", re.compile(r"\d+_c\d+s\d+_")),
    reader=read,
    obtain=(
        "Market-1501 (Zheng et al., ICCV 2015) is given out by its authors for research; "
        "ask on their project page."
    ),
    protocols=("market1501",),
    searches=(Search(protocol="market1501"),),
    # The paper and the counts that the common readers state; 19,732 = 15,913 + 3,819 junk, and
    # the people of the gallery are 750 and the distractors.
    expected=(
        Expected(split="train", ids=751, images=12936),
        Expected(split="query", ids=750, images=3368),
        Expected(split="gallery", ids=751, images=19732),
    ),
    promenade=True,
)
