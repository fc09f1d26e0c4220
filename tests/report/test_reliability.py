from dataclasses import replace

import pytest

from crosslight.report.reliability import Reliability, reliability_figure

CURVE = Reliability(
    fit="logistic",
    said=(0.1, 0.5, 0.9),
    true=(0.2, 0.5, 0.8),
    pairs=(600, 300, 100),
    threshold=0.4,
    false_match_rate=0.001,
    missed=0.25,
)


def test_the_error_counts_every_pair_once():
    assert CURVE.error == pytest.approx((600 * 0.1 + 100 * 0.1) / 1000)
    assert "all 1,000 pairs of people left out are off by 7.0% on average" in CURVE.sentence
    assert "0.10% of different people pass and misses 25.0%" in CURVE.sentence


def test_what_became_of_sure_pairs_is_said_before_the_average():
    told = replace(CURVE, sure="of 9 said to be 50 % or more, 3 were").sentence
    assert told.index("of 9 said to be") < told.index("on average")


def test_the_figure_has_a_line_for_each_kind_beside_the_perfect_one():
    axes = reliability_figure({"within": CURVE, "across": CURVE}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["perfect", "within", "across"]
    assert axes.lines[1].get_xydata().tolist() == [[0.1, 0.2], [0.5, 0.5], [0.9, 0.8]]
