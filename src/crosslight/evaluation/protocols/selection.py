"""Which rows of a test set are queries, which are gallery, trial by trial, per data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from crosslight.data.layouts import sysu_mm01
from crosslight.data.table import junk
from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols.samplers import (
    SAMPLER_TEXT,
    group_images,
    load_permutations,
    numbered_images,
    official_gallery,
    people_by_name,
    seeded_gallery,
)
from crosslight.evaluation.ranking import Trial
from crosslight.evaluation.ranking.distances import rows_to_average
from crosslight.evaluation.scoring import TRIALS, Sampler, Scoring
from crosslight.types import UNKNOWN_MODALITY, Distance, Modality

IntArray = npt.NDArray[np.int64]

_FOLDER_SPLITS = {"query": "query", "bounding_box_test": "gallery", "gt_bbox": "multi-query"}


@dataclass(frozen=True, kw_only=True)
class Draw:
    """How galleries are drawn, and the distance, on which queries that are means of rows depend."""

    distance: Distance = Scoring.distance
    sampler: Sampler = Scoring.sampler
    permutations: Path | None = Scoring.permutations
    trials: int = TRIALS


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The rows that a protocol compares.

    Attributes:
        trials: Rows of `queries` against rows of the features; the order of a gallery is the order
            of equal distances.
        queries: The table that query rows refer to: the features, or features pooled from them.
        query_rows: The row of the features behind each row of `queries`.
        rules: What was selected, in words.
        order: Which order decides between equal distances, in words.
        sampler: The sampler used, None where nothing is drawn.
    """

    trials: tuple[Trial, ...]
    queries: Features
    query_rows: IntArray
    rules: tuple[str, ...]
    order: str
    sampler: Sampler | None = None


class Selector(Protocol):
    """Chooses the rows of a protocol."""

    def select(self, features: Features, draw: Draw) -> Selection:
        """The rows of each trial."""
        ...


@dataclass(frozen=True, kw_only=True)
class SplitSelector:
    """Queries and gallery are named by `split`, or by the folders of Market-1501's layout.

    Attributes:
        pool_queries: Replace each query by the mean of the 'multi-query' rows of its person and
            camera.
    """

    pool_queries: bool = False

    def select(self, features: Features, draw: Draw) -> Selection:
        """Rows of split 'query' against rows of split 'gallery'; one trial."""
        split = _split_of(features)
        shown = ~junk(features.pids)
        queries = np.flatnonzero((split == "query") & shown)
        gallery = np.flatnonzero((split == "gallery") & shown)
        for name, rows in (("query", queries), ("gallery", gallery)):
            if not len(rows):
                raise ProtocolError(
                    f"No row has split '{name}' (found: {_listed(split)}); set it to 'query' or "
                    "'gallery' in each row."
                )
        left_out = int(np.sum(~shown & (split == "gallery")))
        rules = [
            f"queries: the {len(queries)} rows of split 'query'",
            f"gallery: the {len(gallery)} rows of split 'gallery'; {left_out} junk rows (pid -1) "
            f"left out, {int(np.sum(features.pids[gallery] == 0))} rows of pid 0 kept as "
            "distractors",
        ]
        table, query_rows = features, np.arange(len(features))
        if self.pool_queries:
            table, query_rows = _pooled(features, split, queries, draw.distance), queries
            queries = np.arange(len(queries))
            unit = "unit-length " if draw.distance == "cosine" else ""
            rules.append(
                f"multi-query: a query is the mean of the {unit}'multi-query' rows of its person "
                "and camera"
            )
        return Selection(
            trials=(Trial(queries=queries, gallery=gallery),),
            queries=table,
            query_rows=query_rows,
            rules=tuple(rules),
            order="row order of the gallery",
        )


