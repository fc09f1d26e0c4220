"""The detector that ships: what it is shown of a picture, and what is made of its answers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crosslight.gallery.video.boxes import ONE_PERSON, Box, most_likely
from crosslight.gallery.video.detectors import load_detector
from crosslight.gallery.video.nanodet_detector import (
    SHARED_PX,
    SHRUNK_AT_MOST,
    SIDE_PX,
    NanoDetDetector,
    decode,
    views_of,
)
from crosslight.nn.nanodet import BINS, STRIDES


@pytest.fixture(scope="module")
def detector() -> NanoDetDetector:
    found = load_detector("nanodet", 0.5)
    assert isinstance(found, NanoDetDetector)
    return found


def scene(size, people) -> tuple[Image.Image, list[Box]]:
    """People pasted on gray, and where they are."""
    picture = Image.new("RGB", size, (120, 120, 120))
    boxes = []
    for person, (left, top) in people:
        picture.paste(person, (left, top))
        right, bottom = left + person.width, top + person.height
        boxes.append(Box(left=left, top=top, right=right, bottom=bottom))
    return picture, boxes


def found_once(detector, picture, boxes) -> None:
    found = detector.find(0, picture)
    assert len(found) == len(boxes)
    for box in boxes:
        assert any(shows(other, box) for other in found)


def shows(found: Box, pasted: Box) -> bool:
    """People are drawn with some background around them, more of it at their sides."""
    width, height = pasted.right - pasted.left, pasted.bottom - pasted.top
    return (
        abs(found.left + found.right - pasted.left - pasted.right) / 2 < 0.25 * width
        and abs(found.top - pasted.top) < 0.2 * height
        and abs(found.bottom - pasted.bottom) < 0.2 * height
    )


@pytest.mark.parametrize("size", [(416, 416), (416, 230), (300, 800), (830, 520)])
def test_people_are_found_where_they_are_whatever_the_shape_of_the_picture(
    detector, drawn_people, size
):
    places = [(10, 20), (size[0] - 130, size[1] - 200)]
    found_once(detector, *scene(size, list(zip(drawn_people, places, strict=True))))


def test_a_picture_without_people_has_none(detector):
    assert detector.find(0, Image.new("RGB", (640, 480), (90, 120, 60))) == []


def test_small_people_in_a_large_picture_are_found_once_wherever_tiles_meet(
    detector, drawn_people, monkeypatch
):
    """Shrunk into one view, they would be 21 pixels high."""
    person = drawn_people[1].resize((50, 100), Image.Resampling.LANCZOS)
    lost = 0
    for left in range(540, 800, 80):
        picture, boxes = scene((2000, 1100), [(person, (left, 480))])
        found_once(detector, picture, boxes)
        with monkeypatch.context() as patch:
            patch.setattr(
                "crosslight.gallery.video.nanodet_detector.views_of",
                lambda w, h: views_of(w, h)[:1],
            )
            lost += not detector.find(0, picture)
    assert lost > 0


@pytest.mark.parametrize("top", [380, 520, 550])
def test_a_person_whom_one_tile_cuts_is_found_once_by_its_neighbour(detector, drawn_people, top):
    found_once(detector, *scene((3000, 1100), [(drawn_people[0], (300, top))]))


def test_a_person_larger_than_a_tile_is_found_once(detector, drawn_people):
    person = drawn_people[0].resize((500, 1000), Image.Resampling.LANCZOS)
    found_once(detector, *scene((2000, 1100), [(person, (700, 50))]))


@given(width=st.integers(1, 5000), height=st.integers(1, 5000))
def test_tiles_show_all_of_a_picture_shrunk_no_further_than_said(width, height):
    (whole,), *rest = views_of(width, height)
    assert (whole.left, whole.top, whole.right, whole.bottom) == (0, 0, width, height)
    longest = SIDE_PX * SHRUNK_AT_MOST
    assert bool(rest) == (max(width, height) > longest)
    for tiles in rest:
        assert len({(t.right - t.left, t.bottom - t.top) for t in tiles}) == 1
        for low, high, length in (("left", "right", width), ("top", "bottom", height)):
            parts = sorted({(getattr(t, low), getattr(t, high)) for t in tiles})
            assert parts[0][0] == 0
            assert parts[-1][1] == length
            assert all(end - begin <= longest for begin, end in parts)
            for (_, end), (begin, _) in pairwise(parts):
                assert end - begin >= SHARED_PX - 1


def test_boxes_are_read_from_the_grids_cell_by_cell():
    generator = torch.Generator().manual_seed(3)
    grids = [
        torch.randn(2, 1 + 4 * BINS, 64 // stride, 96 // stride, generator=generator)
        for stride in STRIDES
    ]
    expected = []
    for stride, grid in zip(STRIDES, grids, strict=True):
        for picture in range(2):
            for row in range(64 // stride):
                for column in range(96 // stride):
                    cell = grid[picture, :, row, column].double().numpy()
                    score = 1 / (1 + np.exp(-cell[0]))
                    if score < 0.6:
                        continue
                    sides = []
                    for side in range(4):
                        shares = np.exp(cell[1 + side * BINS : 1 + (side + 1) * BINS])
                        mean = sum(n * share for n, share in enumerate(shares)) / shares.sum()
                        sides.append(stride * mean)
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    box = (x - sides[0], y - sides[1], x + sides[2], y + sides[3])
                    expected.append((picture, *box, score))
    boxes, scores, pictures = decode(grids, 0.6)
    found = np.column_stack([pictures, boxes, scores])
    assert len(found) > 20
    order = np.lexsort(found.T)
    np.testing.assert_allclose(
        found[order], np.array(expected)[np.lexsort(np.array(expected).T)], atol=1e-4
    )


def test_of_boxes_of_one_person_the_surest_stays():
    rng = np.random.default_rng(4)
    corner = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 40, (80, 2))], axis=1)
    scores = rng.integers(1, 20, 80) / 20
    kept = []
    as_box = [Box(left=a, top=b, right=c, bottom=d) for a, b, c, d in boxes.tolist()]
    for place in sorted(range(80), key=lambda n: -scores[n]):
        if all(as_box[place].overlap(as_box[other]) <= ONE_PERSON for other in kept):
            kept.append(place)
    assert 5 < len(kept) < 80
    assert most_likely(boxes, scores).tolist() == kept
    assert most_likely(np.zeros((0, 4)), np.zeros(0)).tolist() == []
