"""Every layout by name, and the reading of `--data LAYOUT:ROOT`."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.layouts import (
    dukemtmc,
    llcm,
    market1501,
    msmt17,
    regdb,
    sysu_mm01,
    table,
)
from crosslight.data.layouts.contract import Layout
from crosslight.data.layouts.roots import describe_wrong_root
from crosslight.data.table import SampleTable
from crosslight.errors import ConfigError, DataError, ReadingError
from crosslight.registry import did_you_mean

LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (sysu_mm01, regdb, llcm, market1501, msmt17, dukemtmc, table)
}
EXAMPLE = "sysu-mm01:/data/SYSU-MM01"


def layout_names() -> list[str]:
    """The names that `--data NAME:ROOT` knows, sorted."""
    return sorted(LAYOUTS)


def get_layout(name: str) -> Layout:
    """The layout of that name.

    Raises:
        ConfigError: No such layout; the nearest is named.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"Unknown layout {name!r}{did_you_mean(name, LAYOUTS)}")
    return LAYOUTS[name]


def recognise(root: Path) -> Layout | None:
    """The layout whose signs a root bears, if it is one alone; a published one before a table."""
    fitting = [layout for layout in LAYOUTS.values() if layout.fits_exactly(root)]
    fitting = [layout for layout in fitting if layout.name != "table"] or fitting
    return fitting[0] if len(fitting) == 1 else None


def read_layout(name: str, root: Path | str, *, trial: int = 1) -> SampleTable:
    """The sample table of the data set at `root`; see `Layout.read`.

    Raises:
        ConfigError: No such layout.
        DataError: Another layout, incomplete, or a file that does not parse.
    """
    layout, root = get_layout(name), Path(root)
    if not layout.fits(root):
        raise ReadingError(describe_wrong_root(layout, root, LAYOUTS.values()))
    if not layout.fits_exactly(root) and (other := recognise(root)) is not None:
        raise DataError(
            f"The images at {root} are named as in {other.title}, not as in {layout.title}; "
            f"use {other.name}:{root}."
        )
    return layout.read(root, trial=trial)


def parse_data_argument(argument: str) -> tuple[Layout, Path]:
    r"""Layout and root of `LAYOUT:ROOT`; the root may begin with `~` or a drive like `D:\`.

    Raises:
        ConfigError: No layout or no root in it, or an unknown layout.
    """
    name, colon, root = argument.partition(":")
    drive = len(name) == 1 and name.isalpha()
    if not colon or not name or drive or "/" in name or "\\" in name:
        raise ConfigError(_without_layout(argument))
    layout = get_layout(name)
    if not root:
        raise ConfigError(f"{argument!r} names no folder; write LAYOUT:ROOT, e.g. {EXAMPLE}.")
    return layout, Path(root).expanduser()


def _without_layout(argument: str) -> str:
    if argument in LAYOUTS:
        return f"{argument!r} names no folder; write {argument}:ROOT, e.g. {EXAMPLE}."
    likely = recognise(Path(argument).expanduser())
    if likely is not None:
        return (
            f"{argument!r} names no layout; it looks like {likely.title}: "
            f"write {likely.name}:{argument}."
        )
    return (
        f"{argument!r} names no layout; write LAYOUT:ROOT, e.g. {EXAMPLE}, "
        f"with one of {', '.join(layout_names())}."
    )
