"""Whether two pictures show the same person, and how sure that is.

What the pictures say is a likelihood ratio: how much more often images of one person are this far
apart than images of different people. Whoever asks knows something beforehand, the prior; both
together are a probability. The interval is that of the curve when the people of the calibration are
drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.gallery.calibration.calibration import Calibration, probability_of, ratio_of
from crosslight.gallery.calibration.pairs import distances_between
from crosslight.gallery.options import Comparing
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores.store import StoreInfo, prepared

Sameness = Literal["same", "different", "open", "unknown"]

CLEAR = 0.8
"""Probability from which an answer is given: 51 % is none, however narrow its interval."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is known about two pictures.

    Attributes:
        answer: `same` from a probability of `CLEAR` on, `different` from `1 - CLEAR` down, both
            only where the whole interval is on that side of one half; else `open`, or `unknown`
            where nothing was learnt about pairs of these lights, or no interval.
        modalities: `Modality` of each.
        distance: Of their embeddings.
        probability: That they show the same person; None where nothing was learnt.
        interval: Of the probability; None where the calibration has none.
        ratio: How many times as often images of one person are this far apart as others are.
        ratio_interval: Of the ratio.
        prior: Probability before the pictures were looked at.
    """

    answer: Sameness
    modalities: tuple[int, int]
    distance: float
    probability: float | None
    interval: tuple[float, float] | None
    ratio: float | None
    ratio_interval: tuple[float, float] | None
    prior: float


def compared(
    info: StoreInfo,
    embedder: Embedder,
    pictures: tuple[Image.Image, Image.Image],
    *,
    modalities: Sequence[int | None] = (None, None),
    prior: float = Comparing.prior,
) -> Comparison:
    """Compares two pictures by the model and the calibration of a store.

    Args:
        info: Of the store.
        embedder: The store's model.
        pictures: RGB.
        modalities: `Modality` of each; None: guessed from its colours.
        prior: Probability beforehand that they show the same person, between 0 and 1.
    """
    lights = [
        guess_modality(picture) if given is None else given
        for picture, given in zip(pictures, modalities, strict=True)
    ]
    vectors = prepared(embedder.embed(list(pictures), lights), info.distance)
    distance = float(distances_between(vectors[:1], vectors[1:], info.distance)[0, 0])
    calibration = Calibration.from_plain(info.calibration)
    curve = None if calibration is None else calibration.curve(lights[0], lights[1])
    ratio = None if curve is None else curve.log_ratio(distance)
    band = None if curve is None else curve.band(distance)
    return Comparison(
        answer=_answer(ratio, band, prior),
        modalities=(lights[0], lights[1]),
        distance=distance,
        probability=None if ratio is None else probability_of(ratio, prior),
        interval=band and (probability_of(band[0], prior), probability_of(band[1], prior)),
        ratio=None if ratio is None else ratio_of(ratio),
        ratio_interval=band and (ratio_of(band[0]), ratio_of(band[1])),
        prior=prior,
    )


def _answer(ratio: float | None, band: tuple[float, float] | None, prior: float) -> Sameness:
    if ratio is None or band is None:
        return "unknown"
    said, low, high = (probability_of(log_ratio, prior) for log_ratio in (ratio, *band))
    if said >= CLEAR and low > 0.5:
        return "same"
    return "different" if said <= 1 - CLEAR and high < 0.5 else "open"
