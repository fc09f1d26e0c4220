"""How near a translated image comes to the true one, and whether it is only the gray input.

Letters: H and W image size, C channels. Values are in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from crosslight.data.luma import LUMA

Values = NDArray[np.float64]

ONLY_GRAY = 0.95
"""A translation that correlates more with the plain gray image, either way, is called gray."""
_SIGMA, _RADIUS = 1.5, 5
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, kw_only=True)
class TranslationScore:
    """A translation, against the plain gray input and, where it is known, the truth.

    Attributes:
        gray_correlation: Pearson correlation of the gray value with the plain gray input; -1 is an
            inverted copy.
        psnr: Peak signal-to-noise ratio against the truth, dB.
        ssim: Structural similarity with the truth, of the gray values.
        truth_correlation: Pearson correlation of the gray value with the truth's.
        person_correlation: The same where the person is seen.
        plain_psnr: What the plain gray input would get in place of the translation, dB.
        plain_ssim: The same.
        plain_correlation: The same; how gray the truth itself is.
        plain_person_correlation: The same, where the person is seen.
    """

    gray_correlation: float
    psnr: float | None = None
    ssim: float | None = None
    truth_correlation: float | None = None
    person_correlation: float | None = None
    plain_psnr: float | None = None
    plain_ssim: float | None = None
    plain_correlation: float | None = None
    plain_person_correlation: float | None = None


def score_translation(
    source: Values,
    translated: Values,
    truth: Values | None = None,
    person: NDArray[np.bool_] | None = None,
) -> TranslationScore:
    """Scores one image.

    Args:
        source: (H, W, 3) what was translated.
        translated: (H, W, 3).
        truth: (H, W, 3) the same moment in the other light.
        person: (H, W) where the person is seen.
    """
    plain, drawn = luma(source), luma(translated)
    likeness = correlation(drawn, plain)
    if truth is None:
        return TranslationScore(gray_correlation=likeness)
    true = luma(truth)
    seen = np.ones_like(true, dtype=bool) if person is None else person
    return TranslationScore(
        gray_correlation=likeness,
        psnr=psnr(translated, truth),
        ssim=ssim(drawn, true),
        truth_correlation=correlation(drawn, true),
        person_correlation=correlation(drawn[seen], true[seen]),
        plain_psnr=psnr(np.broadcast_to(plain[..., None], truth.shape), truth),
        plain_ssim=ssim(plain, true),
        plain_correlation=correlation(plain, true),
        plain_person_correlation=correlation(plain[seen], true[seen]),
    )


def mean_score(scores: Sequence[TranslationScore]) -> TranslationScore:
    """The mean of each figure over the images that have it."""
    found: dict[str, float | None] = {}
    for field in fields(TranslationScore):
        values = [v for v in (getattr(s, field.name) for s in scores) if v is not None]
        found[field.name] = float(np.mean(values)) if values else None
    return TranslationScore(**found)  # type: ignore[arg-type]


def is_only_gray(score: TranslationScore) -> bool:
    """Whether the translation is a copy of the plain gray input, inverted or not."""
    return abs(score.gray_correlation) >= ONLY_GRAY


def luma(image: Values) -> Values:
    """(H, W, 3) → (H, W) by the ITU-R BT.601 weights."""
    gray: Values = image @ np.array(LUMA)
    return gray


def correlation(first: Values, second: Values) -> float:
    """Pearson's, of two arrays of one shape; 0 where one of them does not vary."""
    a, b = first - first.mean(), second - second.mean()
    norm = math.sqrt(float((a * a).sum()) * float((b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-12 else 0.0


def psnr(image: Values, truth: Values) -> float:
    """-10 log10 of the mean squared error; 100 dB at most, so that a mean stays finite."""
    return -10 * math.log10(max(float(np.square(image - truth).mean()), 1e-10))


def ssim(image: Values, truth: Values) -> float:
    """The mean of `ssim_map` where its window lies inside the image, or over all of a tiny one.

    Args:
        image: (H, W).
        truth: (H, W).
    """
    likeness = ssim_map(image, truth)
    inner = likeness[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    return float((inner if inner.size else likeness).mean())


def ssim_map(image: Values, truth: Values) -> Values:
    """Structural similarity of two gray images around each pixel (Wang et al., IEEE TIP 2004).

    Gaussian window of 11 x 11 pixels, sigma 1.5, biased moments, K1 0.01, K2 0.03; at the border
    the image is continued by its reflection.

    Args:
        image: (H, W).
        truth: (H, W).
    """
    mean_a, mean_b = _blurred(image), _blurred(truth)
    spread_a = _blurred(image * image) - mean_a**2
    spread_b = _blurred(truth * truth) - mean_b**2
    common = _blurred(image * truth) - mean_a * mean_b
    likeness: Values = (2 * mean_a * mean_b + _C1) * (2 * common + _C2)
    likeness /= (mean_a**2 + mean_b**2 + _C1) * (spread_a + spread_b + _C2)
    return likeness


def _blurred(values: Values) -> Values:
    blurred: Values = gaussian_filter(values, _SIGMA, radius=_RADIUS)
    return blurred
