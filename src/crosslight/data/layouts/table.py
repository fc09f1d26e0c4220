"""A user's own data: one CSV or Parquet file beside the images."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.formats import TABLE_ENDINGS
from crosslight.data.layouts.contract import Layout
from crosslight.data.table import SampleTable, read_table

NAMES = ("table.csv", "table.parquet", "table.pq")


def read(root: Path, trial: int) -> SampleTable:
    """The splits of the table's own column, or `all`."""
    del trial
    if root.is_file():
        return read_table(root)
    return read_table(next(root / name for name in NAMES if (root / name).is_file()))


LAYOUT = Layout(
    name="table",
    title="a table of your own images",
    cross_modal=False,
    signs=tuple((name,) for name in NAMES),
    reader=read,
    obtain=(
        "Write table.csv there with the columns path, pid and, where known, cam, modality, split."
    ),
    protocols=("any-camera",),
    file_endings=tuple(sorted(TABLE_ENDINGS)),
)
