from pathlib import Path

import pytest
from PIL import Image, ImageColor

from crosslight.report.grid import (
    FRAME_COLOUR,
    FRAME_PX,
    MARGIN_PX,
    Cell,
    Verdict,
    image_grid,
    load_or_placeholder,
)

BLUE = Image.new("RGB", (64, 128), "#0000ff")
STEP = 64 + 2 * FRAME_PX + MARGIN_PX


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_frame_has_the_colour_of_the_verdict(verdict: Verdict) -> None:
    sheet = image_grid([[Cell(image=BLUE, verdict=verdict)]])
    frame = ImageColor.getrgb(FRAME_COLOUR[verdict])
    assert sheet.getpixel((MARGIN_PX + 30, MARGIN_PX)) == frame
    assert sheet.getpixel((MARGIN_PX, MARGIN_PX + 60)) == frame
    assert sheet.getpixel((MARGIN_PX + 30, MARGIN_PX + 60)) == (0, 0, 255)


def test_right_and_wrong_differ_without_colour() -> None:
    def mark(verdict: Verdict) -> bytes:
        sheet = image_grid([[Cell(image=BLUE, verdict=verdict)]])
        corner = sheet.crop((STEP - 16, MARGIN_PX, STEP, MARGIN_PX + 16))
        return corner.convert("L").point(lambda v: 255 * (v > 250)).tobytes()

    assert mark(Verdict.RIGHT) != mark(Verdict.WRONG)
    assert any(mark(Verdict.RIGHT))
    assert not any(mark(Verdict.QUERY))


def test_rows_of_different_length_titles_and_long_lines_fit() -> None:
    lines = ("cam 1", "a line much longer than the picture is wide")
    rows = [[Cell(image=BLUE, lines=lines)] * 3, [Cell(image=None)]]
    sheet = image_grid(rows, titles=["first", "second"])
    assert sheet.width == 3 * STEP + MARGIN_PX
    assert sheet.mode == "RGB"


def test_pictures_keep_their_shape() -> None:
    wide = Image.new("RGB", (100, 50), "#00ff00")
    sheet = image_grid([[Cell(image=wide)]])
    middle = MARGIN_PX + FRAME_PX + 64
    assert sheet.getpixel((MARGIN_PX + 32, middle)) == (0, 255, 0)
    assert sheet.getpixel((MARGIN_PX + 32, middle - 20)) != (0, 255, 0)


def test_a_broken_file_gives_a_placeholder_of_the_asked_size(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff")
    for missing in (None, broken, tmp_path / "absent.png"):
        assert load_or_placeholder(missing, width=30, height=60).size == (30, 60)


def test_an_empty_grid_is_still_a_picture() -> None:
    assert image_grid([]).size == (2 * MARGIN_PX, MARGIN_PX)
