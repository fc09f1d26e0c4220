"""What a user may say when a gallery is filled, asked and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crosslight.types import Light


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is stated of all images that are added.

    Attributes:
        modality: Light of all images. None: as the table says, or guessed from the colours.
        camera: Camera of all images. None: as the table says.
        person: Person on all images. None: as the table says.
    """

    modality: Light | None = None
    camera: int | None = None
    person: int | None = None


@dataclass(frozen=True, kw_only=True)
class Watching:
    """How people are found in a video.

    Attributes:
        boxes: Video only: CSV with frame,left,top,right,bottom (pixels), in place of a detector.
        detector: Video only: finds people; FILE.onnx or torchvision:NAME or
            torchvision:NAME:WEIGHTS.pth.
        detector_threshold: Smallest score of a person.
        every: Video only: seconds between the frames that are looked at.
        start: Video only: when its first frame was taken: seconds, or an ISO date (UTC unless it
            names a zone).
        crops: Video only: best crops of each track that are kept.
    """

    boxes: Path | None = None
    detector: str | None = None
    detector_threshold: float = 0.5
    every: float = 0.2
    start: str | None = None
    crops: int = 3


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How a gallery is asked.

    Attributes:
        top: Results.
        query_modality: Light of the query. None: guessed from its colours.
        exact: Compare with every row, whatever index there is.
    """

    top: int = 20
    query_modality: Light | None = None
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Where:
    """Which rows of a gallery are meant; nothing said: all.

    Attributes:
        camera: Only rows of these cameras.
        modality: Only rows of this light.
        since: Only rows from then on: seconds, or an ISO date (UTC).
        until: Only rows up to then: seconds, or an ISO date (UTC).
    """

    camera: tuple[int, ...] = ()
    modality: Light | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, kw_only=True)
class WhereOrWho(Where):
    """Which rows of a gallery are meant, where its people are known too.

    Attributes:
        person: Only rows of these people.
    """

    person: tuple[int, ...] = ()


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
    false_match_rate: float = 0.001
    prior: float | None = None
    trial: int = 1
