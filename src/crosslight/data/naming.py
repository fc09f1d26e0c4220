"""How tables and pages call a data set."""

from pathlib import Path

from crosslight.data.layouts import Layout
from crosslight.data.promenade.recipe import MANIFEST, read_manifest


def name_of_data(layout: Layout, root: Path) -> str:
    """The published name; procedural data never goes by the name of a real set."""
    if not (root / MANIFEST).exists():
        return layout.title
    made = read_manifest(root)
    light = f"{made.infrared}, " if made.infrared else ""
    return f"Promenade {made.preset} ({light}layout of {layout.title})"
