"""Light in three spectra: what a camera measures of a figure and of the place behind it.

Images of the thermal camera have two channels here: what is seen, and the same with a neutral
look. The sensor sets its gain by the second, so that clothes do not change the rest of the picture.
"""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Floats, Integers, dot, unit
from crosslight.data.promenade.cameras import Camera
from crosslight.data.promenade.factors import Body, Cut, Look, Pose, Slot, Spectrum, View
from crosslight.data.promenade.frame import Actor
from crosslight.data.promenade.light import ambient_occlusion, sun_visibility
from crosslight.data.promenade.materials import Paint, Surface, paint
from crosslight.data.promenade.mesh import Part
from crosslight.data.promenade.noise import folds, texture
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


def _bumped(normals: Floats, surface: Surface, fold: Floats, seed: float) -> tuple[Floats, Floats]:
    """Normals bent by folds that run along limbs, and the depth of the folds there."""
    limb = (surface.parts == Part.SLEEVE) | (surface.parts == Part.LEG)
    # Mirrored around limbs and periodic around the trunk: no seam.
    mirrored = np.abs(surface.turn - 0.5) * 1.2 * surface.around
    across = np.where(limb, mirrored, surface.turn) + seed + 0.25 * surface.along
    along = surface.along * np.where(limb, 1.5, 0.8) + 0.37 * seed
    depth = folds(across, along)
    slope_across = folds(across + 0.012, along) - depth
    slope_along = folds(across, along + 0.012) - depth
    side = unit(np.stack([-normals[:, 1], normals[:, 0], np.zeros(len(normals))], axis=1))
    up = np.stack(
        [
            normals[:, 1] * side[:, 2] - normals[:, 2] * side[:, 1],
            normals[:, 2] * side[:, 0] - normals[:, 0] * side[:, 2],
            normals[:, 0] * side[:, 1] - normals[:, 1] * side[:, 0],
        ],
        axis=1,
    )
    strength = (1.5 * fold)[:, None]
    bend = 1.2 * slope_across[:, None] * side + slope_along[:, None] * up
    return unit(normals + strength * bend), depth


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
    capsules = actor.capsules if shadowed else actor.capsules[:0]
    sun = sun_direction(camera, view)
    hard = shadowed and spectrum == Spectrum.VISIBLE and camera.day.shadow > _HARD_SHADOW
    sunny = np.ones(len(actor.positions), np.float32)
    if hard:
        sunny = sun_visibility(actor.positions, actor.normals, sun, capsules)
    occlusion = ambient_occlusion(actor.positions, actor.normals, capsules)
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
    values = fragments.interpolate(attributes)
    corner = fragments.corners[:, 0]
    surface = Surface(
        turn=values[:, 6],
        along=values[:, 7],
        around=actor.mesh.surface[corner, 2],
        parts=actor.mesh.parts[corner],
        slots=actor.mesh.slots[corner],
    )
    normals = unit(values[:, :3])
    to_camera = unit(camera.position.astype(np.float32) - values[:, 3:6])
    normals[dot(normals, to_camera) < -0.15] *= -1
    painted = paint(wearer.body, wearer.cut, wearer.look, surface)
    normals, crease = _bumped(normals, surface, painted.fold, wearer.pose.fold_seed)
    facing = np.clip(dot(normals, to_camera), 0, 1)
    if spectrum == Spectrum.THERMAL:
        return _shade_thermal(wearer, painted, values[:, 9], facing, crease)
    ambient = values[:, 10] * (1 + 0.09 * painted.fold * crease)
    colour: Floats
    if spectrum == Spectrum.NEAR_INFRARED:
        lamp = camera.lamp
        fall = (view.y / np.maximum(values[:, 4], 1)) ** 1.6 if not shadowed else 1.0
        lit = (0.15 + 0.85 * facing) * (0.55 + 0.45 * ambient)
        light = lamp.ambient * ambient + lamp.key * fall * lit
        colour = (painted.albedo[:, 3] * light + painted.gloss * 0.25 * facing**24)[:, None]
        return colour
    day = camera.day
    shadow = 1 - day.shadow * (1 - values[:, 11]) if hard else np.float32(1)
    towards_sun = normals @ sun.astype(np.float32)
    if day.shadow > _HARD_SHADOW:
        diffuse = np.clip(towards_sun, 0, 1) * shadow
    else:
        diffuse = np.clip(towards_sun * 0.7 + 0.3, 0, 1)
    sky = (0.6 + 0.4 * normals[:, 2]) * ambient
    halfway = unit(to_camera + sun.astype(np.float32))
    gleam = np.clip(dot(normals, halfway), 0, 1) ** 18
    specular = (painted.gloss * 0.5 + 0.02) * gleam * shadow
    bounce = 0.10 * ambient * np.clip(-normals[:, 2], 0, 1)
    light = day.ambient * sky + day.key * diffuse * (0.4 + 0.6 * ambient) + bounce
    colour = painted.albedo[:, :3] * light[:, None] + (specular * day.key * 0.4)[:, None]
    return colour
