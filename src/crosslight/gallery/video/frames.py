"""Frames of a video, a few each second, upright, decoded by PyAV."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from crosslight.errors import DataError
from crosslight.parts import named_if_missing

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream
    from av.container import InputContainer

_DISPLAY_MATRIX = "DISPLAYMATRIX"
_CUT_OFF_S = 0.5
"""What a video may lack, beside two frames, of the length that it states: sound ends later."""
_ANEW_S = 0.5
"""Time stamps that fall by more begin anew; by less, as of frames out of order, they wait."""
_BEGINNING = 1 << 16
_WHOLE = frozenset(("h264", "hevc"))
"""Codecs that make a picture of every packet; VP8 has packets that are not shown."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        number: Of all frames, from 0; damaged ones are counted too.
        time: Seconds since the first frame, or by a clock that is never set.
        image: RGB, upright: the rotation that the file states is applied.
        anew: Time stamps began anew since the frame before: how much later it was is not known.
        seen_at: Seconds since 1970 by this machine's clock, which may be set; None: `time` counts.
    """

    number: int
    time: float
    image: Image.Image
    anew: bool = False
    seen_at: float | None = None


@dataclass(kw_only=True)
class Decoded:
    """What became of a video's pictures, for whoever reports it.

    Attributes:
        whole: Frames that were decoded.
        damaged: Frames that could not be, or only in part; they are left out.
        first_damage_s: Where the first of them is, seconds since the first frame.
        anew: Places where time stamps begin anew, as where a recorder was restarted.
        first_anew_s: Where the first of them is, seconds since the first frame.
        ends_s: End of the last frame.
        stated_s: Length that the file states, where it is cut off before that.
    """

    whole: int = 0
    damaged: int = 0
    first_damage_s: float | None = None
    anew: int = 0
    first_anew_s: float | None = None
    ends_s: float = 0.0
    stated_s: float | None = None

    def loss(self, at_s: float) -> None:
        """Counts a damaged frame."""
        self.damaged += 1
        if self.first_damage_s is None:
            self.first_damage_s = at_s

    def begin_anew(self, at_s: float) -> None:
        """Counts a place where time stamps begin anew."""
        self.anew += 1
        if self.first_anew_s is None:
            self.first_anew_s = at_s


def frames_of(path: Path, *, every_s: float, decoded: Decoded | None = None) -> Iterator[Frame]:
    """Frames at least `every_s` apart; 0 gives all.

    Damaged frames are left out and counted; decoding goes on behind them. Where time stamps begin
    anew, time goes on with the next frame's; it never falls.

    Args:
        path: The video.
        every_s: Seconds.
        decoded: Told what was decoded and what was not.

    Raises:
        DataError: Not a video, or nothing in it can be decoded.
        MissingPartError: PyAV is not installed.
    """
    with named_if_missing():
        import av
    decoded = Decoded() if decoded is None else decoded
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        # Pictures made from lost ones come marked, instead of not at all.
        stream.codec_context.flags |= av.codec.context.Flags.output_corrupt
        due, places = 0.0, 0
        for number, time, frame in _decoded(container, stream, decoded):
            anew = decoded.anew > places
            # Half a millisecond: times are rounded to the stream's clock.
            if anew or time >= due - 0.0005:
                due, places = time + every_s, decoded.anew
                yield Frame(number=number, time=time, image=upright(frame, stream), anew=anew)
        if not decoded.whole:
            raise DataError(
                f"Not one frame of {path} can be decoded ({decoded.damaged} damaged); copy it "
                "again from its source, or convert it to MP4."
            )
        _compare_lengths(container, stream, decoded)


def beginning_of(path: Path) -> str:
    """Tells a video from another that was written under the same path.

    A recording that still grows stays itself: of its pictures as they are stored, the first 64 KiB
    count, and not the file's head, which recorders write again at the end.

    Args:
        path: The video.

    Returns:
        A digest in hexadecimal.

    Raises:
        DataError: Not a video.
        MissingPartError: PyAV is not installed.
    """
    with named_if_missing():
        import av
    digest, left = hashlib.sha256(), _BEGINNING
    # What is cut off or damaged is for `frames_of` to tell.
    with _opened(path) as (container, stream), suppress(av.error.FFmpegError, OSError):
        for packet in container.demux(stream):
            content = bytes(packet)[:left]
            digest.update(content)
            left -= len(content)
            if not left:
                break
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    import av

    if path.is_dir():
        raise DataError(f"{path} is a folder; name one video in it.")
    if not path.is_file():
        raise DataError(f"There is no video at {path}; check the path.")
    try:
        # Absolute: FFmpeg would take the start of `a:b.mp4` for a protocol.
        container = av.open(str(path.absolute()))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from error
    with container:
        if not container.streams.video:
            raise DataError(f"{path} holds no pictures; give a file with a video stream.")
        yield container, container.streams.video[0]


def _decoded(
    container: InputContainer, stream: VideoStream, decoded: Decoded
) -> Iterator[tuple[int, float, VideoFrame]]:
    """Number, time and content of every frame that is whole."""
    import av

    number = packets = 0
    time, first, stamp, step, fields = 0.0, None, 0.0, 1 / 25, False
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            break
        except (av.error.FFmpegError, OSError):  # the file ends in the middle of something
            decoded.loss(time)
            break
        packets += packet.size > 0 and not packet.is_discard
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            decoded.loss(time)
            number += 1
            continue
        for frame in frames:
            seconds = frame.time if frame.time is not None else number / 25
            if first is None:
                first = stamp = seconds
            if stamp - seconds > _ANEW_S:
                first = seconds - time - step
                decoded.begin_anew(time + step)
            step = seconds - stamp if seconds > stamp else step
            stamp = seconds
            time = decoded.ends_s = max(time, seconds - first)
            fields = fields or frame.interlaced_frame
            if frame.is_corrupt:
                decoded.loss(time)
            else:
                decoded.whole += 1
                yield number, time, frame
            number += 1
    if stream.codec_context.name in _WHOLE and not fields:
        for _ in range(packets - decoded.whole - decoded.damaged):
            decoded.loss(time)


def upright(frame: VideoFrame, stream: VideoStream) -> Image.Image:
    """The picture of a frame, turned as its stream says."""
    # Without annotations in PyAV.
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    turn = _turn_of(frame, stream)
    return image if turn is None else image.transpose(turn)


def _turn_of(frame: VideoFrame, stream: VideoStream) -> Image.Transpose | None:
    """How a decoded picture is made upright; None where it is."""
    sides: Any = frame.side_data  # PyAV's annotation says what it does not do: iterate over names
    for data in sides:
        if data.type.name == _DISPLAY_MATRIX:
            a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
            return turn_from(a, b, c, d)
    # Files of before display matrices, and of Matroska.
    stated = {name.lower(): value for name, value in stream.metadata.items()}.get("rotate", "")
    quarters = round(float(stated) / 90) % 4 if stated.lstrip("-").isdecimal() else 0
    return (
        None,
        Image.Transpose.ROTATE_270,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_90,
    )[quarters]


def turn_from(a: int, b: int, c: int, d: int) -> Image.Transpose | None:
    """The turn that a display matrix asks for, to the nearest quarter and mirrored or not.

    Args:
        a: A pixel at (x, y) is shown at (a x + c y, b x + d y).
        b: As `a`.
        c: As `a`.
        d: As `a`.
    """
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return {
            (False, False): None,
            (True, False): Image.Transpose.FLIP_LEFT_RIGHT,
            (False, True): Image.Transpose.FLIP_TOP_BOTTOM,
            (True, True): Image.Transpose.ROTATE_180,
        }[a < 0, d < 0]
    return {
        (False, False): Image.Transpose.TRANSPOSE,
        (False, True): Image.Transpose.ROTATE_270,
        (True, False): Image.Transpose.ROTATE_90,
        (True, True): Image.Transpose.TRANSVERSE,
    }[b < 0, c < 0]


def _compare_lengths(container: InputContainer, stream: VideoStream, decoded: Decoded) -> None:
    """Whether the file states that it is longer than what was found in it."""
    rate = float(stream.average_rate or 0)
    period = 1 / rate if rate > 0 else 0.0
    decoded.ends_s += period
    lengths = [stream.frames * period]
    if stream.duration is not None and stream.time_base is not None:
        lengths.append(float(stream.duration * stream.time_base))
    if container.duration is not None and len(container.streams) == 1:
        lengths.append(container.duration / 1e6)
    if max(lengths) - decoded.ends_s > _CUT_OFF_S + 2 * period:
        decoded.stated_s = max(lengths)


def _unreadable(path: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"{path} cannot be read as a video ({reason}); copy it again from its source, or convert "
        "it to MP4."
    )
