"""Two pictures: the probability against Bayes' rule, and its interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.same import compared
from tests.gallery.rows import INFO
from tests.gallery.served import CALIBRATION, CURVE, EMBEDDER, embed, picture


def store_info(calibration: Calibration | None = CALIBRATION):
    plain = {} if calibration is None else calibration.to_plain()
    return replace(INFO, dim=32, calibration=plain)


def ask(first, second, calibration=CALIBRATION, **how):
    return compared(store_info(calibration), EMBEDDER, (picture(*first), picture(*second)), **how)


def test_the_probability_is_bayes_rule_with_the_ratio_of_the_curve():
    found = ask((1, 1), (1, 3), prior=0.2)
    one, two = embed([picture(1, 1), picture(1, 3)], [0, 1])
    distance = 1 - one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    assert found.distance == pytest.approx(distance, abs=1e-6)
    assert found.modalities == (0, 1)
    for name, ratio, probability in (
        ("log_ratios", found.ratio, found.probability),
        ("low_ratios", found.ratio_interval[0], found.interval[0]),
        ("high_ratios", found.ratio_interval[1], found.interval[1]),
    ):
        expected = np.exp(np.interp(distance, CURVE.distances, getattr(CURVE, name)))
        assert ratio == pytest.approx(expected, rel=1e-4)
        assert probability == pytest.approx(0.2 * expected / (0.2 * expected + 0.8), rel=1e-4)


def test_it_is_same_or_different_only_where_the_whole_interval_says_so():
    assert ask((1, 1), (1, 2)).answer == "same"
    assert ask((1, 1), (6, 2)).answer == "different"
    wide = replace(CURVE, low_ratios=(-1.0, -2.0, -9.0))
    assert ask((1, 1), (1, 2), replace(CALIBRATION, within=wide)).answer == "open"
    assert ask((1, 1), (1, 3), replace(CALIBRATION, within=wide)).answer == "same"
    assert ask((1, 1), (1, 2), prior=1e-6).answer == "different"
    # A narrow interval beside one half is no answer.
    for ratio, answer in ((0.1, "open"), (1.3, "open"), (1.5, "same"), (-1.5, "different")):
        flat = {
            name: (ratio + more,) * 3
            for name, more in (("log_ratios", 0.0), ("low_ratios", -0.05), ("high_ratios", 0.05))
        }
        found = ask((1, 1), (1, 2), replace(CALIBRATION, within=replace(CURVE, **flat)))
        assert found.answer == answer


def test_without_a_curve_or_its_band_nothing_is_claimed():
    for calibration in (None, replace(CALIBRATION, across=None)):
        found = ask((1, 1), (1, 3), calibration)
        assert (found.answer, found.probability, found.interval) == ("unknown", None, None)
    old = replace(CURVE, low_ratios=(), high_ratios=())
    found = ask((1, 1), (1, 3), replace(CALIBRATION, across=old))
    assert (found.answer, found.interval) == ("unknown", None)
    assert found.probability > 0.5


def test_the_light_can_be_stated():
    found = ask((1, 1), (1, 3), replace(CALIBRATION, across=None), modalities=(None, 0))
    assert found.modalities == (0, 0)
    assert found.probability is not None
