"""Things between the camera and the person: poles, rails, carts, plants."""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers
from crosslight.data.promenade.factors import View
from crosslight.data.promenade.noise import texture
from crosslight.data.promenade.scene import Box, hit_box, inverse_of

_LEAF_COLOUR, _LEAF_INFRARED = (0.05, 0.10, 0.03), 0.6


@dataclass(frozen=True, kw_only=True)
class Cover:
    """The `k` pixels that an obstacle covers, with its grain there: `(k,)` each."""

    pixels: Integers
    depth: Floats
    grain: Floats
    box: Box


def draw_obstacle(rng: np.random.Generator, view: View) -> tuple[Box, ...]:
    """The boxes of the view's obstacle, between the camera and the person."""
    y = view.y - rng.uniform(0.5, 1.2)
    x = view.x * y / view.y
    side = (-1, 1)[rng.integers(2)]
    tone = rng.uniform(0.03, 0.4) * (1 + 0.2 * rng.uniform(-1, 1, 3))
    colour = (float(tone[0]), float(tone[1]), float(tone[2]))
    infrared = rng.uniform(0.1, 0.6)
    width, offset, height = rng.uniform(0.4, 0.8), rng.uniform(0.1, 0.35), rng.uniform(0.5, 1.0)

    def box(corner: tuple[float, float, float], size: tuple[float, float], top: float) -> Box:
        high = (corner[0] + size[0], corner[1] + size[1], top)
        return Box(low=corner, high=high, colour=colour, infrared=infrared)

    if view.occluder == "pole":
        return (box((x + side * min(offset, 0.28) - 0.06, y, 0.0), (0.11, 0.12), 3.2),)
    if view.occluder == "rail":
        bars = [box((x - 3, y, 0.85), (6, 0.05), 0.93), box((x - 3, y, 0.45), (6, 0.04), 0.5)]
        posts = [box((x - 3 + 0.56 * post, y, 0.0), (0.03, 0.03), 0.9) for post in range(11)]
        return tuple(bars + posts)
    if view.occluder in ("cart", "plant"):
        start = x + side * (offset + 0.05) - (width if side < 0 else 0)
        return (box((start, y, 0.0), (width, 0.4), height),)
    return ()


def cover(boxes: tuple[Box, ...], view: View, origin: Floats, rays: Floats) -> list[Cover]:
    """Which pixels the boxes cover, nearest last hit first in the order given."""
    covers = []
    inverse = inverse_of(rays)
    for box in boxes:
        enter, leave, _ = hit_box(box, origin, inverse)
        pixels = np.flatnonzero((enter < leave) & (enter > 0))
        points = origin + enter[pixels, None] * rays[pixels]
        grain = texture(points[:, 0] * 1.7, points[:, 2] * 1.7)
        if view.occluder == "plant":
            leaves = grain + 0.8 * texture(points[:, 0] * 5, points[:, 2] * 5)
            dense = leaves > -0.5 + 1.2 * (points[:, 2] / box.high[2] - 0.5)
            pixels, grain = pixels[dense], grain[dense]
            box = Box(low=box.low, high=box.high, colour=_LEAF_COLOUR, infrared=_LEAF_INFRARED)
        covers.append(Cover(pixels=pixels, depth=enter[pixels], grain=grain, box=box))
    return covers
