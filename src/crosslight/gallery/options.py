"""What a user may say when a gallery is filled, asked and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from crosslight.ranges import Chance, Count, Range, Share, Trial
from crosslight.types import Light


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is stated of all images that are added.

    Attributes:
        modality: Light of all images. None: as the table says, or guessed from the colours.
        camera: Camera of all images, a number or a name. None: as the table says.
        person: Person on all images, a number or a name. None: as the table says.
    """

    modality: Light | None = None
    camera: str | None = None
    person: str | None = None


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How people are found in a video.

    Attributes:
        boxes: Video only: CSV with frame,left,top,right,bottom (pixels), in place of a detector.
        detector: Video only: finds people; nanodet, FILE.onnx, torchvision:NAME or
            torchvision:NAME:WEIGHTS.pth. None: nanodet, which comes with crosslight.
        detector_threshold: Smallest score of a person.
        every: Video only: seconds between the frames that are looked at.
        start: Video only: when its first frame was taken: seconds, or an ISO date (UTC unless it
            names a zone).
        crops: Video only: best crops of each track that are kept.
    """

    boxes: Path | None = None
    detector: str | None = None
    detector_threshold: Share = 0.5
    every: float = 0.2
    start: str | None = None
    crops: Count = 3


@dataclass(frozen=True, kw_only=True)
class Live:
    """How a camera is watched.

    Attributes:
        camera: Number or name of the camera, kept with everybody whom it sees.
        modality: Its light. None: guessed from the colours of each frame.
        detector: Finds people; nanodet, FILE.onnx, torchvision:NAME or
            torchvision:NAME:WEIGHTS.pth. None: nanodet, which comes with crosslight.
        detector_threshold: Smallest score of a person.
        every: Seconds between the frames that are looked at.
        crops: Best crops of each track that are kept.
    """

    camera: str | None = None
    modality: Light | None = None
    detector: str | None = None
    detector_threshold: Share = Watching.detector_threshold
    every: float = Watching.every
    crops: Count = Watching.crops


_MOST_RESULTS = 100_000
"""Of one search; a table of more is nothing that anybody reads."""


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a gallery is asked.

    Attributes:
        top: Results.
        query_modality: Light of the query. None: guessed from its colours.
        exact: Compare with every row, whatever index there is.
        false_alarms: In how many searches for somebody who is not in the gallery the answer may be
            that they are. None: 0.01, or the smallest share that the calibration can show.
    """

    top: Annotated[int, Range(1, _MOST_RESULTS)] = 20
    query_modality: Light | None = None
    exact: bool = False
    false_alarms: Chance | None = None


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """How two pictures are compared.

    Attributes:
        prior: Probability beforehand that they show the same person.
        first_modality: Light of the first picture. None: guessed from its colours.
        second_modality: Light of the second picture. None: guessed from its colours.
    """

    prior: Chance = 0.5
    first_modality: Light | None = None
    second_modality: Light | None = None


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which rows of a gallery are meant; nothing said: all.

    Attributes:
        camera: Only rows of these cameras, by number or name.
        modality: Only rows of this light.
        since: Only rows from then on: seconds, or an ISO date (UTC).
        until: Only rows up to then: seconds, or an ISO date (UTC).
    """

    camera: tuple[str, ...] = ()
    modality: Light | None = None
    since: str | None = None
    until: str | None = None

    @property
    def is_said(self) -> bool:
        """Whether anything is."""
        return any(value not in ((), None) for value in vars(self).values())


@dataclass(frozen=True, kw_only=True)
class WhereOrWho(Where):
    """Which rows of a gallery are meant, where its people are known too.

    Attributes:
        person: Only rows of these people, by number or name.
    """

    person: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Proposing:
    """Which pairs are proposed for merging.

    Attributes:
        top: At most so many.
        least: Smallest probability that they are one person, where the store is calibrated.
    """

    top: Count = 20
    least: Share = 0.5


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """What a gallery is calibrated on, and for which rate of errors.

    Attributes:
        split: The split of those people.
        false_match_rate: Share of pairs of different people that the threshold lets pass.
        prior: Share of same-person pairs that probabilities assume. None: that of the data.
        trial: Split number, for layouts that have several.
    """

    split: str = "val"
    false_match_rate: Chance = 0.001
    prior: Chance | None = None
    trial: Trial = 1
