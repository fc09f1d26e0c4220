"""Learns the curves of a calibration from embeddings of known people.

Pairs are counted in narrow bins of distance; everything after works on the counts. Two shapes are
tried, a logistic function of the distance and an isotonic one; people are split into two halves,
each judges what the other taught, and the shape that gives the lower log loss is kept. The
reliability that is reported comes from these judgements, never from people who taught.

Same-person pairs of one camera are left out: they are often of the same moment, and easier than
what a search across cameras meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.data.table import junk
from crosslight.errors import DataError
from crosslight.gallery.calibration import Calibration, Curve
from crosslight.gallery.store import prepared
from crosslight.parts import named_if_missing
from crosslight.types import UNKNOWN_CAM, Distance

BINS = 1_000
KNOTS = 64
MOST_IMAGES = 6_000
FEWEST_SAME = 20
FEWEST_PEOPLE = 4

FloatArray = NDArray[np.float64]
Groups = list[tuple[FloatArray, NDArray[np.bool_]]]
"""Distances of pairs, and which of them show one person: of everybody, then of each half."""

Shape = Callable[["_Counts"], FloatArray]


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """Pairs by distance: centres of the bins and how many of each sort are in them."""

    centres: FloatArray
    same: FloatArray
    different: FloatArray


def fit_calibration(
    feats: NDArray[Any],
    pids: NDArray[np.int64],
    cams: NDArray[np.int64],
    modality: NDArray[np.uint8],
    *,
    distance: Distance,
    false_match_rate: float,
    data: str,
    prior: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Fits within and across light separately.

    Args:
        feats: (N, D) embeddings.
        pids: (N,) people; rows below 0 are left out.
        cams: (N,) cameras.
        modality: (N,) `Modality`.
        distance: How embeddings are compared.
        false_match_rate: Share of different-person pairs that the thresholds let pass.
        data: Name of the data.
        prior: Share of same-person pairs that probabilities assume; None: that of the data.
        seed: Decides the halves, and the images where there are more than `MOST_IMAGES`.

    Raises:
        DataError: Too few people or pairs.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(~junk(pids))
    if len(known) > MOST_IMAGES:
        known = np.sort(rng.choice(known, MOST_IMAGES, replace=False))
    pids, cams, modality = pids[known], cams[known], modality[known]
    vectors = prepared(feats[known], distance)
    people = np.unique(pids)
    if len(people) < FEWEST_PEOPLE:
        raise DataError(
            f"{len(people)} people are too few to calibrate on; give data of {FEWEST_PEOPLE} or "
            "more, best of hundreds."
        )
    half = np.isin(pids, rng.permutation(people)[: len(people) // 2])
    between = _distances(vectors, distance)
    same_light = modality[:, None] == modality
    within, across = (
        _curve(groups, false_match_rate, prior) if groups else None
        for groups in _pairs(between, pids, cams, half, (same_light, ~same_light))
    )
    if within is None and across is None:
        raise DataError(
            f"Fewer than {FEWEST_SAME} pairs of images show the same person on two cameras; give "
            "data in which people are seen by several cameras."
        )
    return Calibration(
        false_match_rate=false_match_rate,
        data=data,
        people=len(people),
        within=within,
        across=across,
    )


def _pairs(
    between: NDArray[np.float32],
    pids: NDArray[np.int64],
    cams: NDArray[np.int64],
    half: NDArray[np.bool_],
    kinds: Sequence[NDArray[np.bool_]],
) -> Iterator[Groups | None]:
    """For each kind of pairs those of everybody and of each half, None where too few are alike.

    Args:
        between: (N, N) distances.
        pids: (N,) people.
        cams: (N,) cameras; images of a person by one camera are no pair.
        half: (N,) who belongs to the first half of the people.
        kinds: (N, N) each, which pairs are of the kind.
    """
    same_person = pids[:, None] == pids
    same_camera = (cams[:, None] == cams) & (cams[:, None] != UNKNOWN_CAM)
    once = np.triu(np.ones(between.shape, dtype=bool), 1)
    usable = once & ~(same_person & same_camera)
    for kind in kinds:
        pairs = usable & kind
        if (pairs & same_person).sum() < FEWEST_SAME:
            yield None
            continue
        halves = [pairs & inside[:, None] & inside for inside in (half, ~half)]
        yield [(between[p], same_person[p]) for p in (pairs, *halves)]


def _curve(
    groups: Groups,
    false_match_rate: float,
    prior: float | None,
) -> Curve:
    """From the pairs of everybody and of the two halves."""
    distances, same = groups[0]
    impostors = np.sort(distances[~same])
    if false_match_rate * len(impostors) < 1:
        raise DataError(
            f"{len(impostors)} pairs of different people cannot show a false-match rate of "
            f"{false_match_rate:g}; say --false-match-rate {10 / max(1, len(impostors)):.2g} or "
            "more, or give more data."
        )
    edges = np.linspace(distances.min(), distances.max() + 1e-9, BINS + 1)
    everybody, *halves = [_counts(edges, *group) for group in groups]
    share = float(same.mean()) if prior is None else prior
    judged = {name: _judge(shape, halves) for name, shape in SHAPES.items()}
    name = min(judged, key=lambda key: judged[key][0])
    knots = np.unique(np.linspace(0, BINS - 1, KNOTS).round().astype(int))
    ratios = SHAPES[name](everybody)
    threshold = float(impostors[int(false_match_rate * len(impostors)) - 1])
    return Curve(
        fit=name,
        distances=tuple(everybody.centres[knots].tolist()),
        log_ratios=tuple(np.minimum.accumulate(ratios[knots]).tolist()),
        prior=share,
        threshold=threshold,
        missed=float((distances[same] > threshold).mean()),
        same=int(same.sum()),
        different=int((~same).sum()),
        log_loss=judged[name][0],
        reliability=judged[name][1],
    )


def _judge(
    shape: Shape, halves: list[_Counts]
) -> tuple[float, tuple[tuple[float, float, int], ...]]:
    """Log loss, and what was said against what was true, each half judging the other's lesson."""
    said: list[FloatArray] = []
    same: list[FloatArray] = []
    count: list[FloatArray] = []
    for teacher, judge in (halves, halves[::-1]):
        if not teacher.same.sum() or not teacher.different.sum():
            continue
        # Half of the people have a larger share of same-person pairs than all of them.
        prior = judge.same.sum() / (judge.same.sum() + judge.different.sum())
        if not 0 < prior < 1:
            continue
        odds = shape(teacher) + np.log(prior / (1 - prior))
        said.append(1 / (1 + np.exp(-np.clip(odds, -50, 50))))
        same.append(judge.same)
        count.append(judge.same + judge.different)
    if not said:
        return np.inf, ()
    p, s, n = (np.concatenate(parts) for parts in (said, same, count))
    q = np.clip(p, 1e-12, 1 - 1e-12)
    loss = float(-(s * np.log(q) + (n - s) * np.log(1 - q)).sum() / max(n.sum(), 1))
    tenth = np.minimum((p * 10).astype(int), 9)
    lines = []
    for number in range(10):
        here = (tenth == number) & (n > 0)
        pairs = n[here].sum()
        if pairs:
            mean = float((p[here] * n[here]).sum() / pairs)
            lines.append((mean, float(s[here].sum() / pairs), int(pairs)))
    return loss, tuple(lines)


