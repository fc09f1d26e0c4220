"""Maintenance of a LanceDB table: compaction, indexes, and whether the index still finds enough.

The vector index is RaBitQ over inverted lists. A question to it reads `nprobes` of the lists and
compares `refine` times as many candidates as were asked for with their full vectors. How many of
both it takes to find what an exact search finds is measured on rows drawn from the table: over all
rows, among those of the other light, and among those of one camera. The nearest of fewer rows are
further away and more alike: where a filter leaves few, every list is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from lancedb.index import Bitmap, BTree, IvfRq
from numpy.typing import NDArray

from crosslight.errors import GalleryError
from crosslight.files import write_text
from crosslight.gallery.complaints import sentence
from crosslight.gallery.nearest import Nearest
from crosslight.types import Distance

NAME = "index.json"
VECTOR = "vector"
INDEX = "vector_idx"

INDEXED_FROM = 50_000
"""Rows from which a vector index pays; below, comparing with all of them is as quick."""

COLUMNS_INDEXED_FROM = 5_000
RECALL = 0.99
"""Share of the 10 nearest rows that the index must find."""

ALL_LISTS = 1_000_000
"""More than there are; LanceDB does not say how many it has split them into."""

_KEPT = timedelta(hours=1)  # readers may still be at an older version
_RETRAINED_AT = 2.0
_QUERIES = 100
_NEAREST = 10
_LEAST_REFINED = 10
_MOST_REFINED = 80
_ROWS_IN_A_LIST = 4_096  # LanceDB's own aim; it splits a list that outgrows it
_TRAINED_ON = 64  # rows for each list; more changed no recall that was measured
_ITERATIONS = 20
_COLUMN_INDEXES = {
    "id": BTree,
    "pid": BTree,
    "time": BTree,
    "cam": Bitmap,
    "modality": Bitmap,
}
METRICS: dict[Distance, Literal["cosine", "l2", "dot"]] = {
    "cosine": "cosine",
    "euclidean": "l2",
    "dot": "dot",
}


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How the index is asked for one kind of search, and how well it answered.

    Attributes:
        nprobes: Lists that a question reads; `ALL_LISTS` for all.
        refine: Candidates compared exactly, as a multiple of the results asked for.
        recall: Share of the exact 10 nearest found.
    """

    nprobes: int
    refine: int
    recall: float


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """The index, and what each kind of search asks of it.

    Attributes:
        trained_rows: Rows when its lists were made.
        partitions: Lists when they were made.
        everywhere: Without a filter.
        other_light: Among rows of the other modality; for filters that leave many rows.
        one_camera: Among rows of one camera; for filters that leave few.
    """

    trained_rows: int
    partitions: int
    everywhere: Effort
    other_light: Effort
    one_camera: Effort


