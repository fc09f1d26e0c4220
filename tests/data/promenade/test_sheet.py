from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosslight.data.sheet import contact_sheet
from crosslight.errors import ConfigError


def test_sheet_places_images_and_marks_gaps(tmp_path: Path) -> None:
    red, broken = tmp_path / "red.png", tmp_path / "broken.jpg"
    Image.new("RGB", (20, 40), (255, 0, 0)).save(red)
    broken.write_bytes(b"\xff\xd8 no image")
    sheet = np.asarray(
        contact_sheet([[red, None], [broken]], ["first", "second"], ["left", "right"], (40, 20))
    )
    pure = (sheet == (255, 0, 0)).all(-1)
    assert pure.sum() == 20 * 40
    rows, columns = np.nonzero(pure)
    assert (sheet[rows.max() + 8, columns.min() + 10] != (255, 0, 0)).any()
    empty = (sheet == (236, 236, 236)).all(-1)
    assert empty[rows.min() : rows.max() + 1].sum() == 20 * 40
    assert empty.sum() >= 2 * 20 * 40
    crossed = (sheet == (250, 214, 208)).all(-1)
    assert 0 < crossed.sum() < 20 * 40
    titles = sheet[: rows.min(), columns.min() :]
    assert (titles < 128).any()
    assert (sheet[:, : columns.min()] < 128).any()


def test_wide_images_keep_their_shape(tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("RGB", (400, 100), (0, 0, 255)).save(wide)
    sheet = np.asarray(contact_sheet([[wide]], [""], ["a title that is much too long"], (80, 40)))
    rows, columns = np.nonzero((sheet == (0, 0, 255)).all(-1))
    assert np.ptp(columns) + 1 == 40
    assert np.ptp(rows) + 1 == 10


def test_a_title_wider_than_its_column_goes_on_in_a_second_line(tmp_path: Path) -> None:
    short, long, split = (
        np.asarray(contact_sheet([[None, None]], [""], ["cam 3", title], (180, 90)))
        for title in ("visible", "cam 3 infrared", "infrared")
    )
    assert len(long) > len(short)
    inked = (long[:, 90 + 12 + 4 :] < 128).all(-1)
    above = np.nonzero(inked.any(1))[0]
    second = long[len(long) - len(split) :]  # whose last line stands where the only one does
    assert ((second < 128) == (split < 128))[12:, 90 + 12 + 4 :].all()
    assert above.min() < len(long) - len(split) + 12


def test_titles_must_match(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one title per row"):
        contact_sheet([[None]], [], ["a"], (10, 10))
    with pytest.raises(ConfigError, match="one title per row"):
        contact_sheet([[None, None]], ["a"], ["a"], (10, 10))
    with pytest.raises(ConfigError, match="shows nothing"):
        contact_sheet([], [], ["a"], (10, 10))
