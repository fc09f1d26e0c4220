"""What is wrong with a root, in a sentence that names the right one where it is near."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from crosslight.data.layouts.listing import entries, listed
from crosslight.errors import DataError
from crosslight.registry import did_you_mean


class Rooted(Protocol):
    """The part of a layout that its root concerns."""

    @property
    def name(self) -> str:
        """As in `--data NAME:ROOT`."""

    @property
    def title(self) -> str:
        """The data set's own name."""

    @property
    def obtain(self) -> str:
        """One sentence: how to obtain the data set."""

    @property
    def promenade(self) -> bool:
        """Whether Promenade can stand in."""

    @property
    def signs(self) -> tuple[tuple[str, ...], ...]:
        """Alternatives of names that tell the layout."""

    @property
    def file_endings(self) -> tuple[str, ...]:
        """Endings of a single file that can stand for the root."""

    def fits(self, root: Path) -> bool:
        """Whether the root bears the signs."""

    def fits_exactly(self, root: Path) -> bool:
        """Whether the root is of this layout and no other."""


def describe_wrong_root(layout: Rooted, root: Path, others: Iterable[Rooted] = ()) -> str:
    """Says what was looked for, what is there instead and where it may be.

    Args:
        layout: The layout that does not fit.
        root: Where it was looked for.
        others: Layouts to try instead.
    """
    if not root.exists():
        return _absent(layout, root)
    if root.is_file():
        wanted = f"; expected {_signs(layout)}" if layout.file_endings else ""
        return (
            f"{root} is a file, not the folder of {layout.title}{wanted}; "
            f"give the folder: {layout.name}:FOLDER."
        )
    signs = max(layout.signs, key=lambda names: sum((root / name).exists() for name in names))
    missing = [name for name in signs if not (root / name).exists()]
    if len(missing) < len(signs) and len(layout.signs[0]) > 1:
        found = f"{root} is incomplete as {layout.title}: it lacks {listed(missing)}"
    else:
        found = f"{root} does not hold {layout.title}: looked for {_signs(layout)}"
    return f"{found}, found {listed(entries(root)) or 'nothing'}. {_remedy(layout, root, others)}"


def _absent(layout: Rooted, root: Path) -> str:
    sentence = f"There is no folder {root}, expected {layout.title} there"
    siblings = [root.parent / name for name in _folders(root.parent)]
    near = did_you_mean(root.name, [path.name for path in siblings])
    return f"{sentence}{near}" if "did you mean" in near else f"{sentence}; check the path."


def _signs(layout: Rooted) -> str:
    return ", or ".join(", ".join(names) for names in layout.signs)


def _remedy(layout: Rooted, root: Path, others: Iterable[Rooted]) -> str:
    below = [root / name for name in _folders(root)]
    for place, where in [*((child, "deeper") for child in below), (root.resolve().parent, "up")]:
        if layout.fits_exactly(place):
            return f"It lies one folder {where}: use {layout.name}:{place}."
    for other in others:
        if other.name != layout.name and other.fits_exactly(root):
            return f"That is the layout of {other.title}: use {other.name}:{root}."
    stand_in = f" To try without it: crosslight data make promenade OUT --layout {layout.name}."
    return layout.obtain + (stand_in if layout.promenade else "")


def _folders(folder: Path) -> list[str]:
    try:
        return [name for name in entries(folder) if (folder / name).is_dir()]
    except DataError:
        return []
