"""How well people in a real street video are found and followed: 30 frames of `vtest_everyone.csv`.

    apt-get download opencv-doc && dpkg -x opencv-doc_*.deb opencv-doc
    python -m benchmarks.people_in_video opencv-doc/usr/share/doc/opencv-doc/examples/data/vtest.avi

The table names everybody on every 15th of the first 436 frames. `recall` is the share of those of
whom at least half can be seen whose box a found one overlaps by half or more; a found box that
overlaps nobody's so, hidden or not, is false. A person who has another track than when they were
last found has switched. Beside the detector stand the boxes of the table itself, drawn straight
from one labelled frame to the next, as `--boxes` would bring them: what following alone gets wrong.

The last table says how many frames a core searches in a second of its time.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarks.real_video import check_digest
from PIL import Image
from scipy.optimize import linear_sum_assignment

from crosslight.data.columns import read_cells, whole
from crosslight.errors import CrosslightError
from crosslight.experiments.embedder import load_embedder
from crosslight.gallery.search import Embedder
from crosslight.gallery.video.boxes import COLUMNS, Box, Detector
from crosslight.gallery.video.detectors import load_detector
from crosslight.gallery.video.frames import frames_of
from crosslight.gallery.video.video import Follower, Passing, Watched
from crosslight.report.tables import table
from crosslight.shipped import NANODET, PROMENADE

EVERYONE = Path(__file__).with_name("vtest_everyone.csv")
SIZES = ((416, 416), (768, 576), (1280, 720), (1920, 1080))
_OVERLAP = 0.5
_REPEATS = 7


@dataclass(frozen=True, kw_only=True)
class Person:
    """One of a table, on one frame.

    Attributes:
        pid: Who.
        box: Where.
        hidden: Whether half of them or more cannot be seen.
    """

    pid: int
    box: Box
    hidden: bool


@dataclass(frozen=True, kw_only=True)
class Score:
    """What was found.

    Attributes:
        people: Those who are not hidden, on all frames.
        found: Of them.
        false: Boxes without a person.
        frames: Labelled ones that were looked at.
        switches: Of tracks.
        tracks: Of the people who were found.
        seconds: From the first to the last labelled frame.
    """

    people: int
    found: int
    false: int
    frames: int
    switches: int
    tracks: int
    seconds: float

    def cells(self) -> list[str]:
        """Of a table in Markdown."""
        return [
            f"{100 * self.found / self.people:.1f} % ({self.found} of {self.people})",
            f"{self.false / self.frames:.2f} ({self.false} on {self.frames})",
            f"{60 * self.switches / self.seconds:.1f} ({self.switches})",
            str(self.tracks),
        ]


HEADER = ["recall", "false boxes a frame", "switches a minute", "tracks"]


def read_everyone(path: Path) -> dict[int, list[Person]]:
    """The people of each labelled frame."""
    names = (*COLUMNS, "pid", "hidden")
    cells = read_cells(path, names)
    cells.require_columns(names, ",".join(names))
    everyone: dict[int, list[Person]] = {}
    columns = [cells.read(name, whole) for name in names]
    for frame, left, top, right, bottom, pid, hidden in zip(*columns, strict=True):
        box = Box(left=left, top=top, right=right, bottom=bottom)
        everyone.setdefault(frame, []).append(Person(pid=pid, box=box, hidden=bool(hidden)))
    return everyone


class Between:
    """A detector that knows the table: on frames between two labelled ones, boxes lie between."""

    def __init__(self, everyone: dict[int, list[Person]]) -> None:
        self._everyone = everyone

    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The people of the table."""
        before = max((n for n in self._everyone if n <= number), default=None)
        after = min((n for n in self._everyone if n >= number), default=None)
        if before is None or after is None:
            return []
        share = (number - before) / (after - before) if after > before else 0.0
        ends = {person.pid: person.box for person in self._everyone[after]}
        return [
            _between(person.box, ends[person.pid], share)
            for person in self._everyone[before]
            if person.pid in ends
        ]


