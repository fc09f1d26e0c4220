"""The place that a camera looks at: ground, walls and furniture, traced analytically."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled
from crosslight.data.promenade.cameras import Camera, Ground, Place, Tone
from crosslight.data.promenade.noise import texture

_FAR = 1e6


@dataclass(frozen=True, kw_only=True)
class Box:
    """An upright box: two corners in metres, linear colour and infrared reflectance."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    colour: tuple[float, float, float]
    infrared: float


@dataclass(frozen=True, kw_only=True)
class Backdrop:
    """What `n` rays hit.

    Attributes:
        albedo: `(n, 4)` red, green, blue, near-infrared.
        normals: `(n, 3)`.
        depth: `(n,)` multiples of the ray.
        heat: `(n,)` as in the mesh: 0 cold, 1 skin.
        points: `(n, 3)` metres.
        ground: `(g,)` the numbers of the rays that hit the ground.
    """

    albedo: Floats
    normals: Floats
    depth: Floats
    heat: Floats
    points: Floats
    ground: Integers


@cache
def furniture(place: Place) -> tuple[Box, ...]:
    """The boxes, cupboards and pillars of a place; weakly coloured, or they would be a shortcut."""
    rng = np.random.default_rng(place.seed)
    boxes = []
    for _ in range(7):
        width, height = rng.uniform(0.15, 0.9), (0.5, 0.9, 1.1, 2.4, 3.0)[rng.integers(5)]
        reach = min(place.half_width, 7)
        x, y = rng.uniform(-reach, reach), rng.uniform(0.72 * place.depth, 0.97 * place.depth)
        depth = rng.uniform(0.2, 0.6)
        colour = rng.uniform(0.05, 0.5) * (1 + 0.22 * rng.uniform(-1, 1, 3))
        boxes.append(
            Box(
                low=(x - width / 2, y, 0.0),
                high=(x + width / 2, y + depth, height),
                colour=(float(colour[0]), float(colour[1]), float(colour[2])),
                infrared=rng.uniform(0.1, 0.7),
            )
        )
    return tuple(boxes)


@compiled
def _slab(low: Floats, high: Floats, origin: Floats, inverse: Floats) -> tuple[float, float, int]:
    """Where a ray enters and leaves a box, and by which axis it enters."""
    nearest, farthest, entered = -np.inf, np.inf, 0
    for axis in range(3):
        first = (low[axis] - origin[axis]) * inverse[axis]
        second = (high[axis] - origin[axis]) * inverse[axis]
        if min(first, second) > nearest:
            nearest, entered = min(first, second), axis
        farthest = min(farthest, max(first, second))
    return nearest, farthest, entered


@compiled
def _slabs(
    low: Floats, high: Floats, origin: Floats, inverse: Floats
) -> tuple[Floats, Floats, Integers]:
    count = inverse.shape[0]
    enter, leave = np.empty(count), np.empty(count)
    side = np.empty(count, np.int64)
    for ray in range(count):
        enter[ray], leave[ray], side[ray] = _slab(low, high, origin, inverse[ray])
    return enter, leave, side


def hit_box(box: Box, origin: Floats, inverse: Floats) -> tuple[Floats, Floats, Integers]:
    """Where rays enter and leave a box, and by which axis they enter: `(n,)` each."""
    return _slabs(np.array(box.low), np.array(box.high), origin, inverse)


@dataclass(frozen=True, kw_only=True)
class _Furniture:
    """The boxes of a place as arrays: corners `(b, 3)`, albedo `(b, 4)` and heat `(b,)`."""

    low: Floats
    high: Floats
    albedo: Floats
    heat: Floats


@cache
def _furniture(place: Place) -> _Furniture:
    boxes = furniture(place)
    return _Furniture(
        low=np.array([box.low for box in boxes]),
        high=np.array([box.high for box in boxes]),
        albedo=np.array([[*box.colour, box.infrared] for box in boxes]),
        heat=np.array([0.2 + 0.2 * box.infrared * (box.colour[0] > 0.3) for box in boxes]),
    )


