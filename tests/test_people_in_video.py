"""The benchmark of finding people: its table, and its scores on a film whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.people_in_video import EVERYONE, Between, read_everyone, score
from PIL import Image

from crosslight.gallery.search import Embedder
from crosslight.gallery.video.boxes import Box
from tests.gallery.rows import MODEL

av = pytest.importorskip("av", reason="say: pip install av")

ALIKE = Embedder(
    fingerprint=MODEL, method="none", run=".", distance="cosine", height=64, width=32,
    embed=lambda images, _: np.ones((len(images), 1), np.float32),
)  # fmt: skip
TABLE = """frame,left,top,right,bottom,pid,hidden
0,10,20,40,100,1,0
0,200,20,230,100,2,0
10,60,20,90,100,1,0
10,200,20,230,100,2,1
20,110,20,140,100,1,0
20,200,20,230,100,2,0
"""


@pytest.fixture
def film(tmp_path: Path) -> tuple[Path, Path]:
    video, everyone = tmp_path / "walk.mp4", tmp_path / "everyone.csv"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        for _ in range(25):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (320, 160)))))
        container.mux(stream.encode())
    everyone.write_text(TABLE)
    return video, everyone


class Told:
    """A detector that misses person 1 on frame 10, and their track; and sees one too many."""

    def __init__(self, truth: Between) -> None:
        self._truth = truth

    def find(self, number: int, image: Image.Image) -> list[Box]:
        first, second = self._truth.find(number, image)
        extra = Box(left=260, top=20, right=290, bottom=100)
        if number == 0:
            return [first, second, extra]
        return [second] if number < 11 else [Box(left=5, top=100, right=35, bottom=150), second]


def test_the_tables_own_boxes_are_found_and_lie_between_labelled_frames(film):
    video, path = film
    everyone = read_everyone(path)
    first, _ = Between(everyone).find(5, Image.new("RGB", (320, 160)))
    assert (first.left, first.right) == (35, 65)
    found = score(video, everyone, Between(everyone), ALIKE, 0)
    assert (found.people, found.found, found.false, found.frames) == (5, 5, 0, 3)
    assert (found.switches, found.tracks, found.seconds) == (0, 2, pytest.approx(2.0))


def test_what_is_missed_and_what_is_false_is_counted(film):
    video, path = film
    everyone = read_everyone(path)
    found = score(video, everyone, Told(Between(everyone)), ALIKE, 0)
    # The hidden one is neither: their box is not false, and they are not missed.
    assert (found.people, found.found, found.false) == (5, 3, 2)
    assert "60.0 % (3 of 5)" in found.cells()


def test_a_person_with_another_track_has_switched(film):
    video, path = film
    everyone = read_everyone(path)
    apart = {n: [people[0]] if n < 20 else [people[1]] for n, people in everyone.items()}
    one = {
        n: [type(p)(pid=1, box=p.box, hidden=False) for p in people] for n, people in apart.items()
    }

    class Jumping:
        def find(self, number: int, _: Image.Image) -> list[Box]:
            return [one[number][0].box] if number in one else []

    unlike = Embedder(
        fingerprint=MODEL, method="none", run=".", distance="cosine", height=64, width=32,
        embed=lambda *_: np.eye(3, dtype=np.float32)[[next(turn)]],
    )  # fmt: skip
    turn = iter([0, 0, 1])
    found = score(video, one, Jumping(), unlike, 0)
    assert (found.found, found.switches, found.tracks) == (3, 1, 2)


def test_the_table_of_the_real_video_keeps_its_promises():
    everyone = read_everyone(EVERYONE)
    people = [person for frame in everyone.values() for person in frame]
    assert list(everyone) == list(range(0, 436, 15))
    assert len(people) == 182
    assert sum(person.hidden for person in people) == 14
    assert {person.pid for person in people} == set(range(1, 12)) - {7}
    for frame in everyone.values():
        assert len({person.pid for person in frame}) == len(frame)
    for person in people:
        assert person.box == person.box.inside(768, 576)
        assert person.box.area > 0