def read_settings(folder: Path) -> IndexSettings | None:
    """The settings of a store's index, None where it has none.

    Raises:
        GalleryError: Damaged.
    """
    path = folder / NAME
    try:
        return _from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GalleryError(sentence(str(path), error)) from error
    except (ValueError, TypeError, KeyError) as error:
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
        partitions = -(-rows // _ROWS_IN_A_LIST)
        _train(table, partitions, distance)
        trained = rows
    else:
        partitions, trained = settings.partitions, settings.trained_rows
    settings = _measured(table, trained, partitions, distance)
    write_text(folder / NAME, json.dumps(asdict(settings), indent=2) + "\n")
    kinds = {
        "all rows": settings.everywhere,
        "the other light": settings.other_light,
        "one camera": settings.one_camera,
    }
    found = "; ".join(f"{effort.recall:.1%} in {name}" for name, effort in kinds.items())
    return f"{rows} rows: compacted and indexed; finds of the 10 nearest {found}."


def _from_json(content: dict[str, Any]) -> IndexSettings:
    kinds = ("everywhere", "other_light", "one_camera")
    efforts = {name: Effort(**content[name]) for name in kinds}
    for effort in efforts.values():
        if type(effort.nprobes) is not int or type(effort.refine) is not int:
            raise TypeError(f"{effort} holds no whole numbers")
    return IndexSettings(**{**content, **efforts})


def _train(table: Any, partitions: int, distance: Distance) -> None:
    lists = IvfRq(
        distance_type=METRICS[distance],
        num_partitions=partitions,
        num_bits=1,
        sample_rate=_TRAINED_ON,
        max_iterations=_ITERATIONS,
    )
    table.create_index(VECTOR, config=lists, name=INDEX, replace=True)


def _measured(table: Any, trained: int, partitions: int, distance: Distance) -> IndexSettings:
    queries, known = _sampled(table)
    own = known["id"].to_list()
    lights, cams = known["modality"].to_list(), known["cam"].to_list()
    others = [1 - light for light in lights]
    cams = [*cams[1:], *cams[:1]]  # a search asks for another camera than the query's own
    everywhere, other_light, one_camera = _exact(table, queries, own, others, cams, distance)
    fewest_lists = max(1, partitions // 16)
    efforts = [
        _enough(table, fewest, partitions, queries, own, filters, truth, distance)
        for fewest, filters, truth in (
            (fewest_lists, [None] * len(queries), everywhere),
            (fewest_lists, [f"modality = {light}" for light in others], other_light),
            (partitions, [f"cam = {cam}" for cam in cams], one_camera),
        )
    ]
    return IndexSettings(
        trained_rows=trained,
        partitions=partitions,
        everywhere=efforts[0],
        other_light=efforts[1],
        one_camera=efforts[2],
    )


def _enough(
    table: Any,
    fewest: int,
    partitions: int,
    queries: NDArray[np.float32],
    own: list[str],
    filters: Sequence[str | None],
    truth: list[set[str]],
    distance: Distance,
) -> Effort:
    """The least effort from `fewest` lists on that finds enough, or all that there is.

    First as many candidates as it takes when every list is read, with half of what may be missed
    to spare for the lists; then as many lists, found by halving.
    """

    def tried(nprobes: int, refine: int) -> Effort:
        recall = _recall(table, nprobes, refine, queries, own, filters, truth, distance)
        return Effort(nprobes=nprobes, refine=refine, recall=recall)

    most = tried(ALL_LISTS, _LEAST_REFINED)
    while most.recall < (1 + RECALL) / 2 and most.refine < _MOST_REFINED:
        most = tried(ALL_LISTS, 2 * most.refine)
    enough, low, high = most, fewest, partitions
    while low < high:
        middle = (low + high) // 2
        found = tried(middle, most.refine)
        if found.recall >= RECALL:
            enough, high = found, middle
        else:
            low = middle + 1
    return enough


def _sampled(table: Any) -> tuple[NDArray[np.float32], pl.DataFrame]:
    """Vectors of rows drawn from the table, the same ones each time; and what is known of them."""
    count = int(table.count_rows())
    chosen = np.random.default_rng(count).choice(count, min(_QUERIES, count), replace=False)
    rows = table.take_offsets(sorted(int(n) for n in chosen))
    drawn = rows.select([VECTOR, "id", "modality", "cam"]).to_arrow()
    return _matrix(drawn), pl.DataFrame(pl.from_arrow(drawn.drop_columns([VECTOR])))


def _exact(
    table: Any,
    queries: NDArray[np.float32],
    own: list[str],
    lights: list[int],
    cams: list[int],
    distance: Distance,
) -> list[list[set[str]]]:
    """Ids of the nearest rows of each query: of all, of those of a light, of those of a camera.

    A query is not its own neighbour: a search comes with an image that is not there yet.
    The vectors pass through memory a few thousand at a time.
    """
    nearest = [Nearest(len(queries), _NEAREST, distance) for _ in range(3)]
    wanted = {"modality": np.array(lights)[:, None], "cam": np.array(cams)[:, None]}
    for batch in table.search().select(["id", *wanted, VECTOR]).to_batches(8_192):
        vectors, ids = _matrix(batch), batch.column("id").to_pylist()
        others = np.array(ids, dtype=object)[None] != np.array(own, dtype=object)[:, None]
        nearest[0].update(queries, vectors, ids, others)
        for kept, (column, values) in zip(nearest[1:], wanted.items(), strict=True):
            fits = batch.column(column).to_numpy()[None] == values
            kept.update(queries, vectors, ids, fits & others)
    return [[set(ids) for ids, _ in kept.ranked()] for kept in nearest]


def _recall(
    table: Any,
    nprobes: int,
    refine: int,
    queries: NDArray[np.float32],
    own: list[str],
    filters: Sequence[str | None],
    truth: list[set[str]],
    distance: Distance,
) -> float:
    right = wanted = 0
    for query, itself, rendered, expected in zip(queries, own, filters, truth, strict=True):
        asked = (
            table.search(query, vector_column_name=VECTOR)
            .distance_type(METRICS[distance])
            .select(["id", "_distance"])
            .nprobes(nprobes)
            .refine_factor(refine)
            .limit(_NEAREST + 1)
        )
        if rendered is not None:
            asked = asked.where(rendered, prefilter=True)
        found = [i for i in asked.to_arrow().column("id").to_pylist() if i != itself][:_NEAREST]
        right += len(expected.intersection(found))
        wanted += len(expected)
    return right / wanted if wanted else 1.0


def _matrix(batch: Any) -> NDArray[np.float32]:
    column = batch.column(VECTOR)
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return flat.reshape(len(batch), -1) if len(batch) else flat.reshape(0, 1)
