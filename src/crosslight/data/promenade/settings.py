"""What a world looks like: its cameras, its light, its taste in clothes.

World 0 is the standard one: its six cameras are those of `cameras.CAMERAS`, whatever the seed, and
it is as hard as its difficulty says. Every other world is drawn from the seed and its number, so
two worlds of other seeds or other numbers share no camera, no background, no garment and no person.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from crosslight.data.promenade.cameras import (
    CAMERAS,
    THERMAL_CAMERAS,
    Camera,
    Daylight,
    Ground,
    Lamp,
    Place,
    Tone,
    Wall,
)
from crosslight.data.promenade.difficulty import Difficulty, difficulty_named

STANDARD = 0
_SETTING_STREAM, _CAMERA_STREAM, _TASTE_STREAM = 83, 89, 97
_INDOORS, _OUTDOORS = (1, 2, 3), (4, 5, 6)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One world. `seed` begins the streams from which its people and pictures are drawn."""

    number: int
    seed: int
    cameras: Mapping[int, Camera]
    difficulty: Difficulty


def setting(seed: int, number: int, difficulty: str) -> Setting:
    """The world of a number.

    Args:
        seed: Of the data set.
        number: 0 for the standard world.
        difficulty: `easy`, `default` or `hard`; drawn worlds vary around it.

    Raises:
        ConfigError: There is no such difficulty.
    """
    knobs = difficulty_named(difficulty)
    if number == STANDARD:
        return Setting(number=number, seed=seed, cameras=CAMERAS, difficulty=knobs)
    words = np.random.SeedSequence([seed, _SETTING_STREAM, number]).generate_state(4)
    own = sum(int(word) << 32 * place for place, word in enumerate(words))
    cameras = {
        camera: _draw_camera(np.random.default_rng([own, _CAMERA_STREAM, camera]), camera)
        for camera in (*_INDOORS, *_OUTDOORS)
    }
    cameras |= {heat: cameras[beside] for heat, beside in THERMAL_CAMERAS.items()}
    taste = np.random.default_rng([own, _TASTE_STREAM])
    return Setting(number=number, seed=own, cameras=cameras, difficulty=_vary(taste, knobs))


def _vary(rng: np.random.Generator, knobs: Difficulty) -> Difficulty:
    """The fashion and the quality of the sensors of a world, around the usual ones."""

    def scaled(value: float, spread: float) -> float:
        return value * math.exp(spread * rng.uniform(-1, 1))

    def shifted(value: float, spread: float) -> float:
        return min(max(value + spread * rng.uniform(-1, 1), 0.05), 0.95)

    return replace(
        knobs,
        chroma=scaled(knobs.chroma, 0.45),
        wardrobe_share=shifted(knobs.wardrobe_share, 0.15),
        infrared_link=min(scaled(knobs.infrared_link, 0.5), 0.6),
        infrared_contrast=shifted(knobs.infrared_contrast, 0.2),
        accessories=scaled(knobs.accessories, 0.35),
        exposure=scaled(knobs.exposure, 0.3),
        tint=scaled(knobs.tint, 0.4),
        resolution=scaled(knobs.resolution, 0.15),
        blur=scaled(knobs.blur, 0.25),
        nuisance=scaled(knobs.nuisance, 0.4),
    )


def _draw_camera(rng: np.random.Generator, number: int) -> Camera:
    outdoors = number in _OUTDOORS
    height = rng.uniform(2.5, 4.5) if outdoors else rng.uniform(2.0, 3.3)
    near = rng.uniform(4.5, 6.5) if outdoors else rng.uniform(3.0, 4.5)
    far = near + (rng.uniform(4.0, 7.0) if outdoors else rng.uniform(2.5, 4.5))
    steep = math.degrees(math.atan2(height - 1.0, (near + far) / 2))
    along = rng.uniform(-180, 180)
    turns = (0.0, 180.0, rng.uniform(20, 60), rng.uniform(-60, -20), rng.uniform(70, 110))
    return Camera(
        height=height,
        pitch=steep * rng.uniform(0.6, 1.0),
        distance=(near, far),
        facings=tuple(along + turn for turn in turns[: rng.integers(2, 6)]),
        day=_draw_daylight(rng, outdoors=outdoors),
        lamp=Lamp(
            key=rng.uniform(1.1, 1.4),
            ambient=rng.uniform(0.06, 0.14),
            noise=rng.uniform(0.02, 0.036),
        ),
        place=_draw_place(rng, far, outdoors=outdoors),
        exposure_spread=rng.uniform(0.2, 0.33),
        resolution=rng.uniform(0.48, 0.9),
        blur=rng.uniform(0.7, 1.25),
        motion=rng.uniform(0.4, 0.7),
    )


def _draw_daylight(rng: np.random.Generator, *, outdoors: bool) -> Daylight:
    slant = 0.8 if outdoors else 0.4
    warm = rng.uniform(-0.16, 0.16)
    green = 0.04 * rng.uniform(-1, 1)
    return Daylight(
        direction=(slant * rng.uniform(-1, 1), slant * rng.uniform(-1, 1), rng.uniform(0.6, 1.0)),
        key=rng.uniform(0.4, 1.3) if outdoors else rng.uniform(0.55, 0.95),
        ambient=rng.uniform(0.34, 0.64),
        tint=(math.exp(warm), math.exp(green), math.exp(-1.3 * warm)),
        shadow=rng.uniform(0.2, 0.85) if outdoors else rng.uniform(0.08, 0.2),
        noise=rng.uniform(0.01, 0.023),
    )


def _draw_place(rng: np.random.Generator, far: float, *, outdoors: bool) -> Place:
    grounds: tuple[Ground, Ground] = ("paver", "asphalt") if outdoors else ("tile", "carpet")
    walls: tuple[Wall, Wall] = ("facade", "hedge") if outdoors else ("panel", "doors")
    return Place(
        ground=grounds[rng.integers(2)],
        wall=walls[rng.integers(2)],
        half_width=rng.uniform(10, 30) if outdoors else rng.uniform(2.8, 5.0),
        depth=far + (rng.uniform(4, 8) if outdoors else rng.uniform(2.5, 4.5)),
        seed=int(rng.integers(1 << 31)),
        grain=math.exp(0.5 * rng.uniform(-1, 1)),
        ground_tone=_draw_tone(rng),
        wall_tone=_draw_tone(rng),
    )


def _draw_tone(rng: np.random.Generator) -> Tone:
    """Lighter or darker, hardly coloured: a gaudy wall would tell the camera."""
    level = 0.5 * rng.uniform(-1, 1)
    red, green, blue = (math.exp(level + 0.08 * rng.uniform(-1, 1)) for _ in range(3))
    return red, green, blue, math.exp(0.4 * rng.uniform(-1, 1))
