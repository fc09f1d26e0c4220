"""Distances become probabilities: against the formula, and on people left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crosslight.errors import DataError, GalleryError
from crosslight.gallery.calibration import fit as calibration_fit
from crosslight.gallery.calibration.calibration import (
    Calibration,
    SurePairs,
    probability_of,
    ratio_of,
)
from crosslight.gallery.calibration.fit import curve_of, fit_calibration
from crosslight.gallery.calibration.pairs import Pairs
from crosslight.gallery.calibration.shapes import SHAPES, Counts, logistic, probabilities

SAME, DIFFERENT = (0.4, 0.1), (0.9, 0.15)


def density(x, mean, sd):
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / sd


def pairs(rng, count, share=0.2, people=40, same=SAME, different=DIFFERENT):
    """Pairs at random of people, each with an effect of its own on the distances of its pairs."""
    alike = rng.random(count) < share
    first = rng.integers(people, size=count)
    second = np.where(alike, first, (first + rng.integers(1, people, size=count)) % people)
    distances = np.where(alike, rng.normal(*same, count), rng.normal(*different, count))
    return Pairs(distances=distances, first=first, second=second, people=people)


def truth(distance, share=0.2):
    same, different = density(distance, *SAME), density(distance, *DIFFERENT)
    return share * same / (share * same + (1 - share) * different)


def test_the_probability_is_that_of_the_formula():
    curve = curve_of(pairs(np.random.default_rng(0), 40_000), 0.01)
    for distance in np.linspace(0.3, 1.1, 17):
        assert curve.probability(distance) == pytest.approx(truth(distance), abs=0.06)
    assert curve.error < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_ever_rises_with_the_distance(shape):
    drawn = pairs(np.random.default_rng(1), 2_000)
    edges = np.linspace(0, 1.5, 101)
    counts = Counts(
        centres=(edges[1:] + edges[:-1]) / 2,
        same=np.histogram(drawn.distances[drawn.same], edges)[0].astype(float),
        different=np.histogram(drawn.distances[~drawn.same], edges)[0].astype(float),
    )
    for prior in (0.001, 0.2, 0.9):
        ratios = SHAPES[shape](counts, prior)
        assert (np.diff(ratios) <= 1e-12).all()
        assert np.isfinite(ratios).all()
    backwards = Counts(centres=counts.centres, same=counts.different, different=counts.same)
    assert (np.diff(SHAPES[shape](backwards, 0.2)) <= 1e-12).all()


def test_a_straight_line_holds_where_the_prior_makes_probabilities_large():
    # The true log ratio bends; a line can hold at one place only.
    centres = np.linspace(0.0, 2.0, 401)
    same, different = density(centres, 0.5, 0.35), density(centres, 1.2, 0.2)
    rare = 0.002
    counts = Counts(centres=centres, same=same, different=different)
    true = probabilities(np.log(same / same.sum()) - np.log(different / different.sum()), rare)
    weight = rare * same / same.sum() + (1 - rare) * different / different.sum()

    def off(fitted_at):
        said = probabilities(logistic(counts, fitted_at), rare)
        sure = said >= 0.5
        gap = np.average(said[sure], weights=weight[sure]) - np.average(
            true[sure], weights=weight[sure]
        )
        return abs(gap)

    assert off(rare) < 0.5 * off(0.5)


def test_the_line_is_the_one_of_the_largest_likelihood():
    from sklearn.linear_model import LogisticRegression

    drawn = pairs(np.random.default_rng(11), 3_000)
    edges = np.linspace(drawn.distances.min(), drawn.distances.max() + 1e-9, 201)
    centres = (edges[1:] + edges[:-1]) / 2
    same = np.histogram(drawn.distances[drawn.same], edges)[0].astype(float)
    different = np.histogram(drawn.distances[~drawn.same], edges)[0].astype(float)
    prior = 0.03
    weights = np.concatenate([prior * same / same.sum(), (1 - prior) * different / different.sum()])
    model = LogisticRegression(C=1e9, tol=1e-12, solver="newton-cholesky").fit(
        np.tile(centres, 2)[:, None], np.repeat([1, 0], len(centres)), sample_weight=1e4 * weights
    )
    expected = model.decision_function(centres[:, None]) - np.log(prior / (1 - prior))
    found = logistic(Counts(centres=centres, same=same, different=different), prior)
    assert found == pytest.approx(expected, abs=0.02)


def test_pairs_that_no_distance_mixes_give_a_finite_line():
    counts = Counts(
        centres=np.linspace(0, 1, 50),
        same=np.r_[np.full(10, 5.0), np.zeros(40)],
        different=np.r_[np.zeros(30), np.full(20, 5.0)],
    )
    ratios = logistic(counts, 0.1)
    assert np.isfinite(ratios).all()
    assert ratios[0] > 3
    assert ratios[-1] < -3


def test_the_threshold_lets_the_chosen_share_of_strangers_pass():
    rng = np.random.default_rng(2)
    curve = curve_of(pairs(rng, 30_000), 0.02)
    fresh = rng.normal(*DIFFERENT, 50_000)
    assert (fresh <= curve.threshold).mean() == pytest.approx(0.02, abs=0.004)
    assert curve.missed == pytest.approx(
        (rng.normal(*SAME, 50_000) > curve.threshold).mean(), abs=0.02
    )


def test_a_rarer_match_makes_the_same_distance_less_probable():
    drawn = pairs(np.random.default_rng(3), 5_000)
    rare, common = curve_of(drawn, 0.01, 0.001), curve_of(drawn, 0.01, 0.5)
    assert (rare.prior, common.prior) == (0.001, 0.5)
    assert rare.probability(0.6) < common.probability(0.6)
    for curve in (rare, common):
        assert curve.sure.said > 0.5
        assert curve.probability(0.5) == pytest.approx(truth(0.5, curve.prior), abs=0.1)


def test_sure_pairs_are_counted_by_an_oracle_that_fits_for_each_pair_anew():
    drawn = pairs(np.random.default_rng(4), 6_000, people=7)  # fewer than folds: one person each
    found = curve_of(drawn, 0.05)
    edges = np.linspace(drawn.distances.min(), drawn.distances.max() + 1e-9, 1_001)
    centres = (edges[1:] + edges[:-1]) / 2
    said = []
    for first, second, distance in zip(drawn.first, drawn.second, drawn.distances, strict=True):
        others = ~np.isin(drawn.first, [first, second]) & ~np.isin(drawn.second, [first, second])
        key = (min(first, second), max(first, second))
        if key not in CURVES:
            CURVES[key] = SHAPES[found.fit](
                Counts(
                    centres=centres,
                    same=np.histogram(drawn.distances[others & drawn.same], edges)[0] * 1.0,
                    different=np.histogram(drawn.distances[others & ~drawn.same], edges)[0] * 1.0,
                ),
                found.prior,
            )
        place = min(np.searchsorted(edges, distance, side="right") - 1, 999)
        said.append(probabilities(CURVES[key][place], found.prior))
    sure = np.array(said) >= 0.5
    assert found.sure.pairs == sure.sum()
    assert found.sure.said == pytest.approx(np.array(said)[sure].mean(), abs=1e-6)
    assert found.sure.true == pytest.approx(drawn.same[sure].mean(), abs=1e-6)
    assert found.sure.interval is None  # seven people
    assert "7 people are too few to say" in found.sure.sentence


CURVES: dict[tuple[int, int], np.ndarray] = {}


def test_the_interval_covers_the_error_that_other_people_show():
    inside = 0
    for seed in range(10):
        rng = np.random.default_rng([5, seed])
        curve = curve_of(pairs(rng, 4_000, people=30), 0.05)
        fresh = pairs(rng, 100_000, people=30)
        ratios = np.interp(fresh.distances, curve.distances, curve.log_ratios)
        said = probabilities(ratios, curve.prior)
        error = (said - fresh.same)[said >= 0.5].mean()
        low, high = curve.sure.interval
        assert low <= curve.sure.said - curve.sure.true <= high
        inside += low - 0.02 <= error <= high + 0.02
    assert inside >= 8


def test_the_band_holds_the_curve_and_narrows_with_people():
    few, many = (
        curve_of(pairs(np.random.default_rng(6), count, people=people), 0.05)
        for count, people in ((1_500, 15), (30_000, 300))
    )
    for curve in (few, many):
        assert (np.array(curve.low_ratios) <= np.array(curve.log_ratios) + 1e-6).all()
        assert (np.array(curve.high_ratios) >= np.array(curve.log_ratios) - 1e-6).all()
    at = [np.interp(0.6, c.distances, c.high_ratios) for c in (few, many)]
    below = [np.interp(0.6, c.distances, c.low_ratios) for c in (few, many)]
    assert at[1] - below[1] < 0.5 * (at[0] - below[0])


def test_what_sure_pairs_say_in_words():
    assert SurePairs(pairs=0, people=0).sentence == "none of them was said to be 50 % or more"
    told = SurePairs(pairs=1200, people=30, said=0.64, true=0.47, interval=(0.05, 0.3)).sentence
    assert "of 1,200 said to be 50 % or more, 64.0% on average, 47.0%" in told
    assert "+17.0 points off (95 %: +5.0 to +30.0)" in told


def people(rng, count=40, images=6):
    """Embeddings of people on four cameras, two of them infrared and shifted."""
    pids = np.repeat(np.arange(count), images)
    cams = np.tile(np.arange(images) % 4, count)
    modality = (cams >= 2).astype(np.uint8)
    feats = rng.normal(size=(count, 32))[pids] + 0.4 * rng.normal(size=(len(pids), 32))
    feats[modality == 1] += 0.8 * rng.normal(size=32)
    return feats, pids, cams, modality


def test_each_pair_of_lights_has_its_own_curve():
    feats, pids, cams, modality = people(np.random.default_rng(4))
    found = fit_calibration(
        feats, pids, cams, modality, distance="cosine", false_match_rate=0.01, data="made up"
    )
    assert found.within.same + found.across.same < len(pids) * 5 / 2  # none of one camera
    assert found.within.threshold < found.across.threshold
    assert found.probability(0.3, 0, 0) == found.probability(0.3, 1, 1)
    assert found.probability(0.3, 0, 1) == found.probability(0.3, 1, 0)
    assert 0 <= found.across.threshold < 1.5
    assert Calibration.from_plain(json.loads(json.dumps(found.to_plain()))) == found


def test_too_little_data_is_told():
    feats, pids, cams, modality = people(np.random.default_rng(5))
    common = {"distance": "cosine", "data": "made up"}
    few, one = pids < 3, np.zeros_like(cams)
    with pytest.raises(DataError, match="cannot show a false-match rate"):
        fit_calibration(feats, pids, cams, modality, false_match_rate=1e-9, **common)
    with pytest.raises(DataError, match="3 people are too few"):
        fit_calibration(
            feats[few], pids[few], cams[few], modality[few], false_match_rate=0.1, **common
        )
    with pytest.raises(DataError, match="Fewer than 20 pairs"):
        fit_calibration(feats, pids, one, modality, false_match_rate=0.1, **common)


def test_a_calibration_of_before_bands_is_read():
    feats, pids, cams, modality = people(np.random.default_rng(7))
    found = fit_calibration(
        feats, pids, cams, modality, distance="cosine", false_match_rate=0.01, data="made up"
    )
    plain = found.to_plain()
    for kind in ("within", "across"):
        plain[kind] = {
            key: value
            for key, value in plain[kind].items()
            if key not in ("sure", "low_ratios", "high_ratios")
        }
    old = Calibration.from_plain(plain)
    assert old.within.sure is None
    assert old.probability(0.3, 0, 1) == found.probability(0.3, 0, 1)


def test_a_damaged_calibration_is_told():
    with pytest.raises(GalleryError, match="calibrate again"):
        Calibration.from_plain({"within": {}})
    assert Calibration.from_plain({}) is None


def test_a_band_from_some_of_the_pairs_of_different_people(monkeypatch):
    """Where the pairs of all are more than are redrawn, and those of different people are not."""
    feats, pids, cams, modality = people(np.random.default_rng(9))

    def fitted(most: int) -> Calibration:
        monkeypatch.setattr(calibration_fit, "_MOST_REDRAWN", most)
        return fit_calibration(
            feats, pids, cams, modality, distance="cosine", false_match_rate=0.01, data="made up"
        )

    every = fitted(10**6)
    assert fitted(every.within.different + 1) == every
    some = fitted(every.within.different // 2).within
    assert some.low_ratios != every.within.low_ratios
    assert some.log_ratios == every.within.log_ratios


@pytest.mark.parametrize("log_ratio", [-5000.0, -700.0, -2.0, 0.0, 2.0, 700.0, 5000.0])
def test_a_probability_is_one_however_far_apart_the_pairs_are(log_ratio: float):
    said = probability_of(log_ratio, 0.2)
    assert 0 <= said <= 1
    assert 0 <= ratio_of(log_ratio) < float("inf")
    if abs(log_ratio) < 10:
        odds = np.exp(log_ratio) * 0.2 / 0.8
        assert said == pytest.approx(odds / (1 + odds))
