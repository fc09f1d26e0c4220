"""Puts people into a store: reads their images, embeds them, keeps a thumbnail of each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from crosslight.data.depth import Depth, DepthTally
from crosslight.data.images import read_with_depth
from crosslight.errors import DataError
from crosslight.gallery.rows import Rows, build_rows
from crosslight.gallery.search import Embedder, guess_modality
from crosslight.gallery.store import Store
from crosslight.types import UNKNOWN_CAM, DeepRange

BATCH = 256
"""Images that are added to the store at once; a killed enrolment repeats at most this many."""

THUMBNAIL_PX = (128, 256)
"""Largest width and height of a thumbnail."""

_EMBEDDED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """An image that is to be enrolled.

    Attributes:
        id: Of its row; the same image has the same id in every run.
        image: File, or the picture where it comes from a video.
        path: What a person is shown as its origin.
        pid: Person, None where nobody knows.
        cam: Camera, -1 where unknown.
        modality: `Modality`; None: guessed from its colours.
        time: Seconds, or None.
        track: Name of the track, or None.
    """

    id: str
    image: Path | Image.Image
    path: str
    pid: int | None = None
    cam: int = UNKNOWN_CAM
    modality: int | None = None
    time: float | None = None
    track: str | None = None


@dataclass(kw_only=True)
class Enrolled:
    """What became of the candidates.

    Attributes:
        added: New rows.
        present: Candidates that were there already.
        unreadable: Origin and reason of each image that could not be read.
        depths: What was left of images with more than 8 bits.
    """

    added: int = 0
    present: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    depths: DepthTally = field(default_factory=DepthTally)


def id_of(*parts: object) -> str:
    """An id that is the same for the same parts: a digest of 32 hexadecimal digits."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def enrol(
    store: Store,
    embedder: Embedder,
    candidates: Iterable[Candidate],
    *,
    workers: int = 2,
    deep_range: DeepRange | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Enrolled:
    """Adds candidates to a store, a batch at a time; what is there already is not even read.

    Args:
        store: Receives the rows.
        embedder: The store's model.
        candidates: Who.
        workers: Threads that decode images.
        deep_range: Of these images, where it is another one than the store's.
        advance: Told how many candidates have been dealt with.

    Raises:
        GalleryError: The store was filled by another model, or cannot be written.
    """
    outcome = Enrolled()
    read = partial(_picture, deep_range=deep_range or store.info.deep_range)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for batch in _chunks(candidates, BATCH):
            known = store.present([candidate.id for candidate in batch])
            fresh = [candidate for candidate in batch if candidate.id not in known]
            outcome.present += len(batch) - len(fresh)
            pictures: list[Image.Image] = []
            readable: list[Candidate] = []
            for candidate, (picture, depth) in zip(fresh, pool.map(read, fresh), strict=True):
                outcome.depths.add(depth)
                if isinstance(picture, DataError):
                    outcome.unreadable.append((candidate.path, str(picture)))
                else:
                    readable.append(candidate)
                    pictures.append(picture)
            if readable:
                outcome.added += store.add(_rows(embedder, readable, pictures))
            advance(len(batch))
    return outcome


def thumbnail_of(picture: Image.Image) -> bytes:
    """A small JPEG of a picture."""
    small = picture.convert("RGB")
    small.thumbnail(THUMBNAIL_PX, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, format="JPEG", quality=85)
    return out.getvalue()


def _rows(embedder: Embedder, candidates: list[Candidate], pictures: list[Image.Image]) -> Rows:
    lights = [
        guess_modality(picture) if candidate.modality is None else candidate.modality
        for candidate, picture in zip(candidates, pictures, strict=True)
    ]
    vectors = np.concatenate(
        [
            embedder.embed(pictures[n : n + _EMBEDDED_AT_ONCE], lights[n : n + _EMBEDDED_AT_ONCE])
            for n in range(0, len(pictures), _EMBEDDED_AT_ONCE)
        ]
    )
    columns = {
        "id": [candidate.id for candidate in candidates],
        "pid": [candidate.pid for candidate in candidates],
        "cam": [candidate.cam for candidate in candidates],
        "modality": lights,
        "time": [candidate.time for candidate in candidates],
        "track": [candidate.track for candidate in candidates],
        "path": [candidate.path for candidate in candidates],
        "thumbnail": [thumbnail_of(picture) for picture in pictures],
    }
    return build_rows(columns, vectors, model=embedder.fingerprint)


def _picture(
    candidate: Candidate, *, deep_range: DeepRange | None
) -> tuple[Image.Image | DataError, Depth | None]:
    if isinstance(candidate.image, Image.Image):
        return candidate.image, None
    try:
        return read_with_depth(candidate.image, deep_range=deep_range)
    except DataError as error:
        return error, None


def _chunks(candidates: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    iterator = iter(candidates)
    while chunk := list(islice(iterator, size)):
        yield chunk