def _logistic(counts: _Counts) -> FloatArray:
    """Log ratio as a straight line in the distance."""
    with named_if_missing():
        from sklearn.linear_model import LogisticRegression

    x = np.concatenate([counts.centres, counts.centres])[:, None]
    mean, scale = float(x.mean()), float(x.std()) or 1.0
    y = np.repeat([1, 0], len(counts.centres))
    weight = np.concatenate(
        [counts.same / counts.same.sum(), counts.different / counts.different.sum()]
    )
    model = LogisticRegression(C=1e6).fit((x - mean) / scale, y, sample_weight=weight)
    slope = min(float(model.coef_[0, 0]), 0.0)  # a larger distance never speaks for the same person
    line: FloatArray = slope * (counts.centres - mean) / scale + float(model.intercept_[0])
    return line


def _isotonic(counts: _Counts) -> FloatArray:
    """Log ratio as falling steps; a step's own counts, smoothed, bound what it may claim."""
    with named_if_missing():
        from sklearn.isotonic import IsotonicRegression

    same, different = counts.same.sum(), counts.different.sum()
    weight = counts.same / same + counts.different / different
    seen = weight > 0
    posterior = (counts.same[seen] / same) / weight[seen]
    fitted = IsotonicRegression(increasing=False).fit_transform(
        counts.centres[seen], posterior, sample_weight=weight[seen]
    )
    _, step = np.unique(-fitted, return_inverse=True)
    s = np.bincount(step, counts.same[seen])[step]
    d = np.bincount(step, counts.different[seen])[step]
    ratios = np.log((s + 0.5) / (same + 1)) - np.log((d + 0.5) / (different + 1))
    ratios = np.minimum.accumulate(ratios)
    return np.interp(counts.centres, counts.centres[seen], ratios)


SHAPES: dict[str, Shape] = {"logistic": _logistic, "isotonic": _isotonic}


def _counts(edges: FloatArray, distances: FloatArray, same: NDArray[np.bool_]) -> _Counts:
    return _Counts(
        centres=(edges[:-1] + edges[1:]) / 2,
        same=np.histogram(distances[same], edges)[0].astype(np.float64),
        different=np.histogram(distances[~same], edges)[0].astype(np.float64),
    )


def _distances(vectors: NDArray[np.float32], distance: Distance) -> NDArray[np.float32]:
    """(N, N), as stores give them."""
    products = vectors @ vectors.T
    if distance == "dot":
        found = -products
    elif distance == "cosine":
        found = np.clip(1 - products, 0, 2)
    else:
        squares = np.square(vectors).sum(axis=1)
        found = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0))
    return np.asarray(found, dtype=np.float32)