@dataclass(frozen=True, kw_only=True)
class SysuSelector:
    """SYSU-MM01: every infrared image against a drawn gallery of visible cameras."""

    gallery_cams: tuple[int, ...]
    shots: int

    def select(self, features: Features, draw: Draw) -> Selection:
        """The infrared test images against one drawn gallery per trial."""
        rows, left_out = _test_rows(features)
        _check_sysu(features, rows)
        cams = features.cams[rows]
        queries = rows[np.isin(cams, sysu_mm01.INFRARED_CAMERAS)]
        groups = group_images(features, rows[np.isin(cams, self.gallery_cams)])
        numbers = ", ".join(map(str, self.gallery_cams))
        _check_some(queries, "of the infrared cameras 3 and 6")
        _check_some(list(groups), f"of the gallery cameras {numbers}")
        if draw.sampler == "official":
            if draw.permutations is None:
                raise ConfigError(
                    "The official sampler needs rand_perm_cam.mat; give it with --permutations, "
                    "or use --sampler seeded."
                )
            permutations = load_permutations(draw.permutations)
            images = numbered_images(features, groups, self.gallery_cams)
            galleries = [
                official_gallery(images, self.gallery_cams, permutations, trial=t, shots=self.shots)
                for t in range(draw.trials)
            ]
            order = "gallery order, camera by camera, then person by person"
        else:
            galleries = [
                seeded_gallery(groups, self.gallery_cams, trial=t, shots=self.shots)
                for t in range(draw.trials)
            ]
            order = "gallery order, person by person, then camera by camera"
        people = len(people_by_name(groups))
        short = sum(len(images) < self.shots for images in groups.values())
        return Selection(
            trials=tuple(Trial(queries=queries, gallery=gallery) for gallery in galleries),
            queries=features,
            query_rows=np.arange(len(features)),
            rules=(
                f"queries: all {len(queries)} infrared test images (cameras 3 and 6)",
                f"gallery: {self.shots} image{'s' if self.shots > 1 else ''} per person and camera "
                f"of cameras {numbers}: {len(galleries[0])} images of {people} people per trial"
                + (f"; {short} of them have fewer images and give all" if short else ""),
                *left_out,
                _file_order(features),
            ),
            order=order,
            sampler=draw.sampler,
        )


@dataclass(frozen=True, kw_only=True)
class RegdbSelector:
    """RegDB: every test image of one light against every test image of the other."""

    query_modality: Modality

    def select(self, features: Features, draw: Draw) -> Selection:  # noqa: ARG002
        """All test images, one trial."""
        rows, left_out = _test_rows(features)
        queries, gallery = _by_light(features, rows, self.query_modality)
        return Selection(
            trials=(Trial(queries=queries, gallery=gallery),),
            queries=features,
            query_rows=np.arange(len(features)),
            rules=(
                f"queries: all {len(queries)} {self.query_modality.name.lower()} test images",
                f"gallery: all {len(gallery)} test images of the other light",
                *left_out,
                "one split of RegDB; a published figure is the mean over ten models on ten splits",
            ),
            order="row order of the gallery",
        )


@dataclass(frozen=True, kw_only=True)
class LlcmSelector:
    """LLCM: one light against the other, one side drawn per person and camera.

    Attributes:
        query_modality: The light of the queries.
        drawn: Which side is drawn. 'gallery' is the literal protocol; 'query' is what the data
            set's own code computes under the name visible-to-infrared.
    """

    query_modality: Modality
    drawn: Literal["gallery", "query"] = "gallery"

    def select(self, features: Features, draw: Draw) -> Selection:
        """One light against the other, one side drawn per trial."""
        if draw.sampler != "seeded":
            raise ConfigError(
                "LLCM has no official permutations; leave --sampler out or use --sampler seeded."
            )
        rows, left_out = _test_rows(features)
        queries, gallery = _by_light(features, rows, self.query_modality)
        drawn_rows, whole = (gallery, queries) if self.drawn == "gallery" else (queries, gallery)
        groups = group_images(features, drawn_rows)
        cams = sorted({cam for cam, _ in groups})
        draws = [seeded_gallery(groups, cams, trial=t, shots=1) for t in range(draw.trials)]
        whole = _person_major(features, whole)
        if self.drawn == "gallery":
            trials = tuple(Trial(queries=whole, gallery=drawn) for drawn in draws)
        else:
            trials = tuple(Trial(queries=drawn, gallery=whole) for drawn in draws)
        light = self.query_modality.name.lower()
        one = f"1 image per person and camera ({len(draws[0])} per trial)"
        everything = f"all {len(whole)} test images"
        query_text, gallery_text = (
            (everything, one) if self.drawn == "gallery" else (one, everything)
        )
        rules = [
            f"queries: {light}, {query_text}",
            f"gallery: the other light, {gallery_text}",
            *left_out,
            _file_order(features),
        ]
        if self.drawn == "query":
            rules.append(
                "roles as in the data set's own code: the drawn side asks; not comparable with "
                "figures of a drawn gallery"
            )
        return Selection(
            trials=trials,
            queries=features,
            query_rows=np.arange(len(features)),
            rules=tuple(rules),
            order="gallery order, person by person, then camera by camera",
            sampler="seeded",
        )


def sampler_rule(selection: Selection) -> str:
    """The sampler in words."""
    if selection.sampler is None:
        return "sampler: none, nothing is drawn"
    return f"sampler: {SAMPLER_TEXT[selection.sampler]}; {len(selection.trials)} trials"


