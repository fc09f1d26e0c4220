"""`data check`: what a data set holds, against what is published, and every fault in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

import polars as pl

from crosslight.data.depth import Depth, DepthTally
from crosslight.data.faults import Fault, table_faults
from crosslight.data.folders import PassedOver, is_image_name, visible_entries
from crosslight.data.images import read_with_depth, size_of
from crosslight.data.layouts.catalogue import get_layout, read_layout
from crosslight.data.layouts.contract import Expected, Layout
from crosslight.data.layouts.listing import counted
from crosslight.data.record import is_promenade, record_faults, recorded_counts
from crosslight.data.splits import TEST_SPLITS
from crosslight.data.table import SampleTable, junk
from crosslight.errors import DataError
from crosslight.types import DeepRange, Modality

NAMED = 10  # unreadable images
TOLD = 4  # parts of another size; the table shows all

Mark = Literal["ok", "differs", "no published figure"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One line of the report.

    Attributes:
        split: Split of the rows.
        modality: Light of the rows.
        cam: Camera that the row is about; None for all together.
        cameras: Cameras found.
        ids: People found, without junk (pid -1).
        images: Images found, with junk.
        junk: Junk images found.
        expected_ids: Published number of people, if any.
        expected_images: Published number of images, if any.
        verified: Whether the published figures were checked by us.
        mark: How found and published compare.
    """

    split: str
    modality: Modality
    cam: int | None
    cameras: tuple[int, ...]
    ids: int
    images: int
    junk: int
    expected_ids: int | None
    expected_images: int | None
    verified: bool
    mark: Mark


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What `data check` found.

    Attributes:
        layout: Name of the layout.
        title: Name of the data set.
        root: Where it is.
        trial: The published split that was read.
        rows: Found against published.
        faults: Errors first.
        notes: What else should be known.
        images_read: Images that were opened.
        decoded: Whether they were decoded entirely.
        fingerprint: Of the sample table, see `SampleTable.fingerprint`.
    """

    layout: str
    title: str
    root: Path
    trial: int
    rows: tuple[CheckRow, ...]
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    images_read: int
    decoded: bool
    fingerprint: str

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may be there."""
        return all(fault.severity != "error" for fault in self.faults)

    def render(self) -> str:
        """The whole report as plain text."""
        head = ("split", "light", "cameras", "people", "published", "images", "published", "")
        cells = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
        lines = [f"{self.title} at {self.root} ({self.layout})", ""]
        lines += ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]
        lines += [""]
        for fault in self.faults:
            lines += [f"{fault.severity}: {fault.what}", f"  {fault.remedy}"]
        lines += [f"note: {note}" for note in self.notes]
        how = "decoded" if self.decoded else "opened, headers only"
        errors = sum(fault.severity == "error" for fault in self.faults)
        lines += [
            f"{self.images_read} images {how}; errors: {errors}, "
            f"warnings: {len(self.faults) - errors}.",
            f"Fingerprint of the table: {self.fingerprint}",
        ]
        return "\n".join(lines)


