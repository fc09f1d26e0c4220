"""People in a video as candidates for enrolment: detected, followed, the best crops of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.files import printable
from crosslight.gallery.boxes import Box, Detector
from crosslight.gallery.enrolment import Candidate, id_of
from crosslight.gallery.frames import Decoded, Frame, frames_of
from crosslight.gallery.options import Watching
from crosslight.gallery.search import Embedder
from crosslight.gallery.tracking import Track, Tracker
from crosslight.types import UNKNOWN_CAM

SMALLEST_PX = (12, 24)
"""Width and height below which a box is too small to tell who it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Crop:
    """A person cut out of a frame.

    Attributes:
        frame: Number of the frame.
        time: Seconds since the first frame.
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
    cam: int = UNKNOWN_CAM,
    pid: int | None = None,
    advance: Callable[[int], None] = lambda _: None,
    watched: Watched | None = None,
) -> Iterator[Candidate]:
    """The best crops of every person who passes, as soon as they have left.

    The same video with the same boxes gives the same ids, so that enrolling it again skips what
    is there.

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
        DataError: Not a video, or nothing in it can be decoded.
    """
    tracker = Tracker()
    watched = Watched() if watched is None else watched
    kept: dict[int, list[Crop]] = {}
    passing = _Passing(path=path, start_s=start_s, modality=modality, cam=cam, pid=pid)
    for frame in frames_of(path, every_s=every_s, decoded=watched.decoded):
        cut = _crops(frame, detector, modality, watched)
        if cut:
            vectors = embedder.embed([c.image for c in cut], [c.modality for c in cut])
        else:
            vectors = np.zeros((0, 1), np.float32)
        tracks, ended = tracker.update(frame.time, [crop.box for crop in cut], vectors)
        for track, crop in zip(tracks, cut, strict=True):
            kept[track.number] = _best([*kept.get(track.number, []), crop], crops)
        for track in ended:
            yield from passing.candidates(track, kept.pop(track.number))
        advance(1)
    for track in tracker.finish():
        yield from passing.candidates(track, kept.pop(track.number))


@dataclass(frozen=True, kw_only=True)
class _Passing:
    """What is stated of everybody in a video."""

    path: Path
    start_s: float | None
    modality: int | None
    cam: int
    pid: int | None

    def candidates(self, track: Track, crops: list[Crop]) -> Iterator[Candidate]:
        place = self.path.resolve()
        guesses = {"modality": self.modality, "time": self.start_s}
        for crop in sorted(crops, key=lambda crop: crop.frame):
            yield Candidate(
                id=id_of(place, crop.frame, crop.box),
                image=crop.image,
                path=f"{printable(place)}#t={crop.time:.2f}",
                pid=self.pid,
                cam=self.cam,
                modality=crop.modality,
                time=(self.start_s or 0.0) + crop.time,
                track=f"{printable(self.path.stem)}-{track.number}",
                assumed=frozenset(name for name, stated in guesses.items() if stated is None),
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
                time=frame.time,
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
