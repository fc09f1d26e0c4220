"""Pictures that a method drew of people, beside what it drew them from and the true pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from crosslight.probing.people import Images
from crosslight.report.grid import Cell, Heading, Place, Verdict, image_grid, legible


def draw_beside_truth(
    sources: Mapping[str, tuple[Images, Sequence[str]]], made: Mapping[str, Images]
) -> Image.Image:
    """A row for each picture: its sources, each with the line below it, and what was made.

    Args:
        sources: Title of a column → `(N, h, w, 3)`, as the method sees them, and N lines.
        made: Title of a column → `(N, h, w, 3)`.

    Raises:
        ValueError: Columns differ in length.
    """
    columns: list[list[Place]] = []
    for title, (images, lines) in sources.items():
        cells = [
            Cell(image=Image.fromarray(image), verdict=Verdict.QUERY, lines=(line,))
            for image, line in zip(images, lines, strict=True)
        ]
        columns.append([Heading(lines=(title,)), *cells])
    for title, images in made.items():
        drawn = [Cell(image=Image.fromarray(image)) for image in images]
        columns.append([Heading(lines=(title,)), *drawn])
    height, width = legible(*next(iter(made.values())).shape[1:3])
    rows = list(zip(*columns, strict=True))
    return image_grid(rows, cell_height=height, cell_width=width)
