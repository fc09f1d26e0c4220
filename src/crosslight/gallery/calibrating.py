"""Calibrates a store on people who are not in it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.images import read_image
from crosslight.data.table import SampleTable
from crosslight.errors import DataError
from crosslight.files import printable
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.calibration.fit import fit_calibration
from crosslight.gallery.calibration.strangers import People, measured_alarms
from crosslight.gallery.candidates import id_of
from crosslight.gallery.enrolment import thumbnail_of
from crosslight.gallery.options import Calibrating
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores.rows import THUMBNAIL
from crosslight.gallery.stores.store import Store

_AT_ONCE = 64
_ROWS_AT_ONCE = 4_096


def calibrate_store(
    store: Store, embedder: Embedder, table: SampleTable, how: Calibrating, *, data: str
) -> Calibration:
    """Fits the curves, measures false alarms among the rows, and keeps both in the store.

    Args:
        store: Of the model.
        embedder: The store's model.
        table: Images of people who are neither trained on nor searched for.
        how: For which rate of errors.
        data: Name of the images.

    Raises:
        DataError: Too little in the table, or images that the store holds.
    """
    read = table.with_range(store.info.deep_range)
    feats, digests = _embedded(embedder, read)
    _refuse_held(store, read.paths, digests, data)
    found = fit_calibration(
        feats,
        table.known_pids,
        table.cams,
        table.modality,
        distance=store.info.distance,
        false_match_rate=how.false_match_rate,
        data=data,
        prior=how.prior,
    )
    known = table.known
    strangers = People(
        vectors=feats[known],
        pids=table.pids[known],
        cams=table.cams[known],
        modality=table.modality[known],
    )
    found = replace(found, alarms=measured_alarms(store, strangers))
    store.set_calibration(found.to_plain())
    return found


def _embedded(embedder: Embedder, table: SampleTable) -> tuple[NDArray[np.float32], list[str]]:
    """As enrolment embeds; processes forked from one in which a store is open could hang.

    Returns:
        (N, D), and a digest of each picture.
    """
    parts, digests = [], []
    for start in range(0, len(table), _AT_ONCE):
        rows = table.take(np.arange(start, min(start + _AT_ONCE, len(table))))
        pictures = [read_image(path, deep_range=rows.deep_range) for path in rows.paths]
        parts.append(embedder.embed(pictures, rows.modality.tolist()))
        digests += [_digest(thumbnail_of(picture)) for picture in pictures]
    return np.concatenate(parts), digests


def _refuse_held(store: Store, paths: list[Path], digests: list[str], data: str) -> None:
    """Refuses pictures that are enrolled, under whatever name and in whatever file.

    What a store keeps of a picture's content is its thumbnail.
    """
    held: set[str] = set()
    for rows in store.batches(_ROWS_AT_ONCE):
        kept = rows.frame.select(pl.col(THUMBNAIL).drop_nulls())[THUMBNAIL]
        held.update(map(_digest, kept))
    present = store.present(ids := [id_of(str(path.resolve())) for path in paths])
    found = [
        path
        for path, digest, row in zip(paths, digests, ids, strict=True)
        if digest in held or row in present
    ]
    if found:
        raise DataError(
            f"{len(found)} of the {len(paths)} images of {data} are in the store "
            f"({printable(found[0])} for one), so probabilities learnt from them would hold for "
            "nobody else; calibrate on people who are not enrolled, for one those of another "
            "--split."
        )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
