"""Pictures that a method drew of people, beside what it drew them from and the true pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from crosslight.probing.people import Images, Numbers, Photographs
from crosslight.report.grid import Cell, Heading, Place, Verdict, image_grid, legible


def draw_beside_truth(
    people: Photographs,
    seen: Images,
    sources: Mapping[str, Numbers],
    made: Mapping[str, Images],
) -> Image.Image:
    """A row for each picture: its sources, labelled by person and camera, and what was made.

    Args:
        people: Of whom the sources are.
        seen: `(len(people), h, w, 3)`, their images as the method sees them.
        sources: Title of a column → `(N,)` numbers of images.
        made: Title of a column → `(N, h, w, 3)`.
    """
    rows: list[list[Place]] = [[Heading(lines=(title,)) for title in (*sources, *made)]]
    for row in range(len(next(iter(made.values())))):
        given = [
            Cell(
                image=Image.fromarray(np.ascontiguousarray(seen[number])),
                verdict=Verdict.QUERY,
                lines=(f"person {people.pids[number]}, camera {people.cams[number]}",),
            )
            for number in (int(numbers[row]) for numbers in sources.values())
        ]
        drawn = [Cell(image=Image.fromarray(pictures[row])) for pictures in made.values()]
        rows.append([*given, *drawn])
    height, width = legible(*seen.shape[1:3])
    return image_grid(rows, cell_height=height, cell_width=width)
