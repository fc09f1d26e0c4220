"""The six cameras of Promenade: where they hang, what stands around, and their light.

As in SYSU-MM01, cameras 1 and 2 hang indoors and 4 and 5 outdoors and see by day; 3 (in the room of
camera 2's kind) and 6 (outdoors) see in the dark by their own infrared lamp. Every camera also has
the other kind of light, so that any moment can be drawn in any spectrum. 7 and 8 are thermal
cameras beside 3 and 6, for sets that hold all three lights.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from crosslight.data.promenade.arrays import Floats

Ground: TypeAlias = Literal["tile", "carpet", "paver", "asphalt"]
Wall: TypeAlias = Literal["panel", "doors", "facade", "hedge"]
Tone: TypeAlias = tuple[float, float, float, float]

INFRARED_CAMERAS = (3, 6)
VISIBLE_CAMERAS = (1, 2, 4, 5)
THERMAL_CAMERAS = {7: 3, 8: 6}
"""Thermal cameras, and beside which camera they hang."""


@dataclass(frozen=True, kw_only=True)
class Daylight:
    """Light from the sun or from lamps: where it comes from, how strong, of which colour."""

    direction: tuple[float, float, float]
    key: float
    ambient: float
    tint: tuple[float, float, float]
    shadow: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """The camera's own near-infrared light, which falls off with distance."""

    key: float
    ambient: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a camera looks at; half width and depth in metres. `seed` places the furniture.

    `grain` scales the patterns of ground and wall; the tones multiply their red, green, blue and
    near-infrared reflectances.
    """

    ground: Ground
    wall: Wall
    half_width: float
    depth: float
    seed: int
    grain: float = 1.0
    ground_tone: Tone | None = None
    wall_tone: Tone | None = None


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One camera. `facings` are the usual walking directions in degrees, 0 = towards it."""

    height: float
    pitch: float
    distance: tuple[float, float]
    facings: tuple[float, ...]
    day: Daylight
    lamp: Lamp
    place: Place
    exposure_spread: float
    resolution: float
    blur: float
    motion: float

    @property
    def position(self) -> Floats:
        """Where the camera hangs, in metres."""
        return np.array([0.0, 0.0, self.height])

    @property
    def axes(self) -> Floats:
        """The rows right, down and forward of the camera, as world directions."""
        angle = np.radians(self.pitch)
        return np.array(
            [
                [1.0, 0.0, 0.0],
                [0.0, -np.sin(angle), -np.cos(angle)],
                [0.0, np.cos(angle), -np.sin(angle)],
            ]
        )


CAMERAS: dict[int, Camera] = {
    1: Camera(
        height=2.5,
        pitch=9,
        distance=(4, 8),
        facings=(0, 20, -30, 180),
        day=Daylight(
            direction=(-0.3, -0.5, 0.9),
            key=0.75,
            ambient=0.55,
            tint=(1.0, 1.0, 0.97),
            shadow=0.15,
            noise=0.012,
        ),
        lamp=Lamp(key=1.2, ambient=0.12, noise=0.022),
        place=Place(ground="tile", wall="panel", half_width=4.2, depth=11, seed=11),
        exposure_spread=0.2,
        resolution=0.85,
        blur=0.8,
        motion=0.4,
    ),
    2: Camera(
        height=2.9,
        pitch=13,
        distance=(3.5, 7),
        facings=(160, 200, 180, 90),
        day=Daylight(
            direction=(0.1, 0.2, 1.0),
            key=0.7,
            ambient=0.38,
            tint=(1.12, 0.99, 0.78),
            shadow=0.1,
            noise=0.02,
        ),
        lamp=Lamp(key=1.2, ambient=0.10, noise=0.025),
        place=Place(ground="carpet", wall="doors", half_width=3.0, depth=10, seed=12),
        exposure_spread=0.3,
        resolution=0.65,
        blur=1.1,
        motion=0.5,
    ),
    3: Camera(
        height=2.6,
        pitch=11,
        distance=(3.5, 7),
        facings=(0, 180, 45, -45, 135),
        day=Daylight(
            direction=(0.2, -0.3, 0.95),
            key=0.7,
            ambient=0.45,
            tint=(1.05, 1.0, 0.88),
            shadow=0.12,
            noise=0.015,
        ),
        lamp=Lamp(key=1.2, ambient=0.12, noise=0.025),
        place=Place(ground="tile", wall="panel", half_width=3.6, depth=10, seed=13),
        exposure_spread=0.22,
        resolution=0.75,
        blur=1.0,
        motion=0.5,
    ),
    4: Camera(
        height=3.6,
        pitch=13,
        distance=(6, 13),
        facings=(0, 45, 180, -135),
        day=Daylight(
            direction=(0.75, -0.35, 0.75),
            key=1.25,
            ambient=0.36,
            tint=(1.02, 1.0, 0.95),
            shadow=0.85,
            noise=0.012,
        ),
        lamp=Lamp(key=1.3, ambient=0.08, noise=0.03),
        place=Place(ground="paver", wall="facade", half_width=30, depth=20, seed=14),
        exposure_spread=0.25,
        resolution=0.6,
        blur=0.9,
        motion=0.4,
    ),
    5: Camera(
        height=3.2,
        pitch=12,
        distance=(6, 12),
        facings=(90, -90, 70, -110),
        day=Daylight(
            direction=(-0.5, 0.6, 0.6),
            key=0.45,
            ambient=0.62,
            tint=(0.88, 0.98, 1.14),
            shadow=0.25,
            noise=0.022,
        ),
        lamp=Lamp(key=1.3, ambient=0.08, noise=0.032),
        place=Place(ground="asphalt", wall="hedge", half_width=30, depth=18, seed=15),
        exposure_spread=0.32,
        resolution=0.5,
        blur=1.2,
        motion=0.6,
    ),
    6: Camera(
        height=3.3,
        pitch=13,
        distance=(5, 9),
        facings=(0, 180, 90, -90, 30),
        day=Daylight(
            direction=(-0.6, -0.5, 0.7),
            key=1.0,
            ambient=0.42,
            tint=(0.97, 1.0, 1.04),
            shadow=0.7,
            noise=0.015,
        ),
        lamp=Lamp(key=1.35, ambient=0.08, noise=0.035),
        place=Place(ground="asphalt", wall="facade", half_width=14, depth=14, seed=16),
        exposure_spread=0.28,
        resolution=0.65,
        blur=1.2,
        motion=0.7,
    ),
}
CAMERAS |= {heat: CAMERAS[beside] for heat, beside in THERMAL_CAMERAS.items()}