def check_data(
    layout_name: str,
    root: Path,
    *,
    trial: int = 1,
    read_images: bool = True,
    deep_range: DeepRange | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Reads a data set, counts it and looks for faults.

    Args:
        layout_name: As in `--data NAME:ROOT`.
        root: Where the data set is.
        trial: Which published split to read, where there are several.
        read_images: Decode every image entirely; otherwise only their headers are read.
        deep_range: As in `DataConfig`.
        progress: Called with (images done, images in all) from the calling thread.

    Raises:
        ConfigError: No such layout.
        DataError: The root is wrong, or the data set too incomplete to be read.
    """
    layout = get_layout(layout_name)
    table = read_layout(layout_name, root, trial=trial).with_range(deep_range)
    expected, faults = layout.expected, table_faults(table, layout)
    notes = [] if table.remark is None else [table.remark]
    if is_promenade(table.root):
        expected = recorded_counts(table)
        faults += record_faults(table)
        notes.append(
            f"This is Promenade: the published figures of {layout.title} do not apply"
            + (", those shown are the ones it recorded." if expected else ".")
        )
    if not {"train", *TEST_SPLITS} & set(table.splits.tolist()):
        notes.append(
            "No split train, test, query or gallery: these images can be enrolled; to train on "
            "them, say --set data.train_splits=[all]."
        )
    if layout.name != "table" and (told := _passed_over(table)):
        notes.append(f"Beside the images, {told}.")
    rows = count_rows(table, expected)
    faults += size_faults(rows, layout)
    depths = DepthTally()
    faults += _unreadable(table, read_images, progress, depths)
    faults += narrow_faults(depths)
    return CheckReport(
        layout=layout.name,
        title=layout.title,
        root=root,
        trial=trial,
        rows=rows,
        faults=tuple(sorted(faults, key=lambda fault: fault.severity != "error")),
        notes=tuple(notes),
        images_read=len(set(table.relative_paths)),
        decoded=read_images,
        fingerprint=table.fingerprint(),
    )


def count_rows(table: SampleTable, expected: Sequence[Expected]) -> tuple[CheckRow, ...]:
    """People, cameras and images of every split and light, in table order, beside `expected`.

    Parts that are expected but absent get a row of zeros; expected cameras a row of their own.
    """
    present = table.frame.select("split", "modality").unique(maintain_order=True).iter_rows()
    parts = [(split, Modality(modality)) for split, modality in present]
    published = {(part.split, part.modality, part.cam): part for part in expected}
    absent = [(e.split, e.modality) for e in expected if (e.split, e.modality) not in parts]
    rows = []
    for split, modality in [*parts, *dict.fromkeys(absent)]:
        rows.append(_row(table, split, modality, published.get((split, modality, None))))
        rows += [
            _row(table, split, modality, part)
            for part in expected
            if part.cam is not None and (part.split, part.modality) == (split, modality)
        ]
    return tuple(rows)


def _row(table: SampleTable, split: str, modality: Modality, part: Expected | None) -> CheckRow:
    cam = part.cam if part else None
    condition = (pl.col("split") == split) & (pl.col("modality") == int(modality))
    if cam is not None:
        condition &= pl.col("cam") == cam
    frame = table.frame.filter(condition)
    people = frame.filter(~junk(pl.col("pid")))
    ids, images = people["pid"].n_unique(), frame.height
    pairs = [] if part is None else [(part.ids, ids), (part.images, images)]
    known = [wanted == found for wanted, found in pairs if wanted is not None]
    return CheckRow(
        split=split,
        modality=modality,
        cam=cam,
        cameras=tuple(sorted(set(frame["cam"].to_list()))),
        ids=ids,
        images=images,
        junk=images - people.height,
        expected_ids=part.ids if part else None,
        expected_images=part.images if part else None,
        verified=part.verified if part else True,
        mark="no published figure" if not known else "ok" if all(known) else "differs",
    )


def size_faults(rows: Sequence[CheckRow], layout: Layout) -> list[Fault]:
    """One warning about the rows whose size is not the published one."""
    differing = [row for row in rows if row.mark == "differs"]
    whole = {(row.split, row.modality) for row in differing if row.cam is None}
    told = [r for r in differing if r.cam is None or (r.split, r.modality) not in whole]
    if not told:
        return []
    more = f"; and {len(told) - TOLD} parts more" if len(told) > TOLD else ""
    parts = "; ".join(map(_difference, told[:TOLD]))
    return [
        Fault(
            severity="warning",
            what=f"The size is not the published one: {parts}{more}.",
            remedy=(
                f"Unpack {layout.title} again, completely; if it is a part of it on purpose, "
                "do not compare its scores with published ones."
            ),
        )
    ]


def _difference(row: CheckRow) -> str:
    camera = "" if row.cam is None else f" camera {row.cam}"
    doubt = "" if row.verified else " (not verified by crosslight)"
    return (
        f"{row.split} {row.modality.name.lower()}{camera} has {row.ids} people and {row.images} "
        f"images where {_figure(row.expected_ids)} and {_figure(row.expected_images)} "
        f"are published{doubt}"
    )


def _passed_over(table: SampleTable) -> str:
    """What lies in the folders of the images and was not taken for one, by its ending."""
    left = PassedOver()
    for folder in sorted({PurePosixPath(path).parent for path in table.relative_paths}):
        place = table.root / folder
        names = [entry.name for entry in visible_entries(place)] if place.is_dir() else []
        for name in names:
            if not is_image_name(name) and (place / name).is_file():
                left(place / name)
    return left.told()


def narrow_faults(depths: DepthTally) -> list[Fault]:
    """One warning about images that became nearly flat when they were read."""
    if not depths.narrow:
        return []
    remedy = depths.remedy(
        "State the range: in training --set data.deep_range=[{0},{1}], of a gallery, and here to "
        "try it, --deep-range {0} {1}."
    )
    return [Fault(severity="warning", what=depths.told(), remedy=remedy)]


def _unreadable(
    table: SampleTable, decode: bool, progress: Progress | None, depths: DepthTally
) -> list[Fault]:
    paths = list(dict.fromkeys(table.relative_paths))
    inspect = partial(_inspected, table.root, decode, table.deep_range)
    broken = []
    pool = ThreadPoolExecutor()
    try:
        found = pool.map(inspect, paths)
        for done, (path, (message, depth)) in enumerate(zip(paths, found, strict=True), start=1):
            depths.add(depth)
            if message:
                broken.append((path, message))
            if progress is not None:
                progress(done, len(paths))
    finally:  # Ctrl-C must not wait for what is still queued
        pool.shutdown(cancel_futures=True)
    if not broken:
        return []
    names = [path for path, _ in broken]
    return [
        Fault(
            severity="error",
            what=(
                f"Of {len(paths)} images, unreadable: {counted(names, 'image', 'images', NAMED)}. "
                f"The first: {broken[0][1]}"
            ),
            remedy="Copy them again from their source, or remove them and their rows.",
        )
    ]


def _inspected(
    root: Path, decode: bool, deep_range: DeepRange | None, path: str
) -> tuple[str | None, Depth | None]:
    try:
        if decode:
            return None, read_with_depth(root / path, deep_range=deep_range)[1]
        size_of(root / path)
    except DataError as error:
        return str(error), None
    return None, None


def _cells(row: CheckRow) -> tuple[str, ...]:
    junk = f" ({row.junk} junk)" if row.junk else ""
    doubt = "" if row.verified else "?"
    return (
        row.split,
        row.modality.name.lower(),
        _ranges(row.cameras),
        str(row.ids),
        _figure(row.expected_ids, doubt),
        f"{row.images}{junk}",
        _figure(row.expected_images, doubt),
        row.mark,
    )


def _figure(value: int | None, doubt: str = "") -> str:
    return "-" if value is None else f"{value}{doubt}"


def _ranges(cameras: Sequence[int]) -> str:
    """Camera numbers with runs joined: 1-3,5."""
    runs: list[list[int]] = []
    for cam in cameras:
        if runs and cam == runs[-1][1] + 1 and cam > 0:
            runs[-1][1] = cam
        else:
            runs.append([cam, cam])
    names = ["unknown" if a < 0 else str(a) if a == b else f"{a}-{b}" for a, b in runs]
    return ",".join(names) or "none"
