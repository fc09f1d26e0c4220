"""Legs, shoes, arms and hands, with what covers them."""

import numpy as np

from crosslight.data.promenade.arrays import Floats, between, cross, evenly, profile, rotation, unit
from crosslight.data.promenade.factors import Cut, Slot
from crosslight.data.promenade.mesh import MeshBuilder, Part
from crosslight.data.promenade.noise import folds
from crosslight.data.promenade.skeleton import ArmPose, Leg, Skeleton, along_path

_LEG_POSITIONS = [0, 0.05, 0.15, 0.46, 0.52, 0.62, 0.72, 0.95, 1]
_LEG_RADII = np.array([0.026, 0.045, 0.049, 0.034, 0.033, 0.034, 0.033, 0.0195, 0.020])
_ARM_POSITIONS = [0, 0.04, 0.14, 0.5, 0.58, 0.9, 1]
_ARM_RADII = np.array([0.002, 0.024, 0.0295, 0.0235, 0.0235, 0.0155, 0.0150])
_SHOE_WIDTH = np.array([0.3, 0.75, 0.85, 0.83, 0.88, 0.98, 1.02, 0.95, 0.72, 0.2])
_SHOE_HEIGHT = np.array([0.45, 1, 1.12, 1.1, 0.95, 0.8, 0.68, 0.6, 0.48, 0.15])
_HIDDEN_THIGH = 0.24


def wears_skirt(cut: Cut) -> bool:
    """Whether the thighs are hidden under one piece of cloth."""
    return cut.upper == "dress" or cut.lower in ("skirt", "longskirt")


def _wrinkles(rings: int, sides: int, strength: float, seed: float, pitch: float) -> Floats:
    """Folds across a sleeve or trouser leg, closed around the tube: `(rings, sides + 1)`."""
    around = np.abs(np.arange(sides + 1) / sides - 0.5) * 0.5
    along = evenly(0, 1, rings)[:, None] * pitch
    wrinkles: Floats = strength * folds(around[None] + seed, along + 0.37 * seed)
    return wrinkles


def add_leg(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut, leg: Leg) -> None:
    """Adds a leg with trousers, shoe and boot shaft."""
    body = skeleton.body
    radius = profile(leg.stations, _LEG_POSITIONS, _LEG_RADII * body.height)
    radius = radius * body.girth**0.45 * (1 + 0.05 * body.sex * (leg.stations < 0.5))
    hidden = _HIDDEN_THIGH if wears_skirt(cut) else 0.0
    trousers: dict[str, tuple[float, float]] = {
        "trousers": (cut.leg_length, cut.leg_width),
        "leggings": (0.96, 0.002),
        "shorts": (cut.leg_length, cut.leg_width + 0.012),
    }
    cover, width = trousers.get(cut.lower, (0.0, 0.0))
    if cover < 0.99:
        first = max(int(hidden * 16), int(cover * 16) - 2)
        mesh.loft(
            leg.path[first:],
            radius[first:],
            radius[first:] * 1.03,
            slot=Slot.SKIN,
            heat=0.9,
            sides=14,
        )
    if cover > 0:
        stations = evenly(hidden, cover, 18)
        fit = width * between(stations, [0, 0.35, 1], [0.1, 0.75, 1 + cut.flare]) + 0.004
        bare = between(stations, leg.stations, radius)
        seed = skeleton.pose.fold_seed + 3.1 * leg.side
        mesh.loft(
            along_path(stations, leg.stations, leg.path),
            bare + fit,
            bare * 1.04 + fit,
            slot=Slot.LOWER,
            part=Part.LEG,
            heat=between(stations, [0, 0.4, 1], [0.8, 0.62, 0.42]) - 4 * width,
            sides=18,
            along_start=0.08,
            bulge=_wrinkles(18, 18, 0.028 * min(1.0, width * 50), seed, 0.9),
        )
    _add_shoe(mesh, skeleton, leg)
    if cut.boot > 0:
        stations = evenly(1 - cut.boot, 1.02, 6)
        shaft = between(stations, leg.stations, radius) + 0.012
        mesh.loft(
            along_path(stations, leg.stations, leg.path),
            shaft,
            shaft * 1.1,
            slot=Slot.SHOE,
            heat=0.35,
            sides=14,
        )


def _add_shoe(mesh: MeshBuilder, skeleton: Skeleton, leg: Leg) -> None:
    body = skeleton.body
    tall = body.height
    frame = rotation("z", -leg.side * body.toe_out) @ rotation("x", leg.foot_pitch)
    length = 0.150 * tall * (1 - 0.04 * body.sex)
    heel = leg.ankle + frame @ np.array([0.0, -0.045, -0.022 * tall])
    station = evenly(0, 1, 10)
    rise = between(station, [0, 0.35, 1], [0.004, 0, -0.012])
    centres = heel + (station * length)[:, None] * frame[:, 1] + rise[:, None] * frame[:, 2]
    mesh.loft(
        centres,
        _SHOE_WIDTH * 0.028 * tall,
        _SHOE_HEIGHT * 0.024 * tall,
        slot=Slot.SHOE,
        part=Part.FOOT,
        heat=0.25,
        axis_x=frame[:, 0],
        axis_y=frame[:, 2],
        sides=14,
        exponent=2.5,
    )


def add_arm(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut, arm: ArmPose, warmth: float) -> None:
    """Adds an arm with its sleeve and hand."""
    body = skeleton.body
    tall = body.height
    radius = profile(arm.stations, _ARM_POSITIONS, _ARM_RADII * tall)
    radius = radius * body.girth**0.35 * (1 - 0.10 * body.sex)
    if cut.sleeve < 0.99:
        mesh.loft(arm.path, radius, radius, slot=Slot.SKIN, heat=0.88, axis_x=arm.axis_x, sides=12)
    if cut.sleeve > 0:
        stations = evenly(0, min(cut.sleeve, 1.0), 17)
        cuff = 0.25 if cut.upper in ("hoodie", "sweater", "puffer") else 0.6
        fit = 0.005 + cut.slack * between(
            evenly(0, 1, 17), [0, 0.1, 0.9, 1], [0.3, 0.62, 0.6, cuff]
        )
        if cut.upper == "puffer":
            bulge: Floats = 0.05 * np.sin(evenly(0, 9 * np.pi, 17))[:, None]
        else:
            seed = skeleton.pose.fold_seed + 5.3 * arm.side
            bulge = _wrinkles(17, 14, 0.03 * min(1.0, cut.slack * 30), seed, 0.75)
        outer = between(stations, arm.stations, radius) + fit
        mesh.loft(
            along_path(stations, arm.stations, arm.path),
            outer,
            outer,
            slot=Slot.UPPER,
            part=Part.SLEEVE,
            heat=evenly(warmth, warmth - 0.12, 17),
            axis_x=arm.axis_x,
            sides=14,
            bulge=bulge,
        )
    palm = unit(cross(arm.forearm, arm.axis_x))
    mesh.ball(
        arm.wrist + arm.forearm * 0.037 * tall,
        (0.012 * tall, 0.022 * tall, 0.050 * tall),
        slot=Slot.SKIN,
        part=Part.HAND,
        heat=0.8,
        axes=np.stack([arm.axis_x, palm, arm.forearm]),
        rings=8,
        sides=10,
    )
