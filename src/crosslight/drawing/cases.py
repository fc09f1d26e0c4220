"""The three cases of an exchange across light: grids of what becomes of two images' codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from crosslight.data.images import read_image
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.table import SampleTable
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.pictures import as_picture, person_and_file
from crosslight.drawing.swapping import Sitter
from crosslight.errors import DataError
from crosslight.methods.contract import Swaps
from crosslight.report.grid import Cell, Verdict, image_grid, legible
from crosslight.types import DeepRange, Modality

TESTED = ("test", "query", "gallery")


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Two images that exchange codes.

    Attributes:
        first: Row of the table.
        second: Row of the table.
    """

    first: int
    second: int


def choose_meetings(table: SampleTable, count: int) -> Mapping[str, list[Meeting]]:
    """Images for each case, always the same ones of a table.

    Within light, visible and infrared take turns; across light, image 1 is the visible one in
    every other row.

    Raises:
        DataError: The table does not show two people in both lights, each with two images.
    """
    rows: dict[Modality, dict[int, list[int]]] = {light: {} for light in Modality}
    pids, lights = table.pids.tolist(), table.modality.tolist()
    for row in np.flatnonzero(table.known).tolist():
        rows[Modality(lights[row])].setdefault(pids[row], []).append(row)
    people = [
        pid
        for pid in sorted(rows[Modality.VISIBLE].keys() & rows[Modality.INFRARED].keys())
        if min(len(rows[light][pid]) for light in Modality) > 1
    ]
    if len(people) < 2:
        raise DataError(
            f"{table.layout} at {table.root} shows {len(people)} test people twice in each light, "
            "but the three cases need two people or more; give data with both lights."
        )
    generator = np.random.default_rng(0)
    drawn = generator.permutation(people).tolist()
    cases: dict[str, list[Meeting]] = {
        "same person, same light": [],
        "different people, different light": [],
        "different people, same light": [],
    }
    for number in range(count):
        one, other = (drawn[(number + shift) % len(drawn)] for shift in (0, 1))
        light, dark = Modality(number % 2), Modality(1 - number % 2)
        own = generator.permutation(rows[light][one]).tolist()
        theirs = {key: int(generator.choice(rows[key][other])) for key in Modality}
        for case, second in zip(cases, (own[1], theirs[dark], theirs[light]), strict=True):
            cases[case].append(Meeting(first=own[0], second=second))
    return cases


@torch.inference_mode()
def draw_cases(
    method: Swaps,
    data: str,
    transform: InferenceTransform,
    *,
    count: int,
    trial: int = 1,
    deep_range: DeepRange | None = None,
) -> tuple[Image.Image, list[Sitter]]:
    """The picture of all cases, and the images that meet across light.

    Raises:
        DataError: The data set has no test images, or they do not suffice.
    """
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=trial)
    present = [split for split in TESTED if split in set(table.splits)]
    table = table.split(*present) if present else table
    rows, titles = [], []
    across: list[Sitter] = []
    for case, meetings in choose_meetings(table, count).items():
        for number, meeting in enumerate(meetings):
            first, second = (
                transform(read_image(table.paths[row], deep_range=deep_range))
                for row in (meeting.first, meeting.second)
            )
            looks = torch.stack([first, second, first, second])
            bodies = torch.stack([first, first, second, second])
            pictures = [first, second, *method.swap(looks, bodies)]
            cells = [Cell(image=as_picture(pixels)) for pixels in pictures]
            for place, row in enumerate((meeting.first, meeting.second)):
                name = Modality(int(table.modality[row])).name.lower()
                who, file = person_and_file(int(table.pids[row]), table.paths[row])
                lines = (f"{place + 1}: {who}", file, name)
                cells[place] = Cell(image=cells[place].image, verdict=Verdict.QUERY, lines=lines)
                if case.endswith("different light"):
                    label = (who, file, name)
                    across.append(Sitter(name=file, label=label, pixels=(first, second)[place]))
            drawn = ("1 on 1", "2 on 1", "1 on 2", "2 on 2")
            cells[2:] = [
                Cell(image=cell.image, lines=(name,))
                for cell, name in zip(cells[2:], drawn, strict=True)
            ]
            rows.append(cells)
            titles.append(case if number == 0 else "")
    cell_height, cell_width = legible(transform.height, transform.width)
    return image_grid(rows, titles=titles, cell_height=cell_height, cell_width=cell_width), across
