import numpy as np
import pytest

from crosslight.drawing.beside_truth import draw_beside_truth
from crosslight.probing.people import Images
from crosslight.report.grid import FRAME_PX, MARGIN_PX

HEIGHT, WIDTH = 128, 64
COLUMN = WIDTH + 2 * FRAME_PX + MARGIN_PX


def _plain(*reds: int) -> Images:
    """Pictures of one colour each."""
    pictures = np.zeros((len(reds), HEIGHT, WIDTH, 3), np.uint8)
    pictures[..., 0] = np.array(reds)[:, None, None]
    pictures[..., 2] = 200
    return pictures


def test_sources_and_what_was_made_of_them_stand_side_by_side() -> None:
    sheet = draw_beside_truth(
        {"looks": (_plain(10, 20), ["a", "b"]), "bodies": (_plain(30, 40), ["c", "d"])},
        {"drawn": _plain(50, 60), "truth": _plain(70, 80)},
    )
    pixels = np.asarray(sheet)
    columns = []
    for column in range(4):
        down = pixels[:, MARGIN_PX + column * COLUMN + FRAME_PX + 4]
        reds = down[(down[:, 1] == 0) & (down[:, 2] == 200), 0]
        assert len(reds) == 2 * HEIGHT
        columns.append(list(dict.fromkeys(reds.tolist())))
    assert columns == [[10, 20], [30, 40], [50, 60], [70, 80]]


def test_sources_have_their_lines_below_them() -> None:
    def sheet(line: str) -> bytes:
        return draw_beside_truth({"looks": (_plain(10), [line])}, {"drawn": _plain(50)}).tobytes()

    assert sheet("person 1") != sheet("person 2")


def test_columns_of_different_length_are_refused() -> None:
    for lines, made in ((["a"], _plain(50, 60)), (["a", "b"], _plain(50))):
        with pytest.raises(ValueError, match="shorter"):
            draw_beside_truth({"looks": (_plain(10, 20), lines)}, {"drawn": made})
