"""Maintenance of a LanceDB table: compaction, indexes, and whether the index still finds enough.

The vector index is RaBitQ over inverted lists. A question to it reads `nprobes` of the lists and
compares `refine` times as many candidates as were asked for with their full vectors. Both are
raised until the index finds what an exact search finds, on rows drawn from the table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lancedb.index import Bitmap, BTree, IvfRq
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.files import write_text
from crosslight.gallery.nearest import Nearest
from crosslight.gallery.store import Distance

NAME = "index.json"
VECTOR = "vector"
INDEX = "vector_idx"

INDEXED_FROM = 50_000
"""Rows from which a vector index pays; below, comparing with all of them is as quick."""

COLUMNS_INDEXED_FROM = 5_000
RECALL = 0.99
"""Share of the 10 nearest rows that the index must find."""

_KEPT = timedelta(hours=1)  # readers may still be at an older version
_RETRAINED_AT = 2.0
_QUERIES = 100
_NEAREST = 10
_MOST_REFINED = 80
_TRAINED_ON = 64  # rows for each list; more changed no recall that was measured
_ITERATIONS = 20
_COLUMN_INDEXES = {
    "id": BTree,
    "pid": BTree,
    "time": BTree,
    "cam": Bitmap,
    "modality": Bitmap,
}
_METRICS: dict[Distance, Literal["cosine", "l2", "dot"]] = {
    "cosine": "cosine",
    "euclidean": "l2",
    "dot": "dot",
}


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """How the index is asked, and how well it answered.

    Attributes:
        trained_rows: Rows when its lists were made.
        partitions: Lists.
        nprobes: Lists that a question reads.
        refine: Candidates compared exactly, as a multiple of the results asked for.
        recall: Share of the exact 10 nearest found, over all rows.
        filtered_recall: The same among rows of the other modality.
    """

    trained_rows: int
    partitions: int
    nprobes: int
    refine: int
    recall: float = 0.0
    filtered_recall: float = 0.0


def read_settings(folder: Path) -> IndexSettings | None:
    """The settings of a store's index, None where it has none.

    Raises:
        GalleryError: Damaged.
    """
    path = folder / NAME
    try:
        return IndexSettings(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise GalleryError(
            f"{path} is damaged ({error}); remove it, and run crosslight gallery optimize {folder}."
        ) from error


def maintain(table: Any, folder: Path, distance: Distance) -> str:
    """Compacts, indexes what pays, and checks the recall.

    Returns:
        What was done, in a sentence.
    """
    table.optimize(cleanup_older_than=_KEPT)
    rows = int(table.count_rows())
    if rows >= COLUMNS_INDEXED_FROM:
        there = {column for index in table.list_indices() for column in index.columns}
        for column, kind in _COLUMN_INDEXES.items():
            if column not in there:
                table.create_index(column, config=kind())
    settings = read_settings(folder)
    if rows < INDEXED_FROM and settings is None:
        return f"{rows} rows: compacted; every search compares with all of them."
    if settings is None or rows > _RETRAINED_AT * settings.trained_rows:
        settings = _train(table, rows, distance)
    settings = _checked(table, settings, distance)
    write_text(folder / NAME, json.dumps(asdict(settings), indent=2) + "\n")
    return (
        f"{rows} rows: compacted and indexed; reading {settings.nprobes} of {settings.partitions} "
        f"lists finds {settings.recall:.1%} of the 10 nearest, {settings.filtered_recall:.1%} "
        "in the other light."
    )


def _train(table: Any, rows: int, distance: Distance) -> IndexSettings:
    partitions = max(1, round(rows**0.5))
    lists = IvfRq(
        distance_type=_METRICS[distance],
        num_partitions=partitions,
        num_bits=1,
        sample_rate=_TRAINED_ON,
        max_iterations=_ITERATIONS,
    )
    table.create_index(VECTOR, config=lists, name=INDEX, replace=True)
    return IndexSettings(
        trained_rows=rows, partitions=partitions, nprobes=max(1, partitions // 16), refine=10
    )


def _checked(table: Any, settings: IndexSettings, distance: Distance) -> IndexSettings:
    """The settings with as many lists read, and then candidates compared, as it takes."""
    queries, lights = _sampled(table)
    everywhere, opposite = _exact(table, queries, lights, distance)
    while True:
        recall = _recall(table, settings, queries, [None] * len(queries), everywhere, distance)
        filters = [f"modality = {1 - light}" for light in lights]
        filtered = _recall(table, settings, queries, filters, opposite, distance)
        settings = replace(settings, recall=recall, filtered_recall=filtered)
        if min(recall, filtered) >= RECALL:
            return settings
        if settings.nprobes < settings.partitions:
            more = settings.nprobes * 3 // 2 + 1
            settings = replace(settings, nprobes=min(settings.partitions, more))
        elif settings.refine < _MOST_REFINED:
            settings = replace(settings, refine=2 * settings.refine)
        else:
            return settings


def _sampled(table: Any) -> tuple[NDArray[np.float32], list[int]]:
    """Vectors and modalities of rows drawn from the table, the same ones each time."""
    count = int(table.count_rows())
    chosen = np.random.default_rng(count).choice(count, min(_QUERIES, count), replace=False)
    rows = table.take_offsets(sorted(int(n) for n in chosen)).select([VECTOR, "modality"])
    drawn = rows.to_arrow()
    return _matrix(drawn), drawn.column("modality").to_pylist()


def _exact(
    table: Any, queries: NDArray[np.float32], lights: list[int], distance: Distance
) -> tuple[list[set[str]], list[set[str]]]:
    """Ids of the nearest rows of each query, over all rows and over those of the other light.

    The vectors pass through memory a few thousand at a time.
    """
    nearest = [Nearest(len(queries), _NEAREST, distance) for _ in range(2)]
    light = np.array(lights)[:, None]
    for batch in table.search().select(["id", "modality", VECTOR]).to_batches(8_192):
        vectors, ids = _matrix(batch), batch.column("id").to_pylist()
        nearest[0].update(queries, vectors, ids)
        opposite = np.asarray(batch.column("modality").to_numpy())[None] != light
        nearest[1].update(queries, vectors, ids, opposite)
    everywhere, other_light = ([set(ids) for ids, _ in kept.ranked()] for kept in nearest)
    return everywhere, other_light


def _recall(
    table: Any,
    settings: IndexSettings,
    queries: NDArray[np.float32],
    filters: Sequence[str | None],
    truth: list[set[str]],
    distance: Distance,
) -> float:
    right = wanted = 0
    for query, rendered, expected in zip(queries, filters, truth, strict=True):
        asked = (
            table.search(query, vector_column_name=VECTOR)
            .distance_type(_METRICS[distance])
            .select(["id", "_distance"])
            .nprobes(settings.nprobes)
            .refine_factor(settings.refine)
            .limit(_NEAREST)
        )
        if rendered is not None:
            asked = asked.where(rendered, prefilter=True)
        found = set(asked.to_arrow().column("id").to_pylist())
        right += len(found & expected)
        wanted += len(expected)
    return right / wanted if wanted else 1.0


def _matrix(batch: Any) -> NDArray[np.float32]:
    column = batch.column(VECTOR)
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(len(batch), -1) if len(batch) else flat.reshape(0, 1)
