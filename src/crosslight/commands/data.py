"""Makes, checks and shows data sets."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from crosslight.config import require_range
from crosslight.data.check import check_data
from crosslight.data.layouts import parse_data_argument, read_layout, recognise
from crosslight.data.naming import name_of_data
from crosslight.data.promenade.wishes import Wishes
from crosslight.drawing.contact_sheet import draw_contact_sheet
from crosslight.drawing.pictures import picture_format
from crosslight.errors import DataError
from crosslight.files import require_place, written_whole
from crosslight.types import DeepRange


def make_promenade(out: Path, wishes: Wishes, *, workers: int) -> None:
    """Draws Promenade and says what was written."""
    from crosslight.data.promenade import make

    summary = make(out, workers=workers, **vars(wishes))
    print(f"{summary.images} images in {out} ({summary.seconds:.0f} s).")
    print(f"Next: crosslight data check {wishes.layout} {quote(str(out))}")
    print(f"      crosslight data show {quote(str(out))} --out sheet.png")


def check(
    layout: str,
    root: Path,
    *,
    trial: int,
    read_images: bool,
    deep_range: DeepRange | None = None,
) -> None:
    """Prints counts and faults.

    Raises:
        DataError: The data set has faults that make training or scoring on it wrong.
    """
    require_range(deep_range, "--deep-range")
    report = check_data(layout, root, trial=trial, read_images=read_images, deep_range=deep_range)
    print(report.render())
    if not report.ok:
        errors = sum(fault.severity == "error" for fault in report.faults)
        raise DataError(f"{errors} {'fault' if errors == 1 else 'faults'} to mend, see above.")


def show(
    root: str,
    out: Path,
    *,
    people: int,
    split: str | None,
    seed: int,
    deep_range: DeepRange | None = None,
) -> None:
    """Writes a contact sheet."""
    folder = Path(root)
    layout = recognise(folder) if folder.exists() else None
    if layout is None:
        layout, folder = parse_data_argument(root)
    kind = picture_format(out)
    require_place(out)
    require_range(deep_range, "--deep-range")
    table = read_layout(layout.name, folder).with_range(deep_range)
    sheet = draw_contact_sheet(table.split(split) if split else table, people=people, seed=seed)
    with written_whole(out) as file:
        sheet.save(file, format=kind)
    print(f"{out}: {name_of_data(layout, folder)}, {sheet.width} x {sheet.height} px.")
