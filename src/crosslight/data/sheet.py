"""Contact sheets: labelled grids of images, to look at a data set with one's own eyes."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from crosslight.data.images import read_image
from crosslight.errors import ConfigError, DataError
from crosslight.types import DeepRange

_GAP_PX = 4
_MARGIN_PX = 12
_INK = (40, 40, 40)
_PAPER = (255, 255, 255)
_EMPTY = (236, 236, 236)
_BROKEN = (250, 214, 208)
_LONGEST_LABEL_PX = 260


def _font(cell_height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(max(10, min(18, cell_height // 9)))


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, widest: float) -> str:
    if font.getlength(text) <= widest:
        return text
    while text and font.getlength(text + "…") > widest:
        text = text[:-1]
    return text + "…"


def _lines(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, widest: float
) -> list[str]:
    """The words of a title in as many lines as they need; a word that is wider is cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= widest or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_shortened(line, font, widest) for line in lines]


def _thumbnail(
    path: Path | None, height: int, width: int, deep_range: DeepRange | None
) -> Image.Image:
    cell = Image.new("RGB", (width, height), _EMPTY)
    if path is None:
        return cell
    try:
        picture = read_image(path, deep_range=deep_range)
    except DataError:
        cell.paste(_BROKEN, (0, 0, width, height))
        pen = ImageDraw.Draw(cell)
        pen.line((0, 0, width - 1, height - 1), fill=_INK)
        pen.line((0, height - 1, width - 1, 0), fill=_INK)
        return cell
    picture.thumbnail((width, height), Image.Resampling.LANCZOS)
    if picture.height < height and picture.width < width:
        scale = min(height / picture.height, width / picture.width)
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    cell.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return cell


def _check(
    rows: Sequence[Sequence[Path | None]],
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    cell: tuple[int, int],
) -> None:
    height, width = cell
    columns = len(column_titles)
    if not rows or not columns or height < 1 or width < 1:
        raise ConfigError(
            f"a contact sheet of {len(rows)} rows, {columns} columns and cells of {height}x{width} "
            "pixels shows nothing: give at least one of each."
        )
    if len(row_titles) != len(rows) or any(len(row) > columns for row in rows):
        raise ConfigError(
            f"a contact sheet of {len(rows)} rows has {len(row_titles)} row titles and {columns} "
            "column titles: give one title per row and per column."
        )


def contact_sheet(
    rows: Sequence[Sequence[Path | None]],
    row_titles: Sequence[str],
    column_titles: Sequence[str],
    cell: tuple[int, int],
    deep_range: DeepRange | None = None,
) -> Image.Image:
    """Draws images in a labelled grid.

    An image keeps its shape inside its cell. A missing one (`None`, or a short row) leaves a grey
    cell, an unreadable one a crossed red cell.

    Args:
        rows: The image files of each row.
        row_titles: One title per row, written on the left.
        column_titles: One title per column, written on top.
        cell: Height and width of a cell in pixels.
        deep_range: As `read_image` takes it.

    Raises:
        ConfigError: There is nothing to draw, or titles and images do not match.
    """
    _check(rows, row_titles, column_titles, cell)
    height, width = cell
    columns = len(column_titles)
    font = _font(height)
    line = int(font.getbbox("Ag")[3]) + 4
    widest = max(font.getlength(title) for title in row_titles)
    left = _MARGIN_PX + int(min(widest, _LONGEST_LABEL_PX)) + (_MARGIN_PX if widest else 0)
    titles = [_lines(title, font, width) for title in column_titles]
    top = _MARGIN_PX + line * max(map(len, titles))
    sheet = Image.new(
        "RGB",
        (
            left + columns * (width + _GAP_PX) - _GAP_PX + _MARGIN_PX,
            top + len(rows) * (height + _GAP_PX) - _GAP_PX + _MARGIN_PX,
        ),
        _PAPER,
    )
    pen = ImageDraw.Draw(sheet)
    for column, lines in enumerate(titles):
        x = left + column * (width + _GAP_PX)
        for number, label in enumerate(lines):
            place = (x + (width - font.getlength(label)) / 2, _MARGIN_PX + number * line)
            pen.text(place, label, _INK, font)
    for number, (row, title) in enumerate(zip(rows, row_titles, strict=True)):
        y = top + number * (height + _GAP_PX)
        label = _shortened(title, font, _LONGEST_LABEL_PX)
        pen.text((_MARGIN_PX, y + (height - line) / 2), label, _INK, font)
        for column in range(columns):
            path = row[column] if column < len(row) else None
            x = left + column * (width + _GAP_PX)
            sheet.paste(_thumbnail(path, height, width, deep_range), (x, y))
    return sheet
