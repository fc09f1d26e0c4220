"""What the routes ask: the searcher behind a queue, the pictures of rows, the gallery's facts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import polars as pl
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from PIL import Image

from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.legibility import SMALLEST_PX
from crosslight.gallery.options import Watching
from crosslight.gallery.people.marks import Query, count_marks, marks_of
from crosslight.gallery.people.names import names_of
from crosslight.gallery.search import Answer, Searcher
from crosslight.gallery.service.limits import Limits
from crosslight.gallery.service.pictures import PictureCache, as_jpeg, read_stored, read_upload
from crosslight.gallery.service.replies import (
    CameraReply,
    GalleryReply,
    LightReply,
    QueryReply,
    RowReply,
    SearchReply,
    light_of,
    row_reply,
    search_reply,
)
from crosslight.gallery.service.users import Visitor
from crosslight.gallery.stores.rows import THUMBNAIL, Filter
from crosslight.gallery.video.boxes import Detector
from crosslight.gallery.video.detectors import load_detector
from crosslight.shipped import NANODET, SHIPPED
from crosslight.types import Modality
from crosslight.version import __version__

FACTS_FOR_S = 30.0
"""How long counts of cameras and lights are kept; reading them touches every row."""

T = TypeVar("T")


class BusyError(Exception):
    """Too many requests wait for the model."""


class Desk:
    """Shared by all requests.

    Args:
        searcher: Model and store.
        limits: How many may wait.
        clock: Seconds that never go back.
    """

    def __init__(
        self, searcher: Searcher, limits: Limits, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.searcher = searcher
        self.limits = limits
        self._clock = clock
        self._pictures = PictureCache()
        self._model = CapacityLimiter(1)
        self._changes = CapacityLimiter(1)
        self._waiting = 0
        self._facts: tuple[float, GalleryReply] | None = None
        self._facts_lock = threading.Lock()

    async def with_model(self, work: Callable[[], T]) -> T:
        """Runs work that needs the model, one request after the other, beside the event loop.

        Raises:
            BusyError: Too many requests wait already.
        """
        if self._waiting > self.limits.waiting:
            raise BusyError
        self._waiting += 1
        try:
            return await run_sync(work, limiter=self._model)
        finally:
            self._waiting -= 1

    def read(self, content: bytes) -> Image.Image:
        """The RGB image that a client sent, read as those of the gallery were.

        Raises:
            DataError: As `read_upload`.
        """
        deep_range = self.searcher.store.info.deep_range
        return read_upload(content, self.limits, deep_range=deep_range)

    @cached_property
    def detector(self) -> Detector:
        """Finds people in pictures; to be asked for by the one who has the model.

        Raises:
            CheckpointError: Its weights are not in this installation.
        """
        return load_detector(NANODET, Watching.detector_threshold)

    def has(self, row: str) -> bool:
        """Whether the gallery holds the row."""
        return bool(self.searcher.store.present([row]))

    def picture(self, row: str) -> bytes | None:
        """The row's picture as a JPEG, or None where the row or its picture is missing.

        Raises:
            DataError: The stored picture is damaged.
        """
        known = self._pictures.get(row)
        if known is not None:
            return known
        found = self.stored(row)
        if found is None:
            return None
        picture = as_jpeg(found[0])
        self._pictures.put(row, picture)
        return picture

    def stored(self, row: str) -> tuple[Image.Image, Modality] | None:
        """The row's stored picture and light, or None where the row or its picture is missing.

        Raises:
            DataError: The stored picture is damaged.
        """
        found = self.searcher.store.get([row])
        content = found.frame[THUMBNAIL][0] if len(found) else None
        if content is None:
            return None
        return read_stored(content), Modality(int(found.frame["modality"][0]))

    def remove(self, rows: list[str], tell: Callable[[int], None]) -> int:
        """Removes rows for good, and from this service's memory; gives how many there were.

        To be called in `changing`, as whatever writes to the store.

        Args:
            rows: Their ids.
            tell: Told how many are there, when nobody else can write and before any goes.

        Raises:
            StoreBusyError: Another process is writing.
        """
        store = self.searcher.store
        try:
            store.begin_writing()
            tell(len(store.present(rows)))
            count = store.remove_ids(rows)
        finally:
            store.end_writing()
        self._pictures.forget(rows)
        return count

    def rows(self, where: Filter, *, offset: int, limit: int) -> list[RowReply]:
        """Some rows that fit, in a stable order."""
        store = self.searcher.store
        page = store.page(where, offset=offset, limit=limit)
        names = names_of(store, page["pid"].to_list())
        return [row_reply(row, names) for row in page.iter_rows(named=True)]

    def reply(
        self, answer: Answer, query: QueryReply, visitor: Visitor, fault: str | None = None
    ) -> SearchReply:
        """An answer with what is known of its rows, and the visitor's marks; see `search_reply`."""
        store = self.searcher.store
        names = names_of(store, [result.hit.pid for result in answer.results])
        asked = Query(row=query.row, sha256=query.sha256)
        rows = [result.hit.id for result in answer.results]
        marks = marks_of(store, asked, rows, by=visitor.name)
        return search_reply(answer, query, names, marks, fault)

    async def changing(self, work: Callable[[], T]) -> T:
        """Runs work that changes rows, names, labels or marks, one after the other.

        Raises:
            StoreBusyError: Another process is writing.
        """
        try:
            return await run_sync(work, limiter=self._changes)
        finally:
            with self._facts_lock:
                self._facts = None

    def facts(self) -> GalleryReply:
        """What is in the gallery; up to `FACTS_FOR_S` old."""
        with self._facts_lock:
            now = self._clock()
            if self._facts is None or now - self._facts[0] > FACTS_FOR_S:
                self._facts = (now, self._read_facts())
            return self._facts[1]

    def _read_facts(self) -> GalleryReply:
        store, embedder = self.searcher.store, self.searcher.embedder
        frame = store.frame(columns=("pid", "cam", "modality", "time"))
        cams = frame.group_by("cam").len().sort("cam")
        lights = frame.group_by("modality").len().sort("modality")
        times = frame.select(pl.col("time").min().alias("low"), pl.col("time").max().alias("high"))
        info = store.info
        calibration = Calibration.from_plain(info.calibration)
        names, marks = names_of(store, ()), count_marks(store)
        return GalleryReply(
            name=Path(store.location).name,
            kind=store.kind,
            version=__version__,
            method=info.method,
            model=info.model,
            weights=info.run if info.run in SHIPPED else None,
            rows=frame.height,
            people=frame["pid"].drop_nulls().n_unique(),
            cams=[
                CameraReply(cam=cam, name=names.cameras.get(cam), rows=rows)
                for cam, rows in cams.iter_rows()
            ],
            modalities=[
                LightReply(modality=light_of(light), rows=rows)
                for light, rows in lights.iter_rows()
            ],
            earliest=times["low"][0],
            latest=times["high"][0],
            distance=info.distance,
            calibrated=calibration is not None,
            false_match_rate=calibration.false_match_rate if calibration else None,
            translates=embedder.translate is not None,
            swaps=embedder.swap is not None,
            right=marks["right"],
            wrong=marks["wrong"],
            upload_bytes=self.limits.upload_bytes,
            upload_pixels=self.limits.upload_pixels,
            smallest_width=SMALLEST_PX[0],
            smallest_height=SMALLEST_PX[1],
        )
