"""Distances become probabilities: against the formula, and on people left out."""

from __future__ import annotations

import numpy as np
import pytest

from crosslight.errors import DataError, GalleryError
from crosslight.gallery.calibration import Calibration
from crosslight.gallery.calibration_fit import SHAPES, _counts, _curve, fit_calibration

SAME, DIFFERENT = (0.4, 0.1), (0.9, 0.15)


def density(x, mean, sd):
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / sd


def pairs(rng, count, share=0.2):
    same = rng.random(count) < share
    return np.where(same, rng.normal(*SAME, count), rng.normal(*DIFFERENT, count)), same


def test_the_probability_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    curve = _curve([pairs(rng, 40_000) for _ in range(3)], 0.01, None)
    for distance in np.linspace(0.3, 1.1, 17):
        same, different = density(distance, *SAME), density(distance, *DIFFERENT)
        truth = 0.2 * same / (0.2 * same + 0.8 * different)
        assert curve.probability(distance) == pytest.approx(truth, abs=0.06)
    said, true, count = np.array(curve.reliability).T
    assert np.average(np.abs(said - true), weights=count) < 0.02


@pytest.mark.parametrize("shape", SHAPES)
def test_no_shape_ever_rises_with_the_distance(shape):
    distances, same = pairs(np.random.default_rng(1), 2_000)
    ratios = SHAPES[shape](_counts(np.linspace(0, 1.5, 101), distances, same))
    assert (np.diff(ratios) <= 1e-12).all()
    assert np.isfinite(ratios).all()


def test_the_threshold_lets_the_chosen_share_of_strangers_pass():
    rng = np.random.default_rng(2)
    curve = _curve([pairs(rng, 30_000) for _ in range(3)], 0.02, None)
    fresh = rng.normal(*DIFFERENT, 50_000)
    assert (fresh <= curve.threshold).mean() == pytest.approx(0.02, abs=0.004)
    assert curve.missed == pytest.approx(
        (rng.normal(*SAME, 50_000) > curve.threshold).mean(), abs=0.02
    )


def test_a_prior_changes_the_probability_and_not_the_ratio():
    rng = np.random.default_rng(3)
    groups = [pairs(rng, 5_000) for _ in range(3)]
    rare, common = _curve(groups, 0.01, 0.001), _curve(groups, 0.01, 0.5)
    assert rare.log_ratios == common.log_ratios
    assert rare.probability(0.6) < common.probability(0.6)


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
    assert found.accepts(0.0, 0, 1)
    assert not found.accepts(1.5, 0, 1)
    assert Calibration.from_plain(found.to_plain()) == found


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


def test_a_damaged_calibration_is_told():
    with pytest.raises(GalleryError, match="calibrate again"):
        Calibration.from_plain({"within": {}})
    assert Calibration.from_plain({}) is None
