"""Puts people into a store: reads their images, embeds them, keeps a thumbnail of each."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from crosslight.data.depth import Depth, DepthTally
from crosslight.data.images import guess_modality, read_with_depth
from crosslight.errors import DataError
from crosslight.gallery.candidates import LABELS, Candidate
from crosslight.gallery.people.names import numbered
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores.forgetting import forget_unseen
from crosslight.gallery.stores.ledger import TRACK, digest
from crosslight.gallery.stores.rows import COLUMNS, Rows, build_rows
from crosslight.gallery.stores.store import Store
from crosslight.types import DeepRange

BATCH = 256
"""Images that are added to the store at once; a killed enrolment repeats at most this many."""

THUMBNAIL_PX = (128, 256)
"""Largest width and height of a thumbnail."""

_EMBEDDED_AT_ONCE = 64


@dataclass(kw_only=True)
class Enrolled:
    """What became of the candidates.

    Attributes:
        added: New rows.
        present: Candidates that were there already.
        relabelled: Those of them of which other labels were stated than those that were known.
        unreadable: Origin and reason of each image that could not be read.
        depths: What was left of images with more than 8 bits.
    """

    added: int = 0
    present: int = 0
    relabelled: int = 0
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    depths: DepthTally = field(default_factory=DepthTally)


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

    Where another label is stated than the one that is known, the row gets it; what nobody states
    stays. Another light takes reading and embedding the image again. A person or a camera with a
    name gets the number that the store has for it, or a new one; the name of somebody of whom no
    image could be read is not kept.

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
    named: set[int] = set()

    def with_numbers(given: Sequence[Candidate]) -> Sequence[Candidate]:
        found = numbered(store, given)
        for before, after in zip(given, found, strict=True):
            if isinstance(before.pid, str) and isinstance(after.pid, int):
                named.add(after.pid)
        return found

    if isinstance(candidates, Sequence):
        candidates = with_numbers(candidates)
    read = partial(_picture, deep_range=deep_range or store.info.deep_range)
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for chunk in _chunks(candidates, BATCH):
            batch = with_numbers(chunk)
            _keep_who_was_beside(store, batch)
            labels = store.labels([candidate.id for candidate in batch])
            known = {row["id"]: row for row in labels.iter_rows(named=True)}
            fresh = [candidate for candidate in batch if candidate.id not in known]
            outcome.present += len(batch) - len(fresh)
            there = (candidate for candidate in batch if candidate.id in known)
            changed = {c.id: merged for c in there if (merged := _relabelled(c, known[c.id]))}
            seen_anew = [c for c in changed.values() if c.modality != known[c.id]["modality"]]
            outcome.relabelled += len(changed) - len(seen_anew)
            _relabel(store, [c for c in changed.values() if c not in seen_anew])
            fresh += seen_anew
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
                rows = _rows(embedder, readable, pictures)
                replacing = [n for n, candidate in enumerate(readable) if candidate.id in changed]
                outcome.relabelled += store.update(rows.take(replacing)) if replacing else 0
                outcome.added += store.add(rows)  # without those that are there
            advance(len(batch))
    forget_unseen(store, named)
    return outcome


def _keep_who_was_beside(store: Store, candidates: Sequence[Candidate]) -> None:
    """Before their rows: whoever finds two rows must know that they are two people."""
    beside: dict[str, set[str]] = {}
    for candidate in candidates:
        if candidate.track is not None and candidate.beside:
            beside.setdefault(candidate.track, set()).update(candidate.beside)
    if beside:
        store.begin_writing()  # a removal would forget tracks that have no rows yet
        with store.ledger.changing() as changes:
            known = changes.get(TRACK, map(digest, beside))
            for track, others in beside.items():
                before = known.get(digest(track), {"beside": []})["beside"]
                entry = {"track": track, "beside": sorted(others.union(before))}
                changes.put(TRACK, digest(track), entry)


def _relabelled(candidate: Candidate, row: Mapping[str, Any]) -> Candidate | None:
    """The candidate with all that is known of it, or None where its row says so already."""
    known = {name: row[name] for name in LABELS}
    merged = known | candidate.stated()
    return None if merged == known else replace(candidate, **merged)


def _relabel(store: Store, candidates: Sequence[Candidate]) -> None:
    """Writes other labels than the light."""
    if candidates:
        rows = store.get([candidate.id for candidate in candidates])
        by_id = {candidate.id: candidate for candidate in candidates}
        labels = [
            pl.Series(name, [getattr(by_id[i], name) for i in rows.ids], dtype=COLUMNS[name])
            for name in LABELS
        ]
        store.update(Rows(frame=rows.frame.with_columns(labels), vectors=rows.vectors))


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
