"""People in a video as candidates for enrolment: detected, followed, the best crops of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.errors import ConfigError
from crosslight.files import printable
from crosslight.gallery.candidates import Candidate, id_of
from crosslight.gallery.legibility import SMALLEST_PX
from crosslight.gallery.options import Watching
from crosslight.gallery.search import Embedder
from crosslight.gallery.video.boxes import Box, Detector
from crosslight.gallery.video.frames import Decoded, Frame, beginning_of, frames_of
from crosslight.gallery.video.tracking import Track, Tracker
from crosslight.types import UNKNOWN_CAM


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """A person cut out of a frame.

    Attributes:
        frame: Number of the frame.
        time: Seconds since the first frame, or since 1970.
        box: Where.
        image: RGB.
        modality: `Modality` of the frame.
        quality: Larger for crops that show more.
    """

    frame: int
    time: float
    box: Box
    image: Image.Image
    modality: int
    quality: float


@dataclass(kw_only=True)
class Watched:
    """What was seen in a video, for whoever reports it.

    Attributes:
        decoded: Which of its frames could be decoded.
        frames: Frames that were looked at.
        width: Of the upright pictures, px.
        height: Of the upright pictures, px.
        boxes: People found in them.
        small: Those of the boxes that show too little inside the picture to tell who it is.
    """

    decoded: Decoded = field(default_factory=Decoded)
    frames: int = 0
    width: int = 0
    height: int = 0
    boxes: int = 0
    small: int = 0


def candidates_in_video(
    path: Path,
    detector: Detector,
    embedder: Embedder,
    *,
    every_s: float = Watching.every,
    start_s: float | None = None,
    crops: int = Watching.crops,
    modality: int | None = None,
    cam: int | str = UNKNOWN_CAM,
    pid: int | str | None = None,
    advance: Callable[[int], None] = lambda _: None,
    watched: Watched | None = None,
) -> Iterator[Candidate]:
    """The best crops of every person who passes, as soon as they have left.

    The same video with the same boxes gives the same ids, so that enrolling it again skips what
    is there. Another one that was written under its path gives others. Where a person is stated,
    all wait for the end of the video.

    Args:
        path: The video.
        detector: Finds people.
        embedder: Its embeddings help to follow them.
        every_s: Seconds between the frames that are looked at.
        start_s: Time of the first frame; None: rows get seconds since the first frame.
        crops: Best crops of each person that are kept.
        modality: `Modality` of the video; None: guessed for each frame.
        cam: Camera.
        pid: Person, where all crops show the same one.
        advance: Told about every frame.
        watched: Told what was seen and what was left out.

    Raises:
        ConfigError: A person is stated, and two people are on one frame; nobody was given then.
        DataError: Not a video, or nothing in it can be decoded.
    """
    watched = Watched() if watched is None else watched
    origin = _Origin(path, every_s)
    labels = Passing(start_s=start_s, modality=modality, cam=cam, pid=pid)
    follower = Follower(detector, embedder, origin, labels, crops=crops, watched=watched)
    waiting: list[Candidate] = []
    for frame in frames_of(path, every_s=every_s, decoded=watched.decoded):
        left = follower.look(frame)
        if pid is None:
            yield from left
        else:
            waiting += left
        advance(1)
    yield from [*waiting, *follower.finish()]


@dataclass(frozen=True, kw_only=True)
class Passing:
    """What is stated of everybody in a video.

    Attributes:
        start_s: Time of the first frame; None: rows get seconds since the first frame.
        modality: `Modality` of the video; None: guessed for each frame.
        cam: Camera.
        pid: Person, where all crops show the same one.
    """

    start_s: float | None = None
    modality: int | None = None
    cam: int | str = UNKNOWN_CAM
    pid: int | str | None = None


class Origin(Protocol):
    """Where frames come from, as rows name it."""

    def id_of(self, crop: Crop) -> str:
        """Of a row; the same crop of the same origin has the same id in every run."""
        ...

    def path_of(self, crop: Crop) -> str:
        """What a person is shown."""
        ...

    def track_of(self, number: int) -> str:
        """Name of a track."""
        ...


class _Origin:
    """A file at one pace.

    Recorders give many files one name, one path to the recordings of many days, and at another
    pace the first who passes may be another.
    """

    def __init__(self, path: Path, every_s: float) -> None:
        self._place, self._beginning = path.resolve(), beginning_of(path)
        digest = id_of(self._place, self._beginning, every_s)
        self._tracks = f"{printable(path.stem)}-{digest[:6]}"

    def id_of(self, crop: Crop) -> str:
        return id_of(self._place, self._beginning, crop.frame, crop.box)

    def path_of(self, crop: Crop) -> str:
        # Whose paths are the same were seen in one frame.
        return f"{printable(self._place)}#t={crop.time:.2f}&of={self._beginning[:6]}"

    def track_of(self, number: int) -> str:
        return f"{self._tracks}-{number}"


class Follower:
    """Looks at one frame after the other and keeps the best crops of everybody in view.

    Args:
        detector: Finds people.
        embedder: Its embeddings help to follow them.
        origin: Names rows.
        passing: What is stated of everybody.
        crops: Best crops of each person that are kept.
        watched: Told what was seen and what was left out.
        longest_s: Who stays longer is handed over and kept anew; None: only who has left.

    Attributes:
        seen: Box and number of the track of everybody on the last frame.
    """

    def __init__(
        self,
        detector: Detector,
        embedder: Embedder,
        origin: Origin,
        passing: Passing,
        *,
        crops: int,
        watched: Watched,
        longest_s: float | None = None,
    ) -> None:
        self._detector, self._embedder = detector, embedder
        self._origin, self._passing = origin, passing
        self._crops, self._watched = crops, watched
        self._longest = math.inf if longest_s is None else longest_s
        self._tracker = Tracker()
        self._kept: dict[int, list[Crop]] = {}
        self._since: dict[int, float] = {}
        self._beside: dict[int, set[int]] = {}
        self.seen: list[tuple[Box, int]] = []

    def look(self, frame: Frame) -> list[Candidate]:
        """Those who have left since the frame before; all, where time stamps began anew.

        Raises:
            ConfigError: A person is stated, and two people are on the frame.
        """
        left = self.finish() if frame.anew else []
        cut = _crops(frame, self._detector, self._passing.modality, self._watched)
        if cut:
            vectors = self._embedder.embed([c.image for c in cut], [c.modality for c in cut])
        else:
            vectors = np.zeros((0, 1), np.float32)
        tracks, ended = self._tracker.update(frame.time, [crop.box for crop in cut], vectors)
        self.seen = [(crop.box, track.number) for track, crop in zip(tracks, cut, strict=True)]
        together = {track.number for track in tracks}
        if len(together) > 1 and self._passing.pid is not None:
            raise ConfigError(_not_one(self._passing.pid, len(together), frame))
        for track, crop in zip(tracks, cut, strict=True):
            self._beside.setdefault(track.number, set()).update(together - {track.number})
            kept = self._kept.get(track.number, [])
            self._kept[track.number] = _best([*kept, crop], self._crops)
            if frame.time - self._since.setdefault(track.number, frame.time) >= self._longest:
                ended.append(track)
        return left + [candidate for track in ended for candidate in self._candidates(track)]

    def finish(self) -> list[Candidate]:
        """Those who are still there."""
        left = self._tracker.finish()
        return [candidate for track in left for candidate in self._candidates(track)]

    def _candidates(self, track: Track) -> list[Candidate]:
        stated = self._passing
        guesses = {"modality": stated.modality, "time": stated.start_s}
        self._since.pop(track.number, None)
        beside = frozenset(map(self._origin.track_of, self._beside.pop(track.number, ())))
        crops = sorted(self._kept.pop(track.number, []), key=lambda crop: crop.frame)
        return [
            Candidate(
                id=self._origin.id_of(crop),
                image=crop.image,
                path=self._origin.path_of(crop),
                pid=stated.pid,
                cam=stated.cam,
                modality=crop.modality,
                time=(stated.start_s or 0.0) + crop.time,
                track=self._origin.track_of(track.number),
                beside=beside,
                assumed=frozenset(name for name, known in guesses.items() if known is None),
            )
            for crop in crops
        ]


def _not_one(pid: int | str, people: int, frame: Frame) -> str:
    whom = f"person {pid}" if isinstance(pid, int) else pid
    return (
        f"{people} people are on the frame at {frame.time:.2f} s, number {frame.number}, and not "
        f"all of them are {whom}; add the video without --person, and say who is {whom} with "
        "crosslight gallery label --track."
    )


def _crops(frame: Frame, detector: Detector, modality: int | None, watched: Watched) -> list[Crop]:
    watched.frames += 1
    watched.width, watched.height = frame.image.size
    light = guess_modality(frame.image) if modality is None else modality
    found = []
    for given in detector.find(frame.number, frame.image):
        watched.boxes += 1
        box = given.inside(frame.image.width, frame.image.height)
        if box.right - box.left < SMALLEST_PX[0] or box.bottom - box.top < SMALLEST_PX[1]:
            watched.small += 1
            continue
        image = frame.image.crop((int(box.left), int(box.top), int(box.right), int(box.bottom)))
        # A box that was cut by the edge of the picture shows less of the person.
        whole = box.area / max(given.area, 1.0)
        quality = box.score * whole * box.area**0.5
        found.append(
            Crop(
                frame=frame.number,
                time=frame.time if frame.seen_at is None else frame.seen_at,
                box=box,
                image=image,
                modality=light,
                quality=quality,
            )
        )
    return found


def _best(crops: list[Crop], count: int) -> list[Crop]:
    """The crops of highest quality; of equal ones the earliest."""
    return sorted(crops, key=lambda crop: (-crop.quality, crop.frame))[:count]
