"""Learns the curves of a calibration from embeddings of known people.

Pairs are counted in narrow bins of distance; most of what follows works on the counts. Two shapes
are tried, a logistic function of the distance and an isotonic one; people are split into folds,
each pair is judged by what the people of the folds taught that neither of its people is in, and the
shape is kept that does better where it says 50 % or more. What is reported, reliability and the
error among such pairs, comes from these judgements, never from people who taught.

Same-person pairs of one camera are left out: they are often of the same moment, and easier than
what a search across cameras meets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.data.table import junk
from crosslight.errors import DataError
from crosslight.gallery.calibration.calibration import Calibration, Curve, SurePairs
from crosslight.gallery.calibration.pairs import (
    FloatArray,
    Pairs,
    distances_between,
    drawn_people,
    pairs_of_lights,
)
from crosslight.gallery.calibration.shapes import SHAPES, Counts, Shape, probabilities
from crosslight.gallery.stores.store import prepared
from crosslight.types import Distance

BINS = 1_000
KNOTS = 64
FOLDS = 8
MOST_IMAGES = 6_000
FEWEST_SAME = 20
FEWEST_PEOPLE = 4
SURE = 0.5
FEWEST_SURE_PEOPLE = 10
"""People behind pairs that are said to be sure, below which no interval is given."""

_DRAWS = 1_000
_CURVES = 200
_MOST_REDRAWN = 500_000
_INTERVAL = (0.025, 0.975)


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
        seed: Decides the folds, what is drawn again, and the images where there are more than
            `MOST_IMAGES`.

    Raises:
        DataError: Too few people or pairs.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(~junk(pids))
    if len(known) > MOST_IMAGES:
        known = np.sort(rng.choice(known, MOST_IMAGES, replace=False))
    pids, cams, modality = pids[known], cams[known], modality[known]
    vectors = prepared(feats[known], distance)
    people = len(np.unique(pids))
    if people < FEWEST_PEOPLE:
        raise DataError(
            f"{people} people are too few to calibrate on; give data of {FEWEST_PEOPLE} or "
            "more, best of hundreds."
        )
    between = distances_between(vectors, vectors, distance)
    same_light = modality[:, None] == modality
    within, across = (
        None if pairs.same.sum() < FEWEST_SAME else curve_of(pairs, false_match_rate, prior, seed)
        for pairs in pairs_of_lights(between, pids, cams, (same_light, ~same_light))
    )
    if within is None and across is None:
        raise DataError(
            f"Fewer than {FEWEST_SAME} pairs of images show the same person on two cameras; give "
            "data in which people are seen by several cameras."
        )
    return Calibration(
        false_match_rate=false_match_rate,
        data=data,
        people=people,
        within=within,
        across=across,
    )


def curve_of(
    pairs: Pairs, false_match_rate: float, prior: float | None = None, seed: int = 0
) -> Curve:
    """The curve of one kind of pairs, its band, and how it did on people left out.

    Args:
        pairs: Of the kind, with some of both sorts.
        false_match_rate: Share of different-person pairs that the threshold lets pass.
        prior: Share of same-person pairs; None: that of the pairs.
        seed: Decides the folds and what is drawn again.

    Raises:
        DataError: Too few pairs of different people for the rate.
    """
    distances, same = pairs.distances, pairs.same
    impostors = np.sort(distances[~same])
    if false_match_rate * len(impostors) < 1:
        raise DataError(
            f"{len(impostors)} pairs of different people cannot show a false-match rate of "
            f"{false_match_rate:g}; say --false-match-rate {10 / max(1, len(impostors)):.2g} or "
            "more, or give more data."
        )
    edges = np.linspace(distances.min(), distances.max() + 1e-9, BINS + 1)
    place = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, BINS - 1)
    share = float(same.mean()) if prior is None else prior
    folds = _folds(pairs, place, edges, seed)
    judged = {name: _judged(shape, folds, share) for name, shape in SHAPES.items()}
    name = min(judged, key=lambda key: judged[key].sure_loss)
    best = judged[name]
    ratios = SHAPES[name](_counts(edges, place, same), share)
    knots = np.unique(np.linspace(0, BINS - 1, KNOTS).round().astype(int))
    low, high = _band(SHAPES[name], pairs, place, edges, share, seed)
    threshold = float(impostors[int(false_match_rate * len(impostors)) - 1])
    return Curve(
        fit=name,
        distances=tuple(((edges[:-1] + edges[1:]) / 2)[knots].tolist()),
        log_ratios=_falling(ratios[knots]),
        low_ratios=_falling(low[knots]),
        high_ratios=_falling(high[knots]),
        prior=share,
        threshold=threshold,
        missed=float((distances[same] > threshold).mean()),
        same=int(same.sum()),
        different=int((~same).sum()),
        log_loss=best.log_loss,
        reliability=best.reliability,
        sure=_sure(pairs, place, folds, best.said, share, seed),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Folds:
    """Pairs by the folds that their people are in, and by distance.

    Attributes:
        cell: (N,) of each pair, which two folds it is of: a number below C.
        teach: Of each cell, the pairs of people outside of its folds.
        judge: Of each cell, its pairs.
    """

    cell: NDArray[np.int64]
    teach: tuple[Counts, ...]
    judge: tuple[Counts, ...]

    def weights(self, prior: float) -> tuple[float, float]:
        """What a same-person pair and another one count for, so that all together count for 1."""
        same = sum(counts.same.sum() for counts in self.judge)
        different = sum(counts.different.sum() for counts in self.judge)
        return prior / max(same, 1), (1 - prior) / max(different, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judgement:
    """How a shape did on people left out.

    Attributes:
        said: (C, B) probability at each distance; not a number where nobody taught.
        log_loss: Mean -log of the probability given to what was true.
        sure_loss: The same of probabilities raised to `SURE`: what is said above it decides alone.
        reliability: As in `Curve`.
    """

    said: FloatArray
    log_loss: float
    sure_loss: float
    reliability: tuple[tuple[float, float, int], ...]


def _folds(pairs: Pairs, place: NDArray[np.int64], edges: FloatArray, seed: int) -> _Folds:
    folds = min(FOLDS, pairs.people)
    of = np.random.default_rng(seed).permutation(pairs.people) % folds
    ends = np.sort(np.stack([of[pairs.first], of[pairs.second]]), axis=0)
    cells = [(one, other) for other in range(folds) for one in range(other + 1)]
    cell = ends[1] * (ends[1] + 1) // 2 + ends[0]
    same, different = (
        np.bincount(cell[sort] * BINS + place[sort], minlength=len(cells) * BINS)
        .reshape(len(cells), BINS)
        .astype(np.float64)
        for sort in (pairs.same, ~pairs.same)
    )
    centres = (edges[:-1] + edges[1:]) / 2

    def counts(which: list[int]) -> Counts:
        return Counts(
            centres=centres, same=same[which].sum(axis=0), different=different[which].sum(axis=0)
        )

    return _Folds(
        cell=cell,
        teach=tuple(
            counts([n for n, others in enumerate(cells) if not set(own) & set(others)])
            for own in cells
        ),
        judge=tuple(counts([n]) for n in range(len(cells))),
    )


def _judged(shape: Shape, folds: _Folds, prior: float) -> _Judgement:
    said = np.stack(
        [
            probabilities(shape(teach, prior), prior)
            if teach.both
            else np.full(len(teach.centres), np.nan)
            for teach in folds.teach
        ]
    )
    weigh = folds.weights(prior)
    taught = ~np.isnan(said)
    p = said[taught]
    same = np.stack([counts.same for counts in folds.judge])[taught]
    different = np.stack([counts.different for counts in folds.judge])[taught]
    s, n = weigh[0] * same, weigh[0] * same + weigh[1] * different
    if not n.sum():
        return _Judgement(said=said, log_loss=np.inf, sure_loss=np.inf, reliability=())

    def loss(q: FloatArray) -> float:
        q = np.clip(q, 1e-12, 1 - 1e-12)
        return float(-(s * np.log(q) + (n - s) * np.log(1 - q)).sum() / n.sum())

    tenth = np.minimum((p * 10).astype(int), 9)
    total = (same + different).sum()
    lines = []
    for number in range(10):
        here = (tenth == number) & (n > 0)
        weight = n[here].sum()
        if weight:
            mean = float((p[here] * n[here]).sum() / weight)
            count = max(1, round(float(total * weight / n.sum())))
            lines.append((mean, float(s[here].sum() / weight), count))
    return _Judgement(
        said=said,
        log_loss=loss(p),
        sure_loss=loss(np.maximum(p, SURE)),
        reliability=tuple(lines),
    )


def _sure(
    pairs: Pairs,
    place: NDArray[np.int64],
    folds: _Folds,
    said: FloatArray,
    prior: float,
    seed: int,
) -> SurePairs:
    """What became of pairs of people left out that were said to be `SURE` or more."""
    claims = said[folds.cell, place]
    sure = pairs.take(chosen := np.flatnonzero(np.nan_to_num(claims) >= SURE))
    if not len(sure):
        return SurePairs(pairs=0, people=0)
    claim = claims[chosen]
    people = len(np.unique(np.concatenate([sure.first, sure.second])))
    weigh = folds.weights(prior)
    weight = np.where(sure.same, *weigh)

    def shares(count: FloatArray) -> tuple[float, float]:
        return float(np.average(claim, weights=count)), float(np.average(sure.same, weights=count))

    mean, true = shares(weight)
    interval = None
    if people >= FEWEST_SURE_PEOPLE:
        own = np.bincount(pairs.first[pairs.same], minlength=pairs.people)
        others = pairs.take(~pairs.same)
        met = sum(np.bincount(who, minlength=pairs.people) for who in (others.first, others.second))
        errors = []
        for draw in drawn_people(pairs.people, _DRAWS, seed):
            # The share of same-person pairs stays the prior in every draw.
            same = own.sum() / max(draw @ own, 1)
            different = len(others) / max(draw @ met - len(others), 1)
            count = weight * sure.drawn(draw) * np.where(sure.same, same, different)
            if count.sum():
                again = shares(count)
                errors.append(again[0] - again[1])
        low, high = np.quantile(errors, _INTERVAL)
        interval = (float(low), float(high))
    return SurePairs(pairs=len(sure), people=people, said=mean, true=true, interval=interval)


def _band(
    shape: Shape,
    pairs: Pairs,
    place: NDArray[np.int64],
    edges: FloatArray,
    prior: float,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    """Between which log ratios the curve lies when other people are drawn, (B,) each."""
    rng = np.random.default_rng(seed)
    same, others = np.flatnonzero(pairs.same), np.flatnonzero(~pairs.same)
    if len(others) > _MOST_REDRAWN:
        others = rng.choice(others, _MOST_REDRAWN, replace=False)
    chosen = np.concatenate([same, others])
    some, where = pairs.take(chosen), place[chosen]
    curves = []
    for draw in drawn_people(pairs.people, _CURVES, seed):
        counts = _counts(edges, where, some.same, some.drawn(draw))
        if counts.both:
            curves.append(shape(counts, prior))
    low, high = np.quantile(curves, _INTERVAL, axis=0)
    return low, high


def _counts(
    edges: FloatArray,
    place: NDArray[np.int64],
    same: NDArray[np.bool_],
    weight: FloatArray | None = None,
) -> Counts:
    def counted(sort: NDArray[np.bool_]) -> FloatArray:
        weights = None if weight is None else weight[sort]
        return np.bincount(place[sort], weights, minlength=BINS).astype(np.float64)

    return Counts(
        centres=(edges[:-1] + edges[1:]) / 2, same=counted(same), different=counted(~same)
    )


def _falling(ratios: FloatArray) -> tuple[float, ...]:
    return tuple(np.minimum.accumulate(ratios).tolist())
