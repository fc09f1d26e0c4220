"""Light in three spectra: what a camera measures of a figure and of the place behind it.

Images of the thermal camera have two channels here: what is seen, and the same with a neutral
look. The sensor sets its gain by the second, so that clothes do not change the rest of the picture.
"""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, compiled, dot, unit
from crosslight.data.promenade.cameras import Camera, Lamp
from crosslight.data.promenade.factors import Body, Cut, Look, Pose, Slot, Spectrum, View
from crosslight.data.promenade.frame import Actor
from crosslight.data.promenade.light import ambient_occlusion, sun_visibility
from crosslight.data.promenade.materials import Paint, Surface, paint
from crosslight.data.promenade.mesh import Part
from crosslight.data.promenade.noise import fold_slopes, texture
from crosslight.data.promenade.normals import bend, orient
from crosslight.data.promenade.raster import Fragments
from crosslight.data.promenade.scene import Backdrop, Box

CHANNELS: dict[Spectrum, int] = {
    Spectrum.VISIBLE: 3,
    Spectrum.NEAR_INFRARED: 1,
    Spectrum.THERMAL: 2,
}
_AMBIENT_HEAT = 0.22
_HARD_SHADOW = 0.5
"""Cameras whose shadow is stronger than this see the sun itself, the others an overcast sky."""


@dataclass(frozen=True, kw_only=True)
class Wearer:
    """Whose figure is shaded."""

    body: Body
    cut: Cut
    pose: Pose
    look: Look


def sun_direction(camera: Camera, view: View) -> Floats:
    """The unit vector towards the main light, with the view's jitter."""
    jitter = np.array([view.light_x, view.light_y, view.light_z])
    return unit(np.array(camera.day.direction) + jitter)


def shade_backdrop(
    backdrop: Backdrop,
    camera: Camera,
    view: View,
    rays: Floats,
    spectrum: Spectrum,
    capsules: Floats,
) -> Floats:
    """The place without people, `(n, channels)`; `capsules` cast the person's shadow."""
    points, ground = backdrop.points, backdrop.ground
    if spectrum == Spectrum.THERMAL:
        drift = texture(points[:, 0] * 0.11, points[:, 1] * 0.11 + points[:, 2] * 0.2)
        heat = backdrop.heat + 0.03 * drift
        return np.stack([heat, heat], axis=1)
    on_ground = points[ground]
    from_person = (on_ground[:, 0] - view.x) ** 2 + (on_ground[:, 1] - view.y) ** 2
    contact = 1 - 0.55 * np.exp(-from_person / 0.12)
    light: Floats
    if spectrum == Spectrum.NEAR_INFRARED:
        lamp = camera.lamp
        offset = points - camera.position
        distance = np.sqrt(dot(offset, offset))
        facing = np.clip(-dot(backdrop.normals, unit(rays)), 0.02, 1)
        fall = (view.y / np.maximum(distance, 1)) ** 1.6
        light = lamp.ambient * 0.6 + lamp.key * 1.3 * facing * fall
        light[ground] *= 0.5 + 0.5 * contact
        lit: Floats = backdrop.albedo[:, 3:] * light[:, None]
        return lit
    day, sun = camera.day, sun_direction(camera, view)
    visible = np.ones(len(points))
    if day.shadow > _HARD_SHADOW and len(on_ground):
        seen = sun_visibility(on_ground, np.zeros_like(on_ground), sun, capsules)
        visible[ground] = 1 - day.shadow * (1 - seen)
    light = day.ambient + day.key * np.clip(backdrop.normals @ sun, 0, 1) * visible
    light[ground] *= contact
    coloured: Floats = backdrop.albedo[:, :3] * light[:, None]
    return coloured


def shade_obstacle(box: Box, grain: Floats, camera: Camera, spectrum: Spectrum) -> Floats:
    """The colour of an obstacle's pixels, `(k, channels)`."""
    if spectrum == Spectrum.THERMAL:
        heat = 0.2 + 0.03 * grain
        return np.stack([heat, heat], axis=1)
    weave = (1 + 0.12 * grain)[:, None]
    colour: Floats
    if spectrum == Spectrum.NEAR_INFRARED:
        colour = box.infrared * 0.6 * camera.lamp.key * weave
    else:
        colour = np.array(box.colour) * (camera.day.ambient + camera.day.key * 0.45) * weave
    return colour