def _between(a: Box, b: Box, share: float) -> Box:
    sides = (
        (1 - share) * getattr(a, side) + share * getattr(b, side)
        for side in ("left", "top", "right", "bottom")
    )
    left, top, right, bottom = sides
    return Box(left=left, top=top, right=right, bottom=bottom)


class _Nowhere:
    """Nothing is enrolled, so rows need no names."""

    def id_of(self, crop: object) -> str:  # noqa: ARG002
        return ""

    path_of = track_of = id_of


def score(
    video: Path,
    everyone: dict[int, list[Person]],
    detector: Detector,
    embedder: Embedder,
    every_s: float,
) -> Score:
    """Finds and follows people as `gallery add` does, and compares with the table."""
    follower = Follower(detector, embedder, _Nowhere(), Passing(), crops=1, watched=Watched())
    people = found = false = frames = switches = 0
    last: dict[int, int] = {}
    tracks: set[int] = set()
    times = []
    for frame in frames_of(video, every_s=every_s):
        if frame.number > max(everyone):
            break
        follower.look(frame)
        if frame.number not in everyone:
            continue
        frames += 1
        times.append(frame.time)
        here = everyone[frame.number]
        pairs = _pairs(here, [box for box, _ in follower.seen])
        people += sum(not person.hidden for person in here)
        found += sum(not here[row].hidden for row, _ in pairs)
        false += len(follower.seen) - len(pairs)
        for row, column in pairs:
            pid, track = here[row].pid, follower.seen[column][1]
            switches += last.get(pid, track) != track
            last[pid] = track
            tracks.add(track)
    return Score(
        people=people,
        found=found,
        false=false,
        frames=frames,
        switches=switches,
        tracks=len(tracks),
        seconds=times[-1] - times[0],
    )


def _pairs(people: list[Person], boxes: list[Box]) -> list[tuple[int, int]]:
    """Whose box overlaps which found one, so that as many as can be are found."""
    overlap = np.array([[p.box.overlap(box) for box in boxes] for p in people])
    if not boxes:
        return []
    rows, columns = linear_sum_assignment(-np.where(overlap >= _OVERLAP, 1 + overlap, 0))
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column) for row, column in chosen if overlap[row, column] >= _OVERLAP]


def rates(detector: Detector, picture: Image.Image) -> list[list[str]]:
    """Frames that a core searches in a second of its time: median and best."""
    rows = []
    for size in SIZES:
        resized = picture.resize(size, Image.Resampling.BILINEAR)
        detector.find(0, resized)
        spent = []
        for _ in range(_REPEATS):
            begun = time.process_time()
            detector.find(0, resized)
            spent.append(time.process_time() - begun)
        rows.append(
            [f"{size[0]} x {size[1]}", f"{1 / np.median(spent):.1f}", f"{1 / min(spent):.1f}"]
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path, help="vtest.avi")
    parser.add_argument("--everyone", type=Path, default=EVERYONE, help="of another video")
    parser.add_argument("--detector", default=NANODET)
    parser.add_argument("--threshold", type=float, nargs="+", default=[0.5])
    parser.add_argument("--every", type=float, default=0.1, help="seconds between frames")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        if arguments.everyone == EVERYONE and arguments.video.is_file():
            check_digest(arguments.video)
        everyone = read_everyone(arguments.everyone)
        embedder = load_embedder(Path(PROMENADE))
        sources: dict[str, Detector] = {
            f"{arguments.detector} at {threshold:g}": load_detector(arguments.detector, threshold)
            for threshold in arguments.threshold
        }
        sources["the table's own boxes"] = Between(everyone)
        rows = [
            [name, *score(arguments.video, everyone, source, embedder, arguments.every).cells()]
            for name, source in sources.items()
        ]
        print("\n".join(table(["", *HEADER], rows)))
        picture = next(frames_of(arguments.video, every_s=0)).image
        print()
        detector = load_detector(arguments.detector, 0.5)
        head = ["frame", "frames/s a core, median", "best"]
        print("\n".join(table(head, rates(detector, picture))))
    except CrosslightError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