def _split_of(features: Features) -> npt.NDArray[np.str_]:
    if features.split is not None:
        return features.split
    if features.paths is not None:
        folders = [path.replace("\\", "/").split("/")[:-1] for path in features.paths.tolist()]
        split = np.array([_FOLDER_SPLITS.get(parts[-1] if parts else "", "") for parts in folders])
        if np.all(split != ""):
            return split
    raise ProtocolError(
        "The features do not say which rows are queries; add an array 'split' with 'query' or "
        "'gallery' for each row."
    )


def _listed(words: npt.NDArray[np.str_]) -> str:
    found = np.unique(words).tolist()
    return ", ".join(f"'{word}'" for word in found[:6]) + (", ..." if len(found) > 6 else "")


def _test_rows(features: Features) -> tuple[IntArray, tuple[str, ...]]:
    """The rows that are no junk, and how many are, in words where there are any."""
    tested = np.ones(len(features), dtype=bool)
    if features.split is not None and np.any(features.split == "test"):
        tested = features.split == "test"
    left_out = int(np.sum(tested & junk(features.pids)))
    told = (f"junk: {left_out} rows (pid -1) left out",) if left_out else ()
    return np.flatnonzero(tested & ~junk(features.pids)), told


def _check_some(rows: Sequence[object] | IntArray, which: str) -> None:
    if not len(rows):
        raise ProtocolError(
            f"No test image is {which}; give the features of the whole test set, all cameras and "
            "both lights."
        )


def _check_sysu(features: Features, rows: IntArray) -> None:
    cams, modality = features.cams[rows], features.modality[rows]
    strange = rows[~np.isin(cams, sysu_mm01.CAMERAS)]
    if len(strange):
        raise ProtocolError(
            f"Row {strange[0]} has camera {features.cams[strange[0]]}, but SYSU-MM01 has the "
            "cameras 1 to 6; add an array 'cams', or 'paths' such as cam1/0006/0025.jpg."
        )
    infrared = np.isin(cams, sysu_mm01.INFRARED_CAMERAS).astype(np.uint8)
    wrong = rows[(modality != UNKNOWN_MODALITY) & (modality != infrared)]
    if len(wrong):
        row = wrong[0]
        raise ProtocolError(
            f"Row {row} has camera {features.cams[row]} and modality {features.modality[row]}, but "
            "in SYSU-MM01 cameras 3 and 6 are infrared (1) and the others visible (0); correct "
            "'cams' or 'modality'."
        )


def _by_light(
    features: Features, rows: IntArray, query_modality: Modality
) -> tuple[IntArray, IntArray]:
    modality = features.modality[rows]
    if np.any(modality == UNKNOWN_MODALITY):
        raise ProtocolError(
            "The features do not say which rows are infrared; add an array 'modality' with "
            "0 (visible) or 1 (infrared) for each row."
        )
    queries, gallery = rows[modality == query_modality], rows[modality != query_modality]
    _check_some(queries, query_modality.name.lower())
    _check_some(gallery, Modality(1 - query_modality).name.lower())
    return queries, gallery


def _person_major(features: Features, rows: IntArray) -> IntArray:
    groups = group_images(features, rows)
    keys = sorted(groups, key=lambda key: (f"{key[1]:04d}", key[0]))
    return np.concatenate([groups[key] for key in keys])


def _file_order(features: Features) -> str:
    if features.paths is None:
        return "images of a person and camera are counted in row order (the features hold no paths)"
    return "images of a person and camera are counted in the order of their file names"


def _pooled(
    features: Features, split: npt.NDArray[np.str_], queries: IntArray, distance: Distance
) -> Features:
    members: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(split == "multi-query").tolist():
        members.setdefault((int(features.pids[row]), int(features.cams[row])), []).append(row)
    keys = [(int(features.pids[row]), int(features.cams[row])) for row in queries.tolist()]
    alone = [key for key in keys if key not in members]
    if alone:
        pid, cam = alone[0]
        raise ProtocolError(
            f"{len(alone)} of {len(queries)} queries have no row of split 'multi-query' (the first "
            f"is person {pid}, camera {cam}); add the features of gt_bbox with this split, or use "
            "--protocol market1501."
        )
    means = np.empty((len(queries), features.feats.shape[1]))
    for i, key in enumerate(keys):
        means[i] = rows_to_average(features.feats[members[key]], distance).mean(axis=0)
    return Features(
        feats=means,
        pids=features.pids[queries],
        cams=features.cams[queries],
        modality=features.modality[queries],
    )