def _heat(slots: Integers, heat: Floats, insulation: Floats) -> Floats:
    """Surface heat: skin, then thin or tight cloth, then thick cloth, then bags and shoes."""
    warm = np.where(slots >= Slot.UPPER, heat * (1.12 - 0.35 * insulation), heat)
    warm = np.where(slots == Slot.HAIR, 0.40 + 0.1 * insulation, warm)
    warm = np.where(slots == Slot.INNER, 0.8, warm)
    warm = np.where(slots == Slot.BAG, 0.16, warm)
    warmed: Floats = np.where(slots == Slot.HAT, 0.36, warm)
    return warmed


def _shade_thermal(
    wearer: Wearer, painted: Paint, heat: Floats, facing: Floats, crease: Floats
) -> Floats:
    channels = []
    emitted = 0.82 + 0.18 * np.sqrt(facing)
    creased = 0.035 * crease * (painted.slots >= Slot.UPPER)
    worn = np.array([material.insulation for material in wearer.look.materials])[painted.slots]
    for insulation in (worn, np.full(len(worn), 0.5)):
        warm = _heat(painted.slots, heat, insulation)
        channels.append(_AMBIENT_HEAT + (warm - _AMBIENT_HEAT) * emitted + creased)
    return np.stack(channels, axis=1)


@compiled
def _fold_places(
    parts: Integers, turn: Floats, along: Floats, around: Floats, seed: np.float32, start: float
) -> tuple[Floats, Floats]:
    """Where in the noise the folds of cloth are, which run along limbs."""
    across, up = np.empty(len(parts), np.float32), np.empty(len(parts))
    for point in range(len(parts)):
        limb = parts[point] == Part.SLEEVE or parts[point] == Part.LEG
        place = turn[point]
        if limb:  # mirrored around limbs and periodic around the trunk: no seam
            place = np.abs(place - np.float32(0.5)) * np.float32(1.2) * around[point]
        across[point] = place + seed + np.float32(0.25) * along[point]
        up[point] = along[point] * (1.5 if limb else 0.8) + start
    return across, up


@compiled
def _gleam(normals: Floats, towards: Floats, sun: Floats) -> Floats:
    """How near each normal is to the middle between camera and sun: `(n,)` from 0 to 1."""
    gleam = np.empty(normals.shape[0])
    for row in range(normals.shape[0]):
        x, y, z = towards[row, 0] + sun[0], towards[row, 1] + sun[1], towards[row, 2] + sun[2]
        length = np.sqrt(x * x + y * y + z * z) + np.float32(1e-9)
        x, y, z = x / length, y / length, z / length
        square = normals[row, 0] * x + normals[row, 2] * z + normals[row, 1] * y
        gleam[row] = min(max(square, 0.0), 1.0)
    return gleam


@compiled
def _by_day(
    albedo: Floats,
    ambient: Floats,
    towards_sun: Floats,
    rise: Floats,
    gleam: Floats,
    gloss: Floats,
    shadow: Floats,
    key: float,
    sky_light: float,
    hard: bool,  # compiled functions take no keywords alone
) -> Floats:
    """The colours of `n` points by daylight, `(n, 3)`; `rise` is how far they face upwards."""
    colour = np.empty((albedo.shape[0], 3), np.float32)
    for row in range(albedo.shape[0]):
        dim = ambient[row]
        if hard:
            diffuse = min(max(towards_sun[row], 0.0), 1.0) * shadow[row]
        else:
            diffuse = min(max(towards_sun[row] * 0.7 + 0.3, 0.0), 1.0)
        sky = (0.6 + 0.4 * rise[row]) * dim
        shine = (gloss[row] * np.float32(0.5) + np.float32(0.02)) * gleam[row] * shadow[row]
        bounce = (np.float32(0.10) * dim) * min(max(-rise[row], 0.0), 1.0)
        open_sky = np.float32(0.4) + np.float32(0.6) * dim
        light = sky_light * sky + key * diffuse * open_sky + bounce
        for channel in range(3):
            colour[row, channel] = albedo[row, channel] * light + shine * key * 0.4
    return colour


