"""Enrols the people in a video."""

from __future__ import annotations

from pathlib import Path

from crosslight.commands.counting_bar import bar
from crosslight.commands.gallery.add import stated, tell
from crosslight.commands.gallery.filter import light_named, time_from
from crosslight.errors import ConfigError, DataError
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.enrolment import Enrolled, enrol
from crosslight.gallery.legibility import SMALLEST_PX
from crosslight.gallery.options import Labels, Watching
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.video.boxes import BoxesFile, Detector
from crosslight.gallery.video.detectors import load_detector
from crosslight.gallery.video.video import Watched, candidates_in_video
from crosslight.shipped import NANODET
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
        ConfigError: Both boxes and a detector, or a time that is none.
        DataError: Not a video, nothing in it can be decoded, or nobody is found in it.
    """
    camera, person = stated(labels.camera, "camera"), stated(labels.person, "person")
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
                cam=UNKNOWN_CAM if camera is None else camera,
                pid=person,
                advance=advance,
                watched=watched,
            )
            outcome = enrol(opened, embedder, candidates, workers=workers)
        tell_watched(video, watched)
        if not outcome.added and not outcome.present:
            raise DataError(_nobody(video, watched, watching))
        tell(opened, outcome)
    return outcome


def _finder(watching: Watching) -> Detector:
    boxes, detector = watching.boxes, watching.detector
    threshold = watching.detector_threshold
    if boxes is not None and detector is not None:
        raise ConfigError(
            "Both --boxes and --detector say where the people in the video are; give one of them."
        )
    if boxes is not None:
        given = BoxesFile(boxes, threshold)
        if given.left_out.count:
            print(f"boxes left out: {given.left_out.reasons(threshold)}")
        return given
    if detector is None:
        print(
            f"People are found by {NANODET}, which comes with crosslight; --boxes FILE.csv or "
            "--detector would take their places from elsewhere."
        )
    return load_detector(detector or NANODET, threshold)


def tell_watched(video: Path, watched: Watched) -> None:
    """Says what of a video was left out."""
    decoded = watched.decoded
    if decoded.damaged:
        print(
            f"not decoded: {decoded.damaged} damaged frames of {video}, the first at "
            f"{decoded.first_damage_s or 0:.1f} s"
        )
    if decoded.anew:
        print(
            f"time stamps of {video} begin anew after {decoded.first_anew_s or 0:.1f} s (places: "
            f"{decoded.anew}): times go on there as if nothing lay between, and nobody is followed "
            "across; where the parts were taken at other times, add them as files of their own"
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


def _nobody(video: Path, watched: Watched, watching: Watching) -> str:
    if watching.boxes is None:
        return (
            f"Nobody was enrolled: {watched.boxes} people were found on the {watched.frames} "
            f"frames of {video} that were looked at, {watched.boxes - watched.small} of them large "
            f"enough; lower the threshold of {watching.detector_threshold:g} "
            "(--detector-threshold), look at more frames (--every 0), or say where the people are "
            "(--boxes FILE.csv)."
        )
    return (
        f"Nobody was enrolled: {watched.boxes} boxes lie on the {watched.frames} frames of {video} "
        f"that were looked at, {watched.boxes - watched.small} of them large enough inside the "
        f"picture of {watched.width} x {watched.height}; give boxes in pixels of the upright "
        "picture, with frames counted from 0, look at more frames (--every 0), or at another video."
    )
