"""Sheets that show, while training runs, how a method draws some training people in other light."""

from __future__ import annotations

import numpy as np
import torch

from crosslight.config import DataConfig
from crosslight.data.images import read_image
from crosslight.data.table import SampleTable
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.pictures import as_picture, person_and_file, write_png
from crosslight.errors import ConfigError
from crosslight.methods.contract import Method, Translates
from crosslight.report.grid import Cell, Verdict, image_grid, legible
from crosslight.training.run import RunFolder
from crosslight.types import Modality

SHOWN = 4
"""Images of each light."""


class Previews:
    """Draws the same few training images again and again, into a file per call.

    Methods that cannot draw in other light, or were not set up to, leave no file.

    Args:
        train: The training rows.
        config: Image size, and how images are brought to it.
        run: Whose folder `previews` is written.
    """

    def __init__(self, train: SampleTable, config: DataConfig, run: RunFolder) -> None:
        self._train = train
        self._size = (config.height, config.width)
        self._transform = InferenceTransform(*self._size, config.interpolation)
        self._folder = run.previews_path

    def __call__(self, method: Method, step: int) -> None:
        """Writes `previews/STEP.png`: a row per light, each image followed by its translation."""
        if not isinstance(method, Translates):
            return
        place = next(method.parameters()).device
        rows = []
        for light, other in (tuple(Modality), tuple(reversed(Modality))):
            found = np.flatnonzero(self._train.modality == light)
            chosen = [int(found[n * len(found) // SHOWN]) for n in range(min(SHOWN, len(found)))]
            if not chosen:
                continue
            paths, deep_range = self._train.paths, self._train.deep_range
            images = torch.stack(
                [self._transform(read_image(paths[n], deep_range=deep_range)) for n in chosen]
            )
            try:
                drawn = method.translate(images.to(place), light, other).float().cpu()
            except ConfigError:  # nothing in this configuration draws
                return
            cells = []
            for n, before, after in zip(chosen, images, drawn, strict=True):
                lines = person_and_file(int(self._train.pids[n]), paths[n])
                cells.append(Cell(image=as_picture(before), verdict=Verdict.QUERY, lines=lines))
                cells.append(Cell(image=as_picture(after), lines=(other.name.lower(),)))
            rows.append(cells)
        height, width = legible(*self._size)
        sheet = image_grid(rows, cell_height=height, cell_width=width)
        write_png(sheet, self._folder / f"{step:07d}.png")