_GROUND, _BACK, _SIDE, _BOXES = 0, 1, 2, 3
"""What a ray hits first; from `_BOXES` on, which box."""


@compiled
def _first_hits(
    rays: Floats, origin: Floats, half_width: float, wall: float, low: Floats, high: Floats
) -> tuple[Integers, Floats, Floats, Floats]:
    """What each ray hits first, how far away, where, and the normal there."""
    count = rays.shape[0]
    kinds, depths = np.empty(count, np.int8), np.empty(count)
    points, normals = np.empty((count, 3)), np.zeros((count, 3))
    inverse = np.empty(3)
    for ray in range(count):
        for axis in range(3):
            part = rays[ray, axis]
            inverse[axis] = 1 / (1e-9 if np.abs(part) < 1e-9 else part)
        to_ground = -origin[2] * inverse[2] if inverse[2] < 0 else _FAR
        to_back = wall * inverse[1] if inverse[1] > 0 else _FAR
        depth = min(min(to_ground, to_back), half_width * np.abs(inverse[0]))
        kind, facing = _SIDE, 0
        if depth == to_ground:
            kind, facing = _GROUND, 2
        elif depth == to_back:
            kind, facing = _BACK, 1
        for box in range(low.shape[0]):
            nearest, farthest, entered = _slab(low[box], high[box], origin, inverse)
            if nearest < farthest and 0 < nearest < depth:
                kind, facing, depth = _BOXES + box, entered, nearest
        kinds[ray], depths[ray] = kind, depth
        for axis in range(3):
            points[ray, axis] = origin[axis] + depth * rays[ray, axis]
        normals[ray, facing] = 1.0 if kind == _GROUND else -np.sign(rays[ray, facing])
    return kinds, depths, points, normals


def inverse_of(rays: Floats) -> Floats:
    """One over the directions, safe where they are zero."""
    safe: Floats = 1 / np.where(np.abs(rays) < 1e-9, 1e-9, rays)
    return safe


_GROUNDS: dict[Ground, tuple[int, tuple[float, float, float, float]]] = {
    "tile": (0, (0.30, 0.285, 0.26, 0.40)),
    "carpet": (1, (0.14, 0.10, 0.09, 0.40)),
    "paver": (2, (0.33, 0.30, 0.27, 0.38)),
    "asphalt": (3, (0.12, 0.12, 0.125, 0.18)),
}
"""The number and the albedo of each kind of ground."""


@compiled
def _pave(kind: int, x: Floats, y: Floats, stains: Floats, base: Floats) -> Floats:
    albedo = np.empty((len(x), 4))
    for point in range(len(x)):
        across, along = x[point], y[point]
        if kind == 0:
            line = across % 0.6 < 0.025 or along % 0.6 < 0.025
        elif kind == 1:
            line = (across + 0.5) % 1.4 < 0.25
        elif kind == 2:
            shifted = across + (0.2 if along % 0.4 < 0.2 else 0.0)
            line = shifted % 0.4 < 0.03 or along % 0.2 < 0.02
        else:
            line = np.abs(across - 1.2) < 0.07
        for channel in range(4):
            shade = base[channel] * stains[point]
            if line:
                shade = 0.55 if kind == 3 else shade * 0.55
            albedo[point, channel] = shade
    return albedo


def _ground(place: Place, x: Floats, y: Floats) -> Floats:
    x, y = x / place.grain, y / place.grain
    stains = 1 + 0.10 * texture(x * 0.13, y * 0.13) + 0.08 * texture(x * 1.1, y * 1.1)
    kind, base = _GROUNDS[place.ground]
    return _toned(_pave(kind, x, y, stains, np.array(base)), place.ground_tone)


def _toned(albedo: Floats, tone: Tone | None) -> Floats:
    return albedo if tone is None else np.minimum(albedo * np.array(tone), 1.2)


