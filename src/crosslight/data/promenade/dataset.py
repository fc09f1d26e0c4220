"""Opens a made data set again: its world, its shots, its ground truth."""

from functools import cached_property
from pathlib import Path
from typing import Any

import polars

from crosslight.data.columns import reading_parquet
from crosslight.data.promenade.factors import Person, Shot, person_of, shot_of
from crosslight.data.promenade.recipe import Recipe, read_manifest
from crosslight.data.promenade.world import World
from crosslight.data.record import FACTORS
from crosslight.errors import DataError


class MadeSet:
    """A data set that `make` wrote.

    Attributes:
        root: Its folder.
        recipe: What it was made from.
        table: The factor table, one row per image.
        world: The world, or the worlds, that its people live in.
    """

    def __init__(self, root: Path, recipe: Recipe, table: polars.DataFrame) -> None:
        self.root = root
        self.recipe = recipe
        self.table = table
        people = table.filter(polars.col("pid") > 0)["pid"].max()
        self.world = World.of(recipe, int(str(people or 1)))

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self.table["path"])}

    def row(self, path: Path | str) -> dict[str, Any]:
        """The row of the factor table of an image; its path may be absolute or from the root.

        Raises:
            DataError: The data set has no such image.
        """
        asked = Path(path)
        if asked.is_absolute() or asked.as_posix() not in self._rows:
            try:
                asked = asked.resolve().relative_to(self.root.resolve())
            except ValueError:
                asked = Path(path)
        if asked.as_posix() not in self._rows:
            raise DataError(
                f"{path} is no image of the Promenade in {self.root}: give one of the paths in "
                f"{self.root / FACTORS}."
            )
        return self.table.row(self._rows[asked.as_posix()], named=True)

    def shot(self, path: Path | str) -> Shot:
        """The shot of an image.

        Raises:
            DataError: The data set has no such image.
        """
        return shot_of(self.row(path))

    def person(self, path: Path | str) -> Person:
        """The person in an image.

        Raises:
            DataError: The data set has no such image.
        """
        return person_of(self.row(path))


def load_world(root: Path | str) -> MadeSet:
    """Opens a made data set; `.world` and `.shot(path)` are what the true swap needs.

    Raises:
        DataError: The folder holds no Promenade, or one that is not complete.
    """
    root = Path(root)
    recipe = read_manifest(root)
    path = root / FACTORS
    if not path.is_file():
        raise DataError(
            f"{root} has no {FACTORS}, so its making was stopped: run "
            "`crosslight data make promenade` with the same settings to complete it."
        )
    remedy = (
        "delete it and run `crosslight data make promenade` with the same settings; only the "
        "table is made again"
    )
    with reading_parquet(path, remedy):
        table = polars.read_parquet(path)
    return MadeSet(root, recipe, table)
