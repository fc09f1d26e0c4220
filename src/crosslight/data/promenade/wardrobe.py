"""What people wear: seeded colours, fabrics and patterns.

A share of all garments comes from one wardrobe of `WARDROBE_SIZE` pieces per kind, so that several
people own the same shirt. Train and test people of a world share that wardrobe on purpose: clothes
must not tell on which side of the split somebody is.
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from crosslight.data.promenade.arrays import Floats
from crosslight.data.promenade.difficulty import Difficulty
from crosslight.data.promenade.factors import Look, Material, Pattern, Slot

WARDROBE_SIZE = 24
WARDROBE_STREAM = 61

_Choice = TypeVar("_Choice", bound=str | int | float)

# Linear reflectances of what most clothes are: black to white, navy to denim, brown, beige, olive.
_NEUTRALS = (
    (0.012, 0.012, 0.014),
    (0.020, 0.022, 0.030),
    (0.050, 0.050, 0.055),
    (0.100, 0.100, 0.105),
    (0.210, 0.210, 0.210),
    (0.420, 0.420, 0.420),
    (0.720, 0.720, 0.710),
    (0.800, 0.790, 0.760),
    (0.020, 0.030, 0.075),
    (0.030, 0.050, 0.130),
    (0.055, 0.090, 0.190),
    (0.140, 0.200, 0.330),
    (0.045, 0.030, 0.020),
    (0.190, 0.130, 0.075),
    (0.360, 0.290, 0.190),
    (0.060, 0.065, 0.040),
)
_HAIR_COLOURS: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (0.28, (0.012, 0.010, 0.009)),
    (0.12, (0.012, 0.010, 0.009)),
    (0.20, (0.030, 0.018, 0.011)),
    (0.15, (0.075, 0.040, 0.020)),
    (0.08, (0.280, 0.180, 0.080)),
    (0.04, (0.140, 0.045, 0.018)),
    (0.08, (0.330, 0.330, 0.330)),
    (0.05, (0.020, 0.020, 0.020)),
)
_CHROMA: dict[Slot, float] = {
    Slot.UPPER: 0.38,
    Slot.INNER: 0.30,
    Slot.LOWER: 0.11,
    Slot.SHOE: 0.15,
    Slot.BAG: 0.30,
    Slot.HAT: 0.40,
    Slot.SCARF: 0.60,
}
_UPPER_PATTERNS: dict[Pattern, float] = {
    "plain": 0.40,
    "hstripe": 0.10,
    "vstripe": 0.03,
    "check": 0.08,
    "dots": 0.02,
    "camo": 0.02,
    "block": 0.06,
    "logo": 0.16,
    "backprint": 0.06,
    "side": 0.04,
    "flower": 0.03,
}
_LOWER_PATTERNS: dict[Pattern, float] = {
    "plain": 0.66,
    "hstripe": 0.01,
    "vstripe": 0.02,
    "check": 0.05,
    "dots": 0.01,
    "camo": 0.03,
    "side": 0.08,
    "fade": 0.12,
    "flower": 0.02,
}
_INNER_PATTERNS: dict[Pattern, float] = {
    "plain": 0.70,
    "hstripe": 0.12,
    "check": 0.05,
    "logo": 0.13,
}
_OTHER_PATTERNS: dict[Pattern, float] = {
    "plain": 0.80,
    "hstripe": 0.05,
    "vstripe": 0.03,
    "check": 0.02,
    "camo": 0.02,
    "block": 0.08,
}
_PATTERNS: dict[Slot, dict[Pattern, float]] = {
    Slot.UPPER: _UPPER_PATTERNS,
    Slot.LOWER: _LOWER_PATTERNS,
    Slot.INNER: _INNER_PATTERNS,
}


def pick(rng: np.random.Generator, weights: Mapping[_Choice, float]) -> _Choice:
    """One key, with a probability proportional to its weight."""
    point = rng.random() * sum(weights.values())
    for choice, weight in weights.items():
        point -= weight
        if point < 0:
            return choice
    return [choice for choice, weight in weights.items() if weight > 0][-1]


def _from_hsv(hue: float, saturation: float, value: float) -> Floats:
    sector = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return value - value * saturation * np.clip(np.minimum(sector, 4 - sector), 0, 1)


def _cloth_colour(rng: np.random.Generator, chroma: float) -> Floats:
    if rng.random() < chroma:
        if rng.random() < 0.55:
            hue = rng.random()
        else:  # the dyes that sell: reds and blues
            fashionable = (0.0, 0.02, 0.58, 0.62, 0.66)
            hue = (fashionable[rng.integers(len(fashionable))] + 0.02 * rng.normal()) % 1
        colour: Floats = _from_hsv(hue, rng.uniform(0.25, 0.85), rng.uniform(0.2, 0.8)) ** 1.8
        return colour
    neutral: Floats = np.array(_NEUTRALS[rng.integers(len(_NEUTRALS))])
    brightness = np.exp(0.15 * rng.normal())
    neutral = neutral * brightness * np.exp(0.06 * rng.normal(size=3))
    return np.clip(neutral, 0.008, 0.85)


def _cloth_infrared(rng: np.random.Generator, colour: Floats, difficulty: Difficulty) -> float:
    """Beyond 780 nm most dyes are transparent: what is left is the fibre, unless carbon black."""
    luminance = float(colour @ np.array([0.3, 0.6, 0.1]))
    if luminance < 0.15 and rng.random() < 0.30:
        return float(np.clip(0.05 + 0.35 * luminance + 0.03 * rng.normal(), 0.02, 0.5))
    link = difficulty.infrared_link
    fibre = (0.68 - link) * rng.beta(1.5, 1.4)
    return float(np.clip(0.10 + fibre + link * luminance**0.5, 0.06, 0.85))


def _garment(
    rng: np.random.Generator, world_seed: int, slot: Slot, difficulty: Difficulty
) -> Material:
    if rng.random() < difficulty.wardrobe_share:
        piece = int(rng.integers(WARDROBE_SIZE))
        rng = np.random.default_rng([world_seed, WARDROBE_STREAM, int(slot), piece])
    colour = _cloth_colour(rng, min(1.0, _CHROMA[slot] * difficulty.chroma))
    second = _cloth_colour(rng, min(1.0, 0.45 * difficulty.chroma))
    for _ in range(8):
        if np.abs(np.sqrt(colour) - np.sqrt(second)).max() > 0.25:
            break
        second = _cloth_colour(rng, min(1.0, 0.45 * difficulty.chroma))
    infrared = _cloth_infrared(rng, colour, difficulty)
    second_infrared = infrared
    if rng.random() < difficulty.infrared_contrast:
        second_infrared = float(np.clip(infrared + rng.normal() * 0.24, 0.03, 0.85))
    return Material(
        red=float(colour[0]),
        green=float(colour[1]),
        blue=float(colour[2]),
        infrared=infrared,
        second_red=float(second[0]),
        second_green=float(second[1]),
        second_blue=float(second[2]),
        second_infrared=second_infrared,
        pattern=pick(rng, _PATTERNS.get(slot, _OTHER_PATTERNS)),
        scale=float(rng.uniform(0.035, 0.13)),
        fold=float(rng.uniform(0.35, 1.1)),
        gloss=(0.0, 0.0, 0.1, 0.3)[rng.integers(4)],
        insulation=float(rng.beta(2, 2)),
        print_seed=float(rng.uniform(0, 64)),
    )


def _plain(colour: Floats, infrared: float) -> Material:
    red, green, blue = (float(channel) for channel in colour)
    return Material(
        red=red,
        green=green,
        blue=blue,
        infrared=infrared,
        second_red=red,
        second_green=green,
        second_blue=blue,
        second_infrared=infrared,
        pattern="plain",
        scale=0.1,
        fold=0.0,
        gloss=0.1,
        insulation=0.5,
        print_seed=0.0,
    )


def draw_look(rng: np.random.Generator, world_seed: int, difficulty: Difficulty) -> Look:
    """Draws skin, hair and the materials of everything a person may wear."""
    darkness = float(rng.beta(1.3, 1.6))
    light, dark = np.array([0.60, 0.40, 0.30]), np.array([0.075, 0.042, 0.028])
    skin = light * (1 - darkness) ** 1.5 + dark * (1 - (1 - darkness) ** 1.5)
    skin_infrared = float(0.58 - 0.12 * darkness + 0.03 * rng.normal())
    tones = dict(enumerate(weight for weight, _ in _HAIR_COLOURS))
    hair = np.array(_HAIR_COLOURS[pick(rng, tones)][1]) * np.exp(0.15 * rng.normal())
    hair_infrared = float(np.clip(0.10 + 0.55 * hair[0] + 0.05 * rng.normal(), 0.04, 0.5))
    garments = {
        slot.name.lower(): _garment(rng, world_seed, slot, difficulty)
        for slot in Slot
        if slot >= Slot.UPPER
    }
    return Look(skin=_plain(skin, skin_infrared), hair=_plain(hair, hair_infrared), **garments)