def _wall(place: Place, along: Floats, height: Floats) -> Floats:
    albedo: Floats
    along = along / place.grain
    if place.wall == "panel":
        low = (height < 1.1)[:, None]
        albedo = np.where(low, [0.25, 0.28, 0.30, 0.4], [0.62, 0.61, 0.57, 0.6])
        albedo = albedo * (1 + 0.04 * texture(along * 0.2, height * 0.2))[:, None]
        board = (np.mod(along + 0.3, 2.6) < 0.9) & (height > 1.2) & (height < 2.2)
        albedo[board] = [0.12, 0.21, 0.34, 0.3]
        albedo[height < 0.1] = 0.06
    elif place.wall == "doors":
        albedo = np.array([0.50, 0.44, 0.33, 0.5])
        albedo = albedo * (1 + 0.05 * texture(along * 0.3, height * 0.3))[:, None]
        bay = np.mod(along, 3.0)
        albedo[(bay < 1.0) & (height < 2.1)] = [0.17, 0.085, 0.04, 0.35]
        frame = (np.abs(bay - 0.5) < 0.53) & (np.abs(bay - 0.5) > 0.47) & (height < 2.15)
        albedo[frame] = [0.5, 0.5, 0.48, 0.5]
    elif place.wall == "facade":
        albedo = np.array([0.34, 0.22, 0.16, 0.35])
        albedo = albedo * (1 + 0.1 * texture(along * 0.7, height * 0.7))[:, None]
        albedo[np.mod(height, 0.22) < 0.03] *= 1.25
        storey = np.mod(height, 3.1)
        window = (np.mod(along, 2.4) < 1.3) & (storey > 0.9) & (storey < 2.4)
        glare = texture(along[window] * 0.1, height[window] * 0.3) > 0.2
        albedo[window] = np.array([0.06, 0.08, 0.10, 0.07]) + 0.10 * glare[:, None]
        albedo[(np.mod(along + 0.7, 9.6) < 1.1) & (height < 2.2)] = [0.03, 0.05, 0.05, 0.2]
    else:
        leaves = texture(along * 0.9, height * 0.9) + texture(along * 3.7, height * 3.7) * 0.7
        albedo = np.array([0.055, 0.10, 0.03, 0.55]) * (1 + 0.45 * leaves)[:, None]
        albedo = np.clip(albedo, 0.005, 1)
        sky = height > 3.3 + 0.35 * texture(along * 0.05, along * 0.05)
        albedo[sky] = [0.9, 1.0, 1.15, 0.25]
        albedo[height < 0.25] = [0.30, 0.29, 0.27, 0.3]
    return _toned(albedo, place.wall_tone)


def trace_backdrop(camera: Camera, rays: Floats) -> Backdrop:
    """Follows `(n, 3)` rays from the camera to the first thing behind the people."""
    place, boxes = camera.place, _furniture(camera.place)
    kinds, depth, points, normals = _first_hits(
        rays,
        camera.position,
        float(place.half_width),
        float(place.depth),
        boxes.low,
        boxes.high,
    )
    count = len(rays)
    albedo, heat = np.empty((count, 4)), np.empty(count)
    ground = np.flatnonzero(kinds == _GROUND)
    x, y = points[ground].T[:2]
    albedo[ground] = _ground(place, x, y)
    heat[ground] = 0.22 + 0.03 * texture(x * 0.13, y * 0.13)
    for kind, axis in ((_BACK, 1), (_SIDE, 0)):
        wall = np.flatnonzero(kinds == kind)
        if not len(wall):
            continue
        there = points[wall]
        along, height = there[:, 1 - axis], there[:, 2]
        painted = _wall(place, along, height)
        albedo[wall] = painted
        foliage = painted[:, 3] > 0.45
        heat[wall] = 0.16 + 0.05 * texture(along * 0.15, height * 0.15) + 0.05 * foliage
    hit = np.flatnonzero(kinds >= _BOXES)
    if len(hit):
        box, there = kinds[hit] - _BOXES, points[hit]
        grain = texture(there[:, 0] * 0.9 + there[:, 1], there[:, 2] * 0.6)
        albedo[hit] = boxes.albedo[box] * (1 + 0.1 * grain)[:, None]
        heat[hit] = boxes.heat[box]
    return Backdrop(
        albedo=albedo, normals=normals, depth=depth, heat=heat, points=points, ground=ground
    )
