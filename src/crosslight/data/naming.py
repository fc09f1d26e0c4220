"""How tables and pages call a data set."""

from pathlib import Path

from crosslight.data.layouts import Layout
from crosslight.data.promenade.recipe import Recipe, read_manifest
from crosslight.data.record import is_promenade


def name_of_data(layout: Layout, root: Path) -> str:
    """The published name; procedural data never goes by the name of a real set."""
    made_in = root.parent if root.is_file() else root
    if not is_promenade(made_in):
        return layout.title
    made = read_manifest(made_in)
    light = "".join(f"{light}, " for light in made.infrared_lights)
    hard = "" if made.difficulty == "default" else f"{made.difficulty}, "
    title = "a table" if layout.name == "table" else f"layout of {layout.title}"
    return f"Promenade {_size(made)} ({hard}{light}{title})"


def _size(made: Recipe) -> str:
    size = made.preset if made.people is None else f"of {made.size.ids} people"
    if made.worlds > 1:
        return f"{size} in {made.worlds} worlds"
    return f"{size} in world {made.first_world}" if made.first_world else size
