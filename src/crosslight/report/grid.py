"""Rows of images with frames and marks as one picture, for sheets saved as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from crosslight.data.images import read_image
from crosslight.errors import DataError
from crosslight.report.colours import INK, MUTED, RIGHT, WRONG
from crosslight.types import DeepRange

PLACEHOLDER = "#d5dae0"
MARGIN_PX = 8
FRAME_PX = 3
TEXT_PX = 12
LINE_PX = 15
LEGIBLE_PX = 128
"""Images of fewer rows are enlarged, or their names would not fit below them."""


class Verdict(StrEnum):
    """What a gallery image is to its query."""

    QUERY = "query"
    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"


FRAME_COLOUR = {
    Verdict.QUERY: INK,
    Verdict.RIGHT: RIGHT,
    Verdict.WRONG: WRONG,
    Verdict.UNJUDGED: PLACEHOLDER,
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One image of a grid.

    Attributes:
        image: A file or a picture; None and unreadable files give a gray placeholder.
        verdict: Decides the frame; right and wrong also get a tick or a cross.
        lines: Short lines of text below.
    """

    image: Path | Image.Image | None
    verdict: Verdict = Verdict.UNJUDGED
    lines: tuple[str, ...] = ()


def legible(height: int, width: int) -> tuple[int, int]:
    """Cell height and width for images of that size: small ones are shown several times larger."""
    scale = max(1, LEGIBLE_PX // height)
    return scale * height, scale * width


def image_grid(
    rows: Sequence[Sequence[Cell]],
    *,
    titles: Sequence[str] = (),
    cell_height: int = 128,
    cell_width: int = 64,
) -> Image.Image:
    """Draws rows of framed images, e.g. a query and its nearest images per row.

    Args:
        rows: Cells of each row; rows may differ in length.
        titles: A line above each row; empty for none.
        cell_height: Height of an image in pixels; its shape is kept.
        cell_width: Width of an image in pixels.

    Returns:
        RGB picture on white.
    """
    lines = max((len(cell.lines) for row in rows for cell in row), default=0)
    font = ImageFont.load_default(TEXT_PX)
    columns = max((len(row) for row in rows), default=0)
    step_x = cell_width + 2 * FRAME_PX + MARGIN_PX
    head = LINE_PX if titles else 0
    step_y = head + cell_height + 2 * FRAME_PX + lines * LINE_PX + MARGIN_PX
    widest = max((round(font.getlength(title)) for title in titles), default=0)
    sheet = Image.new(
        "RGB",
        (max(columns * step_x, widest + MARGIN_PX) + MARGIN_PX, len(rows) * step_y + MARGIN_PX),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    for i, row in enumerate(rows):
        top = MARGIN_PX + i * step_y
        if titles:
            draw.text((MARGIN_PX, top), titles[i], fill=INK, font=font)
        for j, cell in enumerate(row):
            left = MARGIN_PX + j * step_x
            _draw_cell(sheet, draw, cell, left, top + head, (cell_width, cell_height), font)
    return sheet


def load_or_placeholder(
    image: Path | Image.Image | None,
    *,
    width: int,
    height: int,
    deep_range: DeepRange | None = None,
) -> Image.Image:
    """The picture, or where it is missing or unreadable a gray one of the given size, crossed."""
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    if image is not None:
        try:
            return read_image(image, deep_range=deep_range)
        except DataError:
            pass
    blank = Image.new("RGB", (width, height), PLACEHOLDER)
    draw = ImageDraw.Draw(blank)
    draw.line((0, 0, width, height), fill="white", width=2)
    draw.line((0, height, width, 0), fill="white", width=2)
    return blank


def _draw_cell(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: Cell,
    left: int,
    top: int,
    size: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    width, height = size
    outer = (left, top, left + width + 2 * FRAME_PX - 1, top + height + 2 * FRAME_PX - 1)
    draw.rectangle(outer, fill="#f2f4f6", outline=FRAME_COLOUR[cell.verdict], width=FRAME_PX)
    picture = load_or_placeholder(cell.image, width=width, height=height)
    scale = min(width / picture.width, height / picture.height)
    fitted = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.LANCZOS,
    )
    sheet.paste(
        fitted,
        (
            left + FRAME_PX + (width - fitted.width) // 2,
            top + FRAME_PX + (height - fitted.height) // 2,
        ),
    )
    if cell.verdict in {Verdict.RIGHT, Verdict.WRONG}:
        _draw_mark(draw, cell.verdict, outer[2], outer[1])
    for number, line in enumerate(cell.lines):
        place = (left, outer[3] + 2 + number * LINE_PX)
        draw.text(place, _cut(line, font, width + 2 * FRAME_PX), fill=MUTED, font=font)


def _draw_mark(draw: ImageDraw.ImageDraw, verdict: Verdict, right: int, top: int) -> None:
    """A tick or a cross in the upper right corner: colour must not be the only cue."""
    left = right - 15
    draw.rectangle((left, top, right, top + 15), fill=FRAME_COLOUR[verdict])
    if verdict is Verdict.RIGHT:
        stroke = [(left + 3, top + 8), (left + 6, top + 11), (left + 12, top + 4)]
        draw.line(stroke, fill="white", width=2)
    else:
        draw.line((left + 4, top + 4, left + 11, top + 11), fill="white", width=2)
        draw.line((left + 4, top + 11, left + 11, top + 4), fill="white", width=2)


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
