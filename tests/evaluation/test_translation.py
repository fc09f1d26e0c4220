from __future__ import annotations

import math

import numpy as np
import pytest

from crosslight.evaluation.generation.translation import (
    correlation,
    is_only_gray,
    luma,
    mean_score,
    psnr,
    score_translation,
    ssim,
)
from tests.oracles import d2rl as oracle


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_ssim_equals_the_definition(rng):
    truth = rng.random((15, 13))
    for image in (truth, truth + 0.1, 1 - truth, rng.random((15, 13))):
        expected = oracle.ssim(image.tolist(), truth.tolist())
        assert ssim(image, truth) == pytest.approx(expected, abs=1e-9)
    assert ssim(truth, truth) == pytest.approx(1)
    assert ssim(1 - truth, truth) < 0


def test_ssim_of_an_image_smaller_than_its_window(rng):
    tiny = rng.random((6, 6))
    assert ssim(tiny, tiny) == pytest.approx(1)


def test_psnr_is_that_of_a_known_error(rng):
    truth = rng.random((8, 8, 3)) * 0.5
    assert psnr(truth + 0.1, truth) == pytest.approx(20)
    assert psnr(truth, truth) == 100


def test_correlation_knows_neither_brightness_nor_contrast(rng):
    values = rng.random((9, 7))
    assert correlation(values, 3 * values + 1) == pytest.approx(1)
    assert correlation(values, 1 - values) == pytest.approx(-1)
    assert correlation(values, np.full_like(values, 0.5)) == 0
    other = rng.random((9, 7))
    expected = np.corrcoef(values.ravel(), other.ravel())[0, 1]
    assert correlation(values, other) == pytest.approx(expected)


@pytest.mark.parametrize(("sign", "gray"), [(1, True), (-1, True), (0, False)])
def test_a_copy_of_the_gray_image_is_called_out(rng, sign, gray):
    source, truth = rng.random((16, 8, 3)), rng.random((16, 8, 3))
    copy = np.repeat(luma(source)[..., None], 3, axis=2)
    drawn = 0.5 + 0.3 * sign * (copy - 0.5) if sign else truth
    score = score_translation(source, drawn, truth)
    assert is_only_gray(score) is gray
    assert score.gray_correlation == pytest.approx(sign, abs=0.3 if not sign else 1e-9)


def test_the_plain_input_is_scored_beside_the_translation(rng):
    source, truth = rng.random((16, 12, 3)), rng.random((16, 12, 3))
    person = np.zeros((16, 12), dtype=bool)
    person[4:12, 3:9] = True
    copy = np.repeat(luma(source)[..., None], 3, axis=2)
    score = score_translation(source, copy, truth, person)
    assert score.psnr == pytest.approx(score.plain_psnr)
    assert score.ssim == pytest.approx(score.plain_ssim)
    assert score.truth_correlation == pytest.approx(score.plain_correlation)
    assert score.person_correlation == pytest.approx(score.plain_person_correlation)
    assert score.person_correlation != pytest.approx(score.truth_correlation)
    perfect = score_translation(source, truth, truth, person)
    assert perfect.ssim == perfect.truth_correlation == pytest.approx(1)
    assert perfect.plain_ssim == pytest.approx(score.plain_ssim)


def test_means_are_over_the_images_that_have_a_figure(rng):
    source, truth = rng.random((16, 12, 3)), rng.random((16, 12, 3))
    without = score_translation(source, source)
    with_truth = score_translation(source, source, truth)
    assert without.psnr is None
    mean = mean_score([without, with_truth, with_truth])
    assert mean.psnr == pytest.approx(with_truth.psnr)
    assert mean.gray_correlation == pytest.approx(1)
    assert mean_score([without]).ssim is None
    assert not math.isnan(mean.gray_correlation)
