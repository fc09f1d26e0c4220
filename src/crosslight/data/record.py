"""What Promenade wrote down about the data set that it made."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from crosslight.data.columns import reading_parquet
from crosslight.data.faults import Fault
from crosslight.data.layouts.contract import PROMENADE, Expected
from crosslight.data.layouts.listing import counted
from crosslight.data.table import SampleTable, junk
from crosslight.types import Modality

FACTORS = "factors.parquet"
COLUMNS = ["path", "pid", "spectrum", "split"]


def is_promenade(root: Path) -> bool:
    """Whether Promenade made the data set at a root."""
    return (root / PROMENADE).is_file()


def recorded_counts(table: SampleTable) -> tuple[Expected, ...]:
    """The sizes that Promenade recorded; nothing where its splits are not those of the table."""
    record = _record(table.root)
    if record is None or set(record["split"].to_list()) != set(table.splits):
        return ()
    infrared = (pl.col("spectrum") != "visible").cast(pl.UInt8).alias("modality")
    people = pl.col("pid").filter(~junk(pl.col("pid"))).n_unique().alias("ids")
    counts = record.group_by("split", infrared, maintain_order=True).agg(people, pl.len())
    return tuple(
        Expected(split=split, modality=Modality(modality), ids=ids, images=images)
        for split, modality, ids, images in counts.iter_rows()
    )


def record_faults(table: SampleTable) -> list[Fault]:
    """Images that were recorded but are gone."""
    record = _record(table.root)
    if record is None:
        return []
    unread = sorted(set(record["path"].to_list()) - set(table.relative_paths))
    missing = [path for path in unread if not (table.root / path).is_file()]
    if not missing:
        return []
    return [
        Fault(
            severity="error",
            what=f"Made by Promenade but no longer there: {counted(missing, 'image', 'images')}.",
            remedy=(
                "Run the crosslight data make promenade command that made it again, with the "
                "same settings: it draws what is missing."
            ),
        )
    ]


def _record(root: Path) -> pl.DataFrame | None:
    path = root / FACTORS
    if not path.is_file():
        return None
    with reading_parquet(path, "run the crosslight data make promenade command again"):
        return pl.read_parquet(path, columns=COLUMNS)
