"""A sheet of pictures in a researcher's hands: looked at, saved, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from crosslight.drawing.pictures import write_png


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """What was drawn, and the sheet that shows it beside what it was drawn from.

    Attributes:
        drawn: The drawn pictures row by row, RGB in the method's size.
        sheet: All of them with their sources, labelled.
    """

    drawn: tuple[tuple[Image.Image, ...], ...]
    sheet: Image.Image

    def save(self, path: Path | str) -> None:
        """Writes the sheet as PNG, whole or not at all, and makes the folders that lead to it.

        Raises:
            OSError: The disk refuses it.
        """
        write_png(self.sheet, Path(path))

    def __repr__(self) -> str:
        columns = max((len(row) for row in self.drawn), default=0)
        return f"Grid({len(self.drawn)} rows, {columns} columns)"

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.sheet.save(file, format="PNG")
        return file.getvalue()
