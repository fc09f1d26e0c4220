"""Enrols the people in a video."""

from __future__ import annotations

from pathlib import Path

from crosslight.commands.counting_bar import bar
from crosslight.commands.gallery_add import tell
from crosslight.commands.gallery_filter import LIGHTS, time_from
from crosslight.commands.gallery_model import embedder_for
from crosslight.errors import ConfigError
from crosslight.gallery.detectors import FORMS, BoxesFile, Detector, load_detector
from crosslight.gallery.enrolment import Enrolled, enrol
from crosslight.gallery.opening import open_store
from crosslight.gallery.video import candidates_in_video
from crosslight.types import UNKNOWN_CAM


def add_video(
    store: str,
    video: Path,
    *,
    boxes: Path | None,
    detector: str | None,
    threshold: float,
    every_s: float,
    start: str | None,
    crops: int,
    modality: str | None,
    camera: int | None,
    person: int | None,
    model: Path | None,
    workers: int,
) -> Enrolled:
    """Finds, follows and enrols people.

    Raises:
        ConfigError: No boxes and no detector, or both, or a number that makes no sense.
        DataError: Not a video.
    """
    if crops < 1 or every_s < 0:
        raise ConfigError(
            f"--crops {crops} and --every {every_s:g} make no sense; give 1 or more crops and 0 or "
            "more seconds."
        )
    if boxes is not None and detector is None:
        finder: Detector = BoxesFile(boxes, threshold)
    elif detector is not None and boxes is None:
        finder = load_detector(detector, threshold)
    else:
        raise ConfigError(
            "Say in one way where the people in the video are: with --boxes FILE.csv or with "
            f"--detector ({FORMS})."
        )
    with open_store(store) as opened:
        embedder = embedder_for(opened.info, model)
        with bar("frames", None) as advance:
            outcome = enrol(
                opened,
                embedder,
                candidates_in_video(
                    video,
                    finder,
                    embedder,
                    every_s=every_s,
                    start_s=None if start is None else time_from(start),
                    crops=crops,
                    modality=None if modality is None else int(LIGHTS[modality]),
                    cam=UNKNOWN_CAM if camera is None else camera,
                    pid=person,
                    advance=advance,
                ),
                workers=workers,
            )
        tell(opened, outcome)
    return outcome
