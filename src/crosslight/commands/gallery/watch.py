"""Enrols the people whom a camera sees, for as long as it is watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from crosslight.commands.gallery.add import stated
from crosslight.commands.gallery.filter import light_named
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.candidates import Candidate, id_of
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.options import Live
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.writing import StoreBusyError
from crosslight.gallery.video.detectors import load_detector
from crosslight.gallery.video.frames import Frame, frames_of
from crosslight.gallery.video.live import LiveFrames, Lost, camera_from, is_live
from crosslight.gallery.video.video import Crop, Follower, Passing, Watched
from crosslight.shipped import NANODET
from crosslight.times import text_of
from crosslight.training.interruption import Interruption
from crosslight.types import UNKNOWN_CAM

LONGEST_S = 60.0
"""Who stays in view longer is kept meanwhile: a fault of the machine loses no more than that."""

TOLD_EVERY_S = 60.0
"""Where there is no terminal whose last line can be renewed."""

_AVERAGED_S = 5.0


def watch(store: str, source: str, live: Live, *, model: Path | None) -> None:
    """Watches until Ctrl-C, SIGTERM or the end of a file.

    Raises:
        ConfigError: Not a source, or not a detector.
        DataError: A file that is no video.
        GalleryError: The store cannot be written.
    """
    number = stated(live.camera, "camera")
    camera = camera_from(source) if is_live(source) else None
    name = Path(source).name if camera is None else camera.name
    detector = load_detector(live.detector or NANODET, live.detector_threshold)
    with open_store(store) as opened:
        embedder = embedder_for(opened.info, model)
    begun = time.time()
    follower = Follower(
        detector,
        embedder,
        _Origin(name, begun),
        Passing(
            start_s=0.0,
            modality=light_named(live.modality),
            cam=UNKNOWN_CAM if number is None else number,
        ),
        crops=live.crops,
        watched=Watched(),
        longest_s=LONGEST_S,
    )
    keeper = Keeper(store, embedder)
    with Interruption() as interruption, _Status() as status:

        def stopped() -> bool:
            return bool(interruption.received)

        events: Iterable[Frame | Lost] = (
            _of_file(Path(source), live.every, begun, stopped)
            if camera is None
            else LiveFrames(camera, every_s=live.every, stopped=stopped)
        )
        print(f"Watching {name}; Ctrl-C ends.", flush=True)
        # Frames of a file are late by their whole age, which says nothing.
        look(events, follower, keeper, status, name=name, is_late=camera is not None)
    print(keeper.told(), flush=True)


def look(
    events: Iterable[Frame | Lost],
    follower: Follower,
    keeper: Keeper,
    status: _Status,
    *,
    name: str,
    is_late: bool,
) -> None:
    """Looks at frames and keeps who has left; at the end, or when the camera is lost, everybody."""
    rate = _Rate()
    try:
        for event in events:
            if isinstance(event, Lost):
                keeper.keep(follower.finish())
                print(
                    f"{name} sends nothing ({event.reason}); it is tried again in "
                    f"{event.pause_s:g} s.",
                    flush=True,
                )
                continue
            keeper.keep(follower.look(event))
            behind = f", {time.monotonic() - event.time:.1f} s behind" if is_late else ""
            status.tell(
                event.time,
                f"{event.image.width} x {event.image.height}, {rate.now():.1f} frames/s{behind}; "
                f"{len(follower.seen)} in view; {keeper.told()}",
            )
    finally:
        keeper.keep(follower.finish())
        keeper.finish()


@dataclass
class Keeper:
    """Puts people into a store as they leave, and lets others write between.

    Attributes:
        store: Its location.
        embedder: Its model.
        tracks: Names of those that were kept.
        images: How many were added.
    """

    store: str
    embedder: Embedder
    tracks: set[str] = field(default_factory=set)
    images: int = 0
    _waiting: list[Candidate] = field(default_factory=list)

    def keep(self, candidates: list[Candidate]) -> None:
        """Adds them; while another process writes, they wait for the next call."""
        self._waiting += candidates
        if not self._waiting:
            return
        try:
            self._add()
        except StoreBusyError:
            return

    def finish(self) -> None:
        """Adds those who wait, as soon as whoever writes is done."""
        while self._waiting:
            try:
                self._add()
            except StoreBusyError:
                time.sleep(_BUSY_PAUSE_S)

    def _add(self) -> None:
        with open_store(self.store) as opened:
            outcome = enrol(opened, self.embedder, self._waiting, workers=1)
        self.images += outcome.added
        self.tracks |= {candidate.track or "" for candidate in self._waiting}
        self._waiting = []

    def told(self) -> str:
        """What was kept, for a sentence."""
        return f"kept: images {self.images}, tracks {len(self.tracks)}"


_BUSY_PAUSE_S = 0.2


class _Origin:
    """A camera; what it sees is named by when."""

    def __init__(self, name: str, begun: float) -> None:
        self._name, self._begun = name, text_of(begun)

    def id_of(self, crop: Crop) -> str:
        return id_of(self._name, self._begun, crop.frame, crop.box)

    def path_of(self, crop: Crop) -> str:
        return f"{self._name} {text_of(crop.time)}"

    def track_of(self, number: int) -> str:
        return f"{self._name} {self._begun} {number}"


def _of_file(
    path: Path, every_s: float, begun: float, stopped: Callable[[], bool]
) -> Iterator[Frame]:
    """A file as if it were seen now, as fast as it can be looked at."""
    for frame in frames_of(path, every_s=every_s):
        if stopped():
            return
        yield replace(frame, time=begun + frame.time)


class _Rate:
    """Frames a second, over the last seconds."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def now(self) -> float:
        """After another frame."""
        at = time.monotonic()
        self._times = [*(t for t in self._times if at - t <= _AVERAGED_S), at]
        return (len(self._times) - 1) / (at - self._times[0]) if len(self._times) > 1 else 0.0


class _Status:
    """The last line of a terminal; elsewhere a line now and then."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._line = console.status("") if console.is_terminal else None
        self._told: float | None = None

    def __enter__(self) -> _Status:
        entered: AbstractContextManager[object] = self._line or nullcontext()
        entered.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.stop()

    def tell(self, at: float, text: str) -> None:
        """Renews it."""
        if self._line is not None:
            self._line.update(text)
        elif self._told is None or at - self._told >= TOLD_EVERY_S:
            self._told = at
            print(text, flush=True)
