"""Enrols the people in a video."""

from __future__ import annotations

from pathlib import Path

from crosslight.commands.counting_bar import bar
from crosslight.commands.flag_numbers import LARGEST, require_from_to
from crosslight.commands.gallery_add import MOST_WORKERS, require_labels, tell
from crosslight.commands.gallery_filter import light_named, time_from
from crosslight.errors import ConfigError, DataError
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.boxes import BoxesFile, Detector
from crosslight.gallery.detectors import FORMS, load_detector
from crosslight.gallery.enrolment import Enrolled, enrol
from crosslight.gallery.opening import open_store
from crosslight.gallery.options import Labels, Watching
from crosslight.gallery.video import SMALLEST_PX, Watched, candidates_in_video
from crosslight.types import UNKNOWN_CAM


def add_video(
    store: str,
    video: Path,
    labels: Labels,
    watching: Watching,
    *,
    model: Path | None,
    workers: int,
) -> Enrolled:
    """Finds, follows and enrols people.

    Raises:
        ConfigError: No boxes and no detector, or both, or a number that makes no sense.
        DataError: Not a video, nothing in it can be decoded, or nobody is found in it.
    """
    require_labels(labels)
    require_from_to("workers", workers, 0, MOST_WORKERS)
    require_from_to("crops", watching.crops, 1, LARGEST)
    require_from_to("every", watching.every, 0, LARGEST)
    require_from_to("detector-threshold", watching.detector_threshold, 0, 1)
    start_s = None if watching.start is None else time_from(watching.start)
    finder = _finder(watching)
    with open_store(store) as opened:
        embedder = embedder_for(opened.info, model)
        watched = Watched()
        with bar("frames", None) as advance:
            candidates = candidates_in_video(
                video,
                finder,
                embedder,
                every_s=watching.every,
                start_s=start_s,
                crops=watching.crops,
                modality=light_named(labels.modality),
                cam=UNKNOWN_CAM if labels.camera is None else labels.camera,
                pid=labels.person,
                advance=advance,
                watched=watched,
            )
            outcome = enrol(opened, embedder, candidates, workers=workers)
        tell_watched(video, watched)
        if not outcome.added and not outcome.present:
            raise DataError(_nobody(video, watched))
        tell(opened, outcome)
    return outcome


def _finder(watching: Watching) -> Detector:
    boxes, detector = watching.boxes, watching.detector
    threshold = watching.detector_threshold
    if boxes is not None and detector is None:
        given = BoxesFile(boxes, threshold)
        if given.left_out.count:
            print(f"boxes left out: {given.left_out.reasons(threshold)}")
        return given
    if detector is not None and boxes is None:
        return load_detector(detector, threshold)
    raise ConfigError(
        "Say in one way where the people in the video are: with --boxes FILE.csv or with "
        f"--detector ({FORMS})."
    )


def tell_watched(video: Path, watched: Watched) -> None:
    """Says what of a video was left out."""
    decoded = watched.decoded
    if decoded.damaged:
        print(
            f"not decoded: {decoded.damaged} damaged frames of {video}, the first at "
            f"{decoded.first_damage_s or 0:.1f} s"
        )
    if decoded.stated_s is not None:
        print(
            f"cut off: {video} says that it lasts {decoded.stated_s:.1f} s, and ends at "
            f"{decoded.ends_s:.1f} s"
        )
    if watched.small:
        width, height = SMALLEST_PX
        print(
            f"not enrolled: {watched.small} of {watched.boxes} boxes that show less than {width} x "
            f"{height} pixels inside the picture of {watched.width} x {watched.height}"
        )


def _nobody(video: Path, watched: Watched) -> str:
    return (
        f"Nobody was enrolled: {watched.boxes} boxes lie on the {watched.frames} frames of {video} "
        f"that were looked at, {watched.boxes - watched.small} of them large enough inside the "
        f"picture of {watched.width} x {watched.height}; give boxes in pixels of the upright "
        "picture, with frames counted from 0, look at more frames (--every 0), or at another video."
    )