def _values(
    actor: Actor, fragments: Fragments, sun: Floats, *, shadowed: bool, hard: bool
) -> Floats:
    """Normal, position, garment coordinates, ambient light and sunshine at the pixels."""
    capsules = actor.capsules if shadowed else actor.capsules[:0]
    seen = np.zeros(len(actor.positions), bool)
    seen[fragments.corners.ravel()] = True
    sunny = np.ones(len(actor.positions), np.float32)
    if hard:
        sunny = sun_visibility(actor.positions, actor.normals, sun, capsules, seen)
    occlusion = ambient_occlusion(actor.positions, actor.normals, capsules, seen)
    attributes = np.concatenate(
        [
            actor.normals,
            actor.positions,
            actor.mesh.surface,
            occlusion[:, None],
            sunny[:, None],
        ],
        axis=1,
        dtype=np.float32,
    )
    return fragments.interpolate(attributes)


def shade_actor(
    actor: Actor,
    wearer: Wearer,
    fragments: Fragments,
    camera: Camera,
    view: View,
    spectrum: Spectrum,
    *,
    shadowed: bool,
) -> Floats:
    """The colour of a figure's pixels, `(k, channels)`.

    Args:
        actor: The figure in the world.
        wearer: Its body, cut, pose and look.
        fragments: Where it is seen.
        camera: By which camera.
        view: Its place and light.
        spectrum: In which light.
        shadowed: Whether its limbs darken each other; bystanders do without.
    """
    day, sun = camera.day, sun_direction(camera, view)
    overcast = day.shadow <= _HARD_SHADOW
    hard = shadowed and spectrum == Spectrum.VISIBLE and not overcast
    values = _values(actor, fragments, sun, shadowed=shadowed, hard=hard)
    corner = fragments.corners[:, 0]
    surface = Surface(
        turn=values[:, 6],
        along=values[:, 7],
        around=actor.mesh.surface[corner, 2],
        parts=actor.mesh.parts[corner],
        slots=actor.mesh.slots[corner],
    )
    normals, to_camera = orient(values, camera.position.astype(np.float32))
    painted = paint(wearer.body, wearer.cut, wearer.look, surface)
    seed = wearer.pose.fold_seed
    places = _fold_places(
        surface.parts,
        surface.turn,
        surface.along,
        surface.around,
        np.float32(seed),
        0.37 * seed,
    )
    folds = fold_slopes(*places)
    normals, facing = bend(normals, to_camera, folds, 1.5 * painted.fold)
    if spectrum == Spectrum.THERMAL:
        return _shade_thermal(wearer, painted, values[:, 9], facing, folds[:, 0])
    ambient = values[:, 10] * (1 + 0.09 * painted.fold * folds[:, 0])
    if spectrum == Spectrum.NEAR_INFRARED:
        fall: Floats | float = 1.0
        if not shadowed:
            fall = (view.y / np.maximum(values[:, 4], 1)) ** 1.6
        return _shade_by_lamp(camera.lamp, painted, ambient, facing, fall)
    shadow = np.ones(len(values), np.float32)
    if hard:
        shadow = 1 - day.shadow * (1 - values[:, 11])
    noon = sun.astype(np.float32)
    return _by_day(
        painted.albedo,
        ambient,
        normals @ noon,
        normals[:, 2],
        _gleam(normals, to_camera, noon) ** 18,
        painted.gloss,
        shadow,
        day.key,
        day.ambient,
        not overcast,
    )


def _shade_by_lamp(
    lamp: Lamp, painted: Paint, ambient: Floats, facing: Floats, fall: Floats | float
) -> Floats:
    lit = (0.15 + 0.85 * facing) * (0.55 + 0.45 * ambient)
    light = lamp.ambient * ambient + lamp.key * fall * lit
    colour: Floats = painted.albedo[:, 3] * light + painted.gloss * 0.25 * facing**24
    return colour[:, None]
