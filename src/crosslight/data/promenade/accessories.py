"""Bags."""

import numpy as np

from crosslight.data.promenade.arrays import evenly
from crosslight.data.promenade.factors import Cut, Slot
from crosslight.data.promenade.mesh import MeshBuilder
from crosslight.data.promenade.skeleton import Skeleton

_HEAT = 0.1
_BOX = 4.0


def add_bag(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    """Adds the bag, if there is one; the straps on the clothes are painted, not modelled."""
    if cut.bag == "backpack":
        _add_backpack(mesh, skeleton, cut)
    elif cut.bag == "messenger":
        scale = cut.bag_size
        beside = cut.bag_side * (skeleton.hip_width + cut.slack + 0.055 * scale)
        hip = skeleton.spine_at(-0.03 * skeleton.body.height)
        mesh.ball(
            hip + np.array([beside, -0.03, 0.0]),
            (0.055 * scale, 0.155 * scale, 0.115 * scale),
            slot=Slot.BAG,
            heat=_HEAT,
            rings=10,
            sides=18,
            exponent=_BOX,
        )
    elif cut.bag in ("handbag", "tote"):
        _add_handbag(mesh, skeleton, cut)


def _add_backpack(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    scale, torso = cut.bag_size, skeleton.torso
    height = 0.20 * skeleton.body.height
    behind = float(skeleton.back(np.array([height]))[0]) + cut.slack + 0.062 * scale
    centre = skeleton.spine_at(height) + torso @ np.array([0.0, -behind, 0.0])
    mesh.ball(
        centre,
        (0.145 * scale, 0.085 * scale, 0.215 * scale),
        slot=Slot.BAG,
        heat=_HEAT,
        axes=torso.T,
        rings=12,
        sides=24,
        exponent=_BOX,
    )
    mesh.ball(
        centre + torso @ np.array([0.0, -0.085 * scale, -0.06 * scale]),
        (0.105 * scale, 0.035 * scale, 0.10 * scale),
        slot=Slot.BAG,
        heat=_HEAT,
        axes=torso.T,
        rings=8,
        sides=16,
        exponent=_BOX,
    )


def _add_handbag(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    scale, side = cut.bag_size, cut.bag_side
    tall, width = skeleton.body.height, skeleton.shoulder_width
    hand = skeleton.arms[0 if side < 0 else 1].hand
    if cut.bag == "handbag":
        centre = hand + np.array([0.0, 0.0, -0.19 * scale - 0.03])
    else:
        beside = side * (width * 0.95 + 0.055 * scale)
        centre = skeleton.spine_at(0.02 * tall) + np.array([beside, -0.05, 0.0])
    mesh.ball(
        centre,
        (0.05 * scale, 0.14 * scale, 0.13 * scale),
        slot=Slot.BAG,
        heat=_HEAT,
        rings=10,
        sides=18,
        exponent=_BOX,
    )
    station = evenly(0, 1, 6)[:, None]
    for shift in (-0.06, 0.06):
        held = hand
        if cut.bag == "tote":
            shoulder = np.array([side * width * 0.8, shift * 0.5, 0.035 * tall])
            held = skeleton.shoulders + skeleton.torso @ shoulder
        start = centre + np.array([0.0, shift * scale, 0.12 * scale])
        mesh.loft(
            start * (1 - station) + held * station, 0.008, 0.008, slot=Slot.BAG, heat=_HEAT, sides=6
        )
