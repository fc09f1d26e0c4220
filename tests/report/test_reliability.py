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
    assert "off by 7.0% on average over 1,000 pairs" in CURVE.sentence
    assert "0.10% of different people pass and misses 25.0%" in CURVE.sentence


def test_the_figure_has_a_line_for_each_kind_beside_the_perfect_one():
    axes = reliability_figure({"within": CURVE, "across": CURVE}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["perfect", "within", "across"]
    assert axes.lines[1].get_xydata().tolist() == [[0.1, 0.2], [0.5, 0.5], [0.9, 0.8]]
