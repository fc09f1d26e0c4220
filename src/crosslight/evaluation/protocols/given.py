"""Scores of what a researcher has at hand: features, or only a matrix of distances."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.data.layouts.sysu_mm01 import INFRARED_CAMERAS
from crosslight.data.table import junk
from crosslight.errors import DataError, ProtocolError
from crosslight.evaluation.features import Features, load_features
from crosslight.evaluation.features.given_arrays import (
    as_array,
    cam_array,
    distance_array,
    id_array,
)
from crosslight.evaluation.protocols.protocols import (
    AP_TEXT,
    CMC_TEXT,
    TOP,
    Protocol,
    get_protocol,
)
from crosslight.evaluation.protocols.scores import Result, cmc_length, per_query, score_ranks
from crosslight.evaluation.protocols.selection import LlcmSelector, RegdbSelector, SysuSelector
from crosslight.evaluation.ranking import (
    Effort,
    Labels,
    Trial,
    rank_distances,
)
from crosslight.evaluation.reranking import Refinement
from crosslight.evaluation.scoring import TRIALS, AveragePrecision, Scoring, check_average_precision
from crosslight.types import UNKNOWN_CAM


def evaluate(
    features: Features | Path | str,
    protocol: str,
    *,
    distance: str = Scoring.distance,
    sampler: str = Scoring.sampler,
    permutations: Path | None = Scoring.permutations,
    average_precision: str = Scoring.average_precision,
    trials: int = TRIALS,
    effort: Effort | None = None,
    refinement: Refinement | None = None,
) -> Result:
    """Scores features by a published protocol.

    Args:
        features: The whole test set, or the file that holds it.
        protocol: A name of `PROTOCOLS`.
        distance: 'cosine', 'euclidean' or 'dot' (larger is nearer).
        sampler: 'seeded' or 'official', for the protocols that draw galleries.
        permutations: `rand_perm_cam.mat` or the root of SYSU-MM01, for 'official'.
        average_precision: 'rectangular' or 'trapezoid'.
        trials: How many galleries are drawn.
        effort: Block size; changes no result.
        refinement: Re-ranking or query expansion; the result bears another name then.

    Raises:
        DataError: The file cannot be used.
        ProtocolError: The features cannot be scored by this protocol.
        ConfigError: A name or an option is wrong.
    """
    chosen = get_protocol(protocol)
    if isinstance(features, str | PathLike):
        features = load_features(features)
    elif not isinstance(features, Features):
        raise DataError(
            f"features is a {type(features).__name__}, expected Features, which say who is on "
            "each row (crosslight.Features(feats=..., pids=..., cams=...)), or a file of them."
        )
    return chosen.evaluate(
        features,
        distance=distance,
        sampler=sampler,
        permutations=permutations,
        average_precision=average_precision,
        trials=trials,
        effort=effort,
        refinement=refinement,
    )


def score_distances(
    dist: Any,
    q_pids: Any,
    g_pids: Any,
    q_cams: Any = None,
    g_cams: Any = None,
    *,
    protocol: str,
    average_precision: str = Scoring.average_precision,
) -> Result:
    """Scores a matrix of distances by the rules of a protocol.

    These are its camera rule, and whether rank-k counts images or people. Nothing is selected or
    drawn: rows are queries of the protocol and columns its gallery; where it draws galleries, as
    SYSU-MM01's does, they are one drawn gallery and the result is that of one trial. Cameras that
    contradict this, or more images of a camera than are drawn, are refused. Rows and columns of
    pid -1 are junk and left out.

    Args:
        dist: `(Q, G)`, smaller is nearer; numpy, lists or a torch tensor.
        q_pids: `(Q,)` people of the rows.
        g_pids: `(G,)` people of the columns; their order decides between equal distances.
        q_cams: `(Q,)` cameras, needed where the protocol has a camera rule.
        g_cams: `(G,)`.
        protocol: A name of `PROTOCOLS`.
        average_precision: 'rectangular' or 'trapezoid'.

    Raises:
        DataError: Something is not an array of the right kind.
        ProtocolError: Shapes and lengths do not fit, cameras are missing or on a side where the
            protocol has none of them, nothing was drawn, or nothing can be scored.
        ConfigError: A name is unknown.
    """
    chosen, area = get_protocol(protocol), check_average_precision(average_precision)
    dist = _matrix(dist)
    query = _labels(chosen, "q", q_pids, q_cams, dist.shape[0], "row")
    gallery = _labels(chosen, "g", g_pids, g_cams, dist.shape[1], "column")
    trial = _known(query, gallery)
    _check_sides(chosen, query.cams[trial.queries], gallery.cams[trial.gallery])
    if chosen.exclusion.reads_cams:
        _check_cams(chosen, "q_cams", query.cams, trial.queries)
        _check_cams(chosen, "g_cams", gallery.cams, trial.gallery)
    _check_drawn(chosen, query, gallery, trial)
    (ranks,) = rank_distances(
        dist, query, gallery, [trial], exclusion=chosen.exclusion, cmc=chosen.cmc, top=TOP
    )
    length = cmc_length(chosen.cmc, gallery.pids[trial.gallery])
    scores = score_ranks(ranks, cmc=chosen.cmc, average_precision=area, length=length)
    return Result(
        protocol=chosen.name,
        distance="given",
        sampler=None,
        rules=_rules(chosen, trial, area),
        trials=(scores,),
        per_query=per_query(
            ranks,
            trial,
            query_pids=query.pids,
            query_rows=np.arange(len(query.pids)),
            gallery_pids=gallery.pids,
            cmc=chosen.cmc,
            average_precision=area,
        ),
        path=ranks.path,
    )


def _matrix(dist: Any) -> npt.NDArray[Any]:
    matrix = distance_array("dist", dist)
    if matrix.ndim != 2:
        raise ProtocolError(
            f"dist has shape {matrix.shape}, expected (Q, G), a row per query and a column per "
            "gallery image; reshape it."
        )
    return matrix


def _known(query: Labels, gallery: Labels) -> Trial:
    trial = Trial(
        queries=np.flatnonzero(~junk(query.pids)), gallery=np.flatnonzero(~junk(gallery.pids))
    )
    if not len(trial.queries) or not len(trial.gallery):
        raise ProtocolError(
            f"dist has {len(trial.queries)} queries and {len(trial.gallery)} gallery images that "
            "are not junk (pid -1), so there is nothing to rank; give the numbers of the people."
        )
    return trial


def _check_cams(
    protocol: Protocol, name: str, cams: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
) -> None:
    unknown = rows[cams[rows] == UNKNOWN_CAM]
    if len(unknown):
        raise ProtocolError(
            f"{name}[{unknown[0]}] is {UNKNOWN_CAM}, no camera, but the {protocol.name} protocol "
            "leaves out images by camera; give a number for each, or use protocol='any-camera'."
        )


def _check_sides(
    protocol: Protocol, asking: npt.NDArray[np.int64], answering: npt.NDArray[np.int64]
) -> None:
    """Refuses cameras that do not stand where the protocol has them, as when all ask all.

    A camera of LLCM sees in both lights and may stand anywhere.
    """
    selector = protocol.selector
    remedy = "select the rows and columns first, or give the features to cl.evaluate, which does"
    if isinstance(selector, SysuSelector):
        for name, what, found, own in (
            ("q_cams", "queries", asking, INFRARED_CAMERAS),
            ("g_cams", "gallery", answering, selector.gallery_cams),
        ):
            strange = np.setdiff1d(found, own)
            if len(strange):
                raise ProtocolError(
                    f"{name} holds the cameras {_listed(strange)}, but the {what} of the "
                    f"{protocol.name} protocol {'are' if what == 'queries' else 'is'} of the "
                    f"cameras {_listed(own)} alone; {remedy}."
                )
    elif isinstance(selector, RegdbSelector):
        both = np.setdiff1d(np.intersect1d(asking, answering), UNKNOWN_CAM)
        if len(both):
            raise ProtocolError(
                f"q_cams and g_cams both hold the cameras {_listed(both)}, but in the "
                f"{protocol.name} protocol one light asks the other, and a camera of RegDB sees "
                f"one; {remedy}, or leave the cameras out where they are not known."
            )


def _check_drawn(protocol: Protocol, query: Labels, gallery: Labels, trial: Trial) -> None:
    """Refuses a side that was not drawn, where the protocol draws some images of each camera."""
    selector = protocol.selector
    if isinstance(selector, SysuSelector):
        side, labels, rows, shots = "g", gallery, trial.gallery, selector.shots
    elif isinstance(selector, LlcmSelector) and selector.drawn == "gallery":
        side, labels, rows, shots = "g", gallery, trial.gallery, 1
    elif isinstance(selector, LlcmSelector):
        side, labels, rows, shots = "q", query, trial.queries, 1
    else:
        return
    rows = rows[labels.cams[rows] != UNKNOWN_CAM]
    groups, counts = np.unique(
        np.stack([labels.pids[rows], labels.cams[rows]]), axis=1, return_counts=True
    )
    if len(rows) and counts.max() > shots:
        most = int(counts.argmax())
        pid, cam = groups[:, most]
        raise ProtocolError(
            f"{side}_pids and {side}_cams hold {counts[most]} images of person {pid} by camera "
            f"{cam}, but the {protocol.name} protocol draws {shots} per person and camera; draw "
            "them first, or give the features to cl.evaluate, which does."
        )


def _listed(cams: Iterable[int]) -> str:
    return ", ".join(str(int(cam)) for cam in cams)


def _rules(protocol: Protocol, trial: Trial, area: AveragePrecision) -> tuple[str, ...]:
    return (
        f"queries: {len(trial.queries)} rows, gallery: {len(trial.gallery)} columns of a given "
        "matrix; junk (pid -1) left out",
        f"left out: {protocol.exclusion.text}",
        CMC_TEXT[protocol.cmc],
        AP_TEXT[area],
        "equal distances: order of the columns",
    )


def _labels(protocol: Protocol, side: str, pids: Any, cams: Any, count: int, what: str) -> Labels:
    people = id_array(f"{side}_pids", pids, None)
    _check_length(f"{side}_pids", len(people), count, what)
    if cams is None and protocol.exclusion.reads_cams:
        raise ProtocolError(
            f"{side}_cams is not given, but the {protocol.name} protocol leaves out images by "
            "camera; give q_cams and g_cams, or use protocol='any-camera'."
        )
    if cams is not None:
        cams = np.atleast_1d(as_array(f"{side}_cams", cams))
        _check_length(f"{side}_cams", len(cams), count, what)
    return Labels(pids=people, cams=cam_array(f"{side}_cams", cams, count))


def _check_length(name: str, found: int, expected: int, what: str) -> None:
    if found != expected:
        raise ProtocolError(
            f"{name} has {found} entries, but dist has {expected} {what}s; give one per {what}, in "
            "their order, or transpose dist."
        )
