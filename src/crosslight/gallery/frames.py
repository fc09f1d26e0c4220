"""Frames of a video, a few each second, decoded by PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from crosslight.errors import DataError, GalleryError


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        number: Of all decoded frames, from 0.
        time: Seconds since the first frame.
        image: RGB.
    """

    number: int
    time: float
    image: Image.Image


def frames_of(path: Path, *, every_s: float) -> Iterator[Frame]:
    """Frames at least `every_s` apart; 0 gives all.

    A video that is damaged at some point gives the frames up to there.

    Raises:
        DataError: Not a video, or nothing in it can be decoded.
        GalleryError: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise GalleryError("Reading videos needs the package av; say: pip install av") from error
    if not path.is_file():
        raise DataError(f"There is no video at {path}; check the path.")
    given = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no pictures; give a file with a video stream.")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            first = due = None
            for number, frame in enumerate(container.decode(stream)):
                time = frame.time if frame.time is not None else number / 25
                first = time if first is None else first
                # Half a millisecond: times are rounded to the stream's clock.
                if due is None or time >= due - 0.0005:
                    due = time + every_s
                    given += 1
                    # Without annotations in PyAV.
                    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
                    yield Frame(number=number, time=time - first, image=image)
    except av.error.FFmpegError as error:
        if not given:
            raise DataError(
                f"{path} cannot be read as a video ({error.strerror or error}); copy it again "
                "from its source, or convert it to MP4."
            ) from error
