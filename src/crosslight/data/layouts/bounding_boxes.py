"""Person and camera from the file names of Market-1501 and its descendants."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from crosslight.data.layouts.listing import image_names
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import DataError

# Matched against the basename: `-1_c1s1_...` and `0002_c1s1_...`; the root may contain anything.
PERSON_AND_CAMERA = re.compile(r"(-1|\d+)_c(\d+)(?!\d)")


def read_boxes(layout: str, root: Path, folders: Mapping[str, str], example: str) -> SampleTable:
    """The table of folders full of images whose names begin with person and camera.

    Args:
        layout: Name of the layout.
        root: Where the folders are.
        folders: Split to folder; a folder that is absent makes no rows.
        example: A file name as it should be.

    Raises:
        DataError: A name that does not begin so, or no image at all.
    """
    paths, pids, cams, splits = [], [], [], []
    for split, folder in folders.items():
        if not (root / folder).is_dir():
            continue
        for name in image_names(root / folder):
            match = PERSON_AND_CAMERA.match(name)
            if match is None:
                raise DataError(
                    f"{root / folder / name} names no person and camera, expected a name like "
                    f"{example}; rename it or take it out of the folder."
                )
            paths.append(f"{folder}/{name}")
            pids.append(int(match[1]))
            cams.append(int(match[2]))
            splits.append(split)
    return build_table(layout, root, {"path": paths, "pid": pids, "cam": cams, "split": splits})
