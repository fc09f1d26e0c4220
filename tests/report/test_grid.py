from pathlib import Path

import pytest
from PIL import Image, ImageColor, ImageFont

from crosslight.report.grid import (
    FRAME_COLOUR,
    FRAME_PX,
    LINE_PX,
    MARGIN_PX,
    MOST_LINES,
    TEXT_PX,
    Cell,
    Heading,
    Verdict,
    image_grid,
    load_or_placeholder,
    wrapped,
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


def test_rows_of_different_length_and_titles_fit() -> None:
    rows = [[Cell(image=BLUE, lines=("cam 1", "0.123"))] * 3, [Cell(image=None)]]
    sheet = image_grid(rows, titles=["first", "second"])
    assert sheet.width == 3 * STEP + MARGIN_PX
    assert sheet.mode == "RGB"


@pytest.mark.parametrize(
    "name",
    ["0002_c1s1_000451_03", "bounding_box_test/0002_c1s1_000451_03", "x" * 60, "", "two words",
     "2024-03-01_a-very-long-name_of_a_camera_on_the_east_side"],
)  # fmt: skip
def test_no_name_is_cut(name: str) -> None:
    font = ImageFont.load_default(TEXT_PX)
    for width in (20, 70, 200):
        lines = wrapped((name,), font, width)
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")
        assert all(font.getlength(line) <= width for line in lines)
    short, long = (image_grid([[Cell(image=BLUE, lines=(n,))]]) for n in ("a", name))
    assert long.height - short.height <= (MOST_LINES - 1) * LINE_PX


def test_a_heading_has_words_and_no_frame() -> None:
    sheet = image_grid([[Heading(lines=("whose body",)), Cell(image=BLUE)]])
    place = sheet.crop((0, 0, MARGIN_PX + STEP - MARGIN_PX, sheet.height))
    assert place.getpixel((MARGIN_PX, MARGIN_PX + 100)) == (255, 255, 255)
    assert place.getbbox() is not None
    colours = {colour for _, colour in place.getcolors(10**6)}
    assert len(colours) > 2
    below = place.crop((0, MARGIN_PX + LINE_PX + 2, place.width, place.height))
    assert below.getcolors() == [(below.width * below.height, (255, 255, 255))]


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
