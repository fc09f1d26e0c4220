"""Rows of images with frames and marks as one picture, for sheets saved as PNG."""

from __future__ import annotations

import math
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
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MARGIN_PX = 8
FRAME_PX = 3
TEXT_PX = 12
LINE_PX = 15
LEGIBLE_PX = 128
"""Images of fewer rows are enlarged, or their names would not fit below them."""

MOST_LINES = 3
"""Lines that a name may take before its column grows wider instead."""


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
        lines: Text below; what is wider than the column goes on in the next line.
        deep_range: Black and white of a file with more than 8 bits, see `read_image`.
    """

    image: Path | Image.Image | None
    verdict: Verdict = Verdict.UNJUDGED
    lines: tuple[str, ...] = ()
    deep_range: DeepRange | None = None


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A place of a grid that holds words alone, without a frame.

    Attributes:
        lines: As those of a `Cell`, where its image would be.
    """

    lines: tuple[str, ...]


Place = Cell | Heading


def legible(height: int, width: int) -> tuple[int, int]:
    """Cell height and width for images of that size: small ones are shown several times larger."""
    scale = max(1, LEGIBLE_PX // height)
    return scale * height, scale * width


def image_grid(
    rows: Sequence[Sequence[Place]],
    *,
    titles: Sequence[str] = (),
    cell_height: int = 128,
    cell_width: int = 64,
) -> Image.Image:
    """Draws rows of framed images, e.g. a query and its nearest images per row.

    Args:
        rows: Places of each row; rows may differ in length.
        titles: A line above each row; empty for none.
        cell_height: Height of an image in pixels; its shape is kept.
        cell_width: Width of an image in pixels.

    Returns:
        RGB picture on white.
    """
    font = ImageFont.load_default(TEXT_PX)
    places = [place for row in rows for place in row]
    inner = cell_width + 2 * FRAME_PX
    inner = max([inner, *(_needed_px(line, font) for p in places for line in p.lines)])
    texts = [[wrapped(place.lines, font, inner) for place in row] for row in rows]
    columns = max((len(row) for row in rows), default=0)
    step_x = inner + MARGIN_PX
    head = LINE_PX if titles else 0
    framed = cell_height + 2 * FRAME_PX
    heights = [
        head + MARGIN_PX + max(
            (framed * isinstance(place, Cell) + len(text) * LINE_PX
             for place, text in zip(row, own, strict=True)),
            default=0,
        )
        for row, own in zip(rows, texts, strict=True)
    ]  # fmt: skip
    widest = max((round(font.getlength(title)) for title in titles), default=0)
    sheet = Image.new(
        "RGB",
        (max(columns * step_x, widest + MARGIN_PX) + MARGIN_PX, sum(heights) + MARGIN_PX),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    top = MARGIN_PX
    for i, row in enumerate(rows):
        if titles:
            draw.text((MARGIN_PX, top), titles[i], fill=INK, font=font)
        for j, place in enumerate(row):
            left, below = MARGIN_PX + j * step_x, top + head
            if isinstance(place, Cell):
                _draw_cell(sheet, draw, place, left, below, (cell_width, cell_height))
                below += framed + 2
            for number, line in enumerate(texts[i][j]):
                draw.text((left, below + number * LINE_PX), line, fill=MUTED, font=font)
        top += heights[i]
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
) -> None:
    width, height = size
    outer = (left, top, left + width + 2 * FRAME_PX - 1, top + height + 2 * FRAME_PX - 1)
    draw.rectangle(outer, fill="#f2f4f6", outline=FRAME_COLOUR[cell.verdict], width=FRAME_PX)
    picture = load_or_placeholder(
        cell.image, width=width, height=height, deep_range=cell.deep_range
    )
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


def wrapped(lines: Sequence[str], font: Font, width: float) -> list[str]:
    """Lines no wider than that: broken after a space or a sign of a file name, else anywhere."""
    broken = []
    for line in lines:
        rest = line
        while font.getlength(rest) > width and len(rest) > 1:
            fits = next(
                n
                for n in range(len(rest) - 1, 0, -1)
                if font.getlength(rest[:n]) <= width or n == 1
            )
            at = max((n for n in range(1, fits + 1) if rest[n - 1] in " /_-"), default=fits)
            broken.append(rest[:at].rstrip())
            rest = rest[at:].lstrip()
        broken.append(rest)
    return broken


def _needed_px(line: str, font: Font) -> int:
    """The narrowest column in which a line takes no more than `MOST_LINES`."""
    width = math.ceil(font.getlength(line) / MOST_LINES)
    while len(wrapped((line,), font, width)) > MOST_LINES:
        width += 4
    return width
