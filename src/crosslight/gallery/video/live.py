"""Frames of a camera that goes on: RTSP, HTTP or a webcam; connected again when it is lost."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from crosslight.errors import ConfigError
from crosslight.gallery.video.frames import Frame, upright
from crosslight.parts import named_if_missing

if TYPE_CHECKING:
    from av import VideoFrame, VideoStream

SCHEMES = ("rtsp", "rtsps", "http", "https")
SILENT_S = 10.0
"""A camera that sends nothing for so long is lost."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
"""Before a lost camera is tried again; twice as long each time, until it sends a frame."""

_CHANNELS = frozenset(("channel", "ch", "camera", "cam", "stream", "subtype"))
_NUMBER = re.compile("[0-9]{1,3}")  # a longer one may be a secret
_STATED = re.compile(r"(?<![^&_;?])([A-Za-z]+)=([^&_;.]*)")
"""Some recorders want user, password and channel as a part of the path, between `&` or `_`."""
_LOOKS_UP_S = 0.2
_LEFT_ALONE_S = 2.0
"""After which a reader that waits for a silent camera is left alone: it ends with the process."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Where a stream comes from.

    Attributes:
        name: As it is printed and kept: without user name, password and what follows `?`, but for
            the numbers that tell the channels of a recorder apart.
        url: What FFmpeg opens.
        format: FFmpeg's name of the device's kind; None: it sees by itself.
        options: For FFmpeg.
    """

    name: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A camera sends nothing any more, or did not begin to.

    Attributes:
        reason: Why.
        pause_s: When it is tried again.
    """

    reason: str
    pause_s: float


def is_live(source: str) -> bool:
    """Whether a source is a stream or the number of a webcam, and not a file."""
    return source.isdecimal() or "://" in source


def camera_from(source: str, *, platform: str = sys.platform) -> Camera:
    """The camera of an address or a number.

    Args:
        source: `rtsp://...`, `http://...`, or the number of a webcam.
        platform: As `sys.platform`.

    Raises:
        ConfigError: It is neither.
    """
    if source.isdecimal():
        devices = {"linux": ("v4l2", f"/dev/video{source}"), "darwin": ("avfoundation", source)}
        if platform not in devices:
            raise ConfigError(
                f"Webcams are opened by number on Linux and macOS, not on {platform}; let a "
                "program there send it as a stream and give its address: rtsp://..."
            )
        kind, url = devices[platform]
        return Camera(name=f"webcam {source}", url=url, format=kind)
    parts = urlsplit(source)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ConfigError(
            f"{source.partition('://')[0]}:// is no address of a camera; give rtsp://HOST/..., "
            "http://HOST/..., the number of a webcam, or a video file."
        )
    place = parts.netloc.rpartition("@")[2]
    path = "/".join(
        _channels(_STATED.findall(part)) if "=" in part else part for part in parts.path.split("/")
    )
    told = _channels(parse_qsl(parts.query))
    channel = f"?{told}" if told else ""
    # TCP: with UDP, lost packets are gray smears in which nobody is recognised.
    options = {"rtsp_transport": "tcp"} if parts.scheme.startswith("rtsp") else {}
    name = f"{parts.scheme}://{place}{path}{channel}"
    return Camera(name=name, url=source, options=options)


def _channels(stated: Iterable[tuple[str, str]]) -> str:
    """What tells a recorder's cameras apart, and no password.

    Whose names are the same and whose frames came at one time were seen in one frame.
    """
    return "&".join(
        f"{key}={value}"
        for key, value in stated
        if key.lower() in _CHANNELS and _NUMBER.fullmatch(value)
    )


def _no_device(camera: Camera, reason: str) -> str:
    return (
        f"{camera.name} ({camera.url}) sends no pictures ({reason}); give the number of one that "
        "is connected, or the address of a stream: rtsp://HOST/..."
    )


class _Arrived(NamedTuple):
    """A frame, its number, and when it came by either clock."""

    number: int
    at: float
    seen_at: float
    frame: VideoFrame
    stream: VideoStream


class LiveFrames:
    """The newest frame of a camera, however fast it sends: what is not asked for is dropped.

    A stream may begin later; a webcam that never opened is not waited for.

    Args:
        camera: Which.
        every_s: Seconds between frames.
        stopped: Asked again and again; True ends.
        first_pause_s: As `FIRST_PAUSE_S`.
        clock: Seconds that never fall; they pace.
        wall: Seconds since 1970, for rows.
    """

    def __init__(
        self,
        camera: Camera,
        *,
        every_s: float,
        stopped: Callable[[], bool],
        first_pause_s: float = FIRST_PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._camera, self._every_s, self._stopped = camera, every_s, stopped
        self._first_pause_s = first_pause_s
        self._clock, self._wall = clock, wall
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._newest: _Arrived | None = None
        self._lost: Lost | None = None
        self._lost_at = 0
        self._failure: BaseException | None = None
        self._count = 0

    def __iter__(self) -> Iterator[Frame | Lost]:
        """Frames, their time by the clock, and losses, until it is stopped.

        Raises:
            ConfigError: A webcam that cannot be opened.
        """
        with named_if_missing():
            import av  # noqa: F401
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        due = 0.0
        try:
            while (event := self._next(due)) is not None:
                if isinstance(event, Lost):
                    yield event
                else:
                    due = event.at + self._every_s
                    yield Frame(
                        number=event.number,
                        time=event.at,
                        image=upright(event.frame, event.stream),
                        seen_at=event.seen_at,
                    )
        finally:
            self._ended.set()
            reader.join(_LEFT_ALONE_S)

    def _next(self, due: float) -> _Arrived | Lost | None:
        with self._changed:
            while not self._stopped():
                if self._failure is not None:
                    raise self._failure
                is_before = self._newest is not None and self._newest.number < self._lost_at
                if self._lost is not None and not is_before:
                    lost, self._lost = self._lost, None
                    return lost
                if self._newest is not None and (is_before or self._newest.at >= due):
                    event, self._newest = self._newest, None
                    return event
                self._changed.wait(_LOOKS_UP_S)
        return None

    def _tell(self, name: str, value: Any) -> None:
        with self._changed:
            setattr(self, name, value)
            self._changed.notify()

    def _read(self) -> None:
        import av

        pause_s = self._first_pause_s
        while not self._ended.is_set():
            before = self._count
            try:
                self._read_once()
                reason = "the stream ended"
            except (av.error.FFmpegError, OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
            except BaseException as error:  # whoever iterates gets it
                self._tell("_failure", error)
                return
            if self._camera.format is not None and not self._count:
                self._tell("_failure", ConfigError(_no_device(self._camera, reason)))
                return
            if self._count > before:
                pause_s = self._first_pause_s
            self._lost_at = self._count
            self._tell("_lost", Lost(reason=reason, pause_s=pause_s))
            self._ended.wait(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _read_once(self) -> None:
        import av

        camera = self._camera
        with av.open(
            camera.url, format=camera.format, options=camera.options, timeout=(SILENT_S, SILENT_S)
        ) as container:
            if not container.streams.video:
                raise ValueError("it sends no pictures")
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:  # damaged on its way; the next may be whole
                    continue
                for frame in frames:
                    if not frame.is_corrupt:
                        at, seen_at = self._clock(), self._wall()
                        arrived = _Arrived(self._count, at, seen_at, frame, stream)
                        self._tell("_newest", arrived)
                        self._count += 1
                if self._ended.is_set():
                    return
