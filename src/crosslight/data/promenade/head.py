"""Neck, head, hair and hats."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from crosslight.data.promenade.arrays import Floats, between, evenly, rotation, unit
from crosslight.data.promenade.factors import Body, Cut, Hair, Slot
from crosslight.data.promenade.mesh import MeshBuilder, Part
from crosslight.data.promenade.noise import texture
from crosslight.data.promenade.skeleton import Skeleton, head_half_height

_RINGS, _SIDES = 22, 28
_LEVEL = np.sin(evenly(-np.pi / 2, np.pi / 2, _RINGS)) * 0.998
_WIDTH = ([-1, -0.93, -0.7, -0.35, 0.1, 0.45, 0.75, 0.92, 1],
          [0.10, 0.26, 0.48, 0.60, 0.66, 0.66, 0.54, 0.33, 0.03])  # fmt: skip
_FRONT = [0.30, 0.60, 0.74, 0.76, 0.80, 0.80, 0.64, 0.38, 0.03]
_BACK = ([-1, -0.7, -0.5, -0.2, 0.1, 0.45, 0.75, 0.92, 1],
         [0.10, 0.30, 0.52, 0.74, 0.88, 0.90, 0.72, 0.42, 0.03])  # fmt: skip
_VOLUME: dict[Hair, float] = {
    "bald": 0.0,
    "buzz": 0.015,
    "short": 0.06,
    "quiff": 0.08,
    "afro": 0.34,
    "bob": 0.13,
    "long": 0.11,
    "pony": 0.05,
    "bun": 0.05,
}
_HAIR_SIDE: dict[Hair, float] = {"bob": 0.155, "long": 0.16, "afro": 0.19}
_HAIR_BOTTOM: dict[Hair, float] = {"buzz": -0.28, "short": -0.38, "quiff": -0.30, "afro": -0.4}
BEANIE_EDGE = 0.30
"""How far down a beanie is pulled, between chin (-1) and crown (1)."""


def scalp(body: Body, turn: Floats, level: Floats, softness: float) -> Floats:
    """How hairy the head is, 0 to 1.

    Args:
        body: Whose head.
        turn: Turns around the head; the face is at 0.5.
        level: -1 at the chin, 1 at the crown.
        softness: Width of the hair line.
    """
    if body.hair == "bald":
        return np.zeros(np.broadcast_shapes(turn.shape, level.shape))
    lines: dict[Hair, float] = {
        "buzz": 0.60,
        "short": 0.55,
        "quiff": 0.56,
        "afro": 0.50,
        "bob": 0.42 + 0.15 * body.fringe,
        "long": 0.45 + 0.15 * body.fringe,
        "pony": 0.62,
        "bun": 0.62,
    }
    off_face = np.abs(turn - 0.5)
    top = np.clip((level - lines[body.hair]) / softness, 0, 1)
    beside = np.clip((off_face - _HAIR_SIDE.get(body.hair, 0.215)) / 0.02, 0, 1)
    bottom = _HAIR_BOTTOM.get(body.hair, -0.55) + 0.5 * np.clip((0.30 - off_face) / 0.1, 0, 1)
    hairy: Floats = np.maximum(top, beside * np.clip((level - bottom) / 0.08, 0, 1))
    return hairy


@dataclass(frozen=True, kw_only=True)
class HeadPlace:
    """Where the head is: the neck's foot and vector, the head's centre, axes (rows) and size."""

    neck_foot: Floats
    neck: Floats
    centre: Floats
    axes: Floats
    size: float


def place_head(skeleton: Skeleton) -> HeadPlace:
    """Puts the head on the neck, looking where the pose looks."""
    body, pose = skeleton.body, skeleton.pose
    tilt = -pose.head_pitch + 0.45 * pose.lean
    turned = skeleton.torso @ rotation("z", pose.head_yaw) @ rotation("x", tilt)
    foot = skeleton.spine_at(skeleton.neck_height)
    neck = unit(skeleton.torso @ np.array([0.0, 0.30, 1.0])) * 0.023 * body.height * body.neck
    size = head_half_height(body)
    offset = turned @ np.array([0.0, 0.012 * body.height, size * 0.95])
    return HeadPlace(
        neck_foot=foot, neck=neck, centre=foot + neck + offset, axes=turned.T, size=size
    )


def add_head(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut, place: HeadPlace) -> None:
    """Adds neck, head, ears, hair and hat."""
    body = skeleton.body
    station = evenly(-0.6, 1.6, 7)
    radius = between(station, [-0.6, 0, 1.6], [0.046, 0.034, 0.032]) * body.height
    radius = radius * (1 - 0.12 * body.sex) * body.girth**0.25
    mesh.loft(
        place.neck_foot + station[:, None] * place.neck,
        radius,
        radius,
        slot=Slot.SKIN,
        heat=0.97,
        axis_x=skeleton.torso[:, 0],
        sides=14,
    )
    _add_skull(mesh, body, cut, place)
    size, axes = place.size, place.axes
    for side in (-1, 1):
        mesh.ball(
            place.centre + np.array([side * 0.66, -0.06, -0.02]) * size @ axes,
            (0.05 * size, 0.10 * size, 0.17 * size),
            slot=Slot.SKIN,
            heat=0.85,
            axes=axes,
            rings=5,
            sides=8,
        )
    _add_long_hair(mesh, skeleton, place)
    _add_hat(mesh, cut, place)


def _add_skull(mesh: MeshBuilder, body: Body, cut: Cut, place: HeadPlace) -> None:
    size = place.size
    mesh.loft(
        place.centre + _LEVEL[:, None] * size * place.axes[2],
        between(_LEVEL, *_WIDTH) * size * (1 - 0.03 * body.sex),
        between(_LEVEL, _WIDTH[0], _FRONT) * size,
        between(_LEVEL, *_BACK) * size,
        slot=Slot.SKIN,
        part=Part.HEAD,
        heat=1.0,
        axis_x=place.axes[0],
        axis_y=place.axes[1],
        sides=_SIDES,
        exponent=2.15,
        along=_LEVEL,
        bulge=_relief(body, beanie=cut.hat == "beanie"),
    )


@lru_cache(maxsize=256)  # people come image after image
def _relief(body: Body, *, beanie: bool) -> Floats:
    """Hair, nose and eye sockets: how far they stand out, `(rings, sides + 1)`."""
    turn, rows = np.arange(_SIDES + 1)[None] / _SIDES, _LEVEL[:, None]
    hairy = scalp(body, turn, rows, 0.05)
    volume: Floats | float = _VOLUME[body.hair] * body.volume**0.6
    if beanie:
        covered = rows > BEANIE_EDGE
        hairy = np.where(covered, 0.9, hairy)
        volume = np.where(covered, np.maximum(volume, 0.07), volume)
    around = np.abs(turn - 0.5)  # mirrored, so that the tube closes without a seam
    lumps = 1 + 0.35 * texture(around * 0.6 + 0.13 * body.fringe, rows * 0.25 + body.volume)
    crest: Floats | float = 0.0
    if body.hair == "quiff":
        crest = 0.10 * np.exp(-(((rows - 0.85) / 0.25) ** 2)) * (around < 0.2)
    sockets = np.exp(-(((rows - 0.12) / 0.12) ** 2)) * (np.abs(around - 0.065) < 0.04)
    nose = np.exp(-(((rows + 0.18) / 0.16) ** 2) - (around / 0.03) ** 2)
    relief: Floats = hairy * (volume * lumps + crest) - 0.05 * (1 - hairy) * sockets + 0.10 * nose
    return relief


def _add_long_hair(mesh: MeshBuilder, skeleton: Skeleton, place: HeadPlace) -> None:
    body, size = skeleton.body, place.size
    down = np.array([0.0, 0.0, -1.0])
    if body.hair in ("long", "bob"):
        bob = body.hair == "bob"
        length = (1.25 if bob else 2.0 + 1.2 * body.fringe) * size
        station = evenly(0, 1, 12)
        start = place.centre + np.array([0.0, -0.26, 0.62]) * size @ place.axes
        backwards = skeleton.torso @ np.array([0.0, -0.28 * (length - 0.8 * size), 0.0])
        centres = start + station[:, None] * length * down + (station**2)[:, None] * backwards
        shape = [0.40, 0.74, 0.80, 0.72, 0.35] if bob else [0.40, 0.74, 0.78, 0.62, 0.22]
        width = between(station, [0, 0.15, 0.5, 0.9, 1], shape) * size
        width = width * (0.92 + 0.12 * body.volume)
        mesh.loft(
            centres,
            width,
            width * 0.62,
            width * 0.82,
            slot=Slot.HAIR,
            heat=0.45,
            axis_x=place.axes[0],
            sides=18,
        )
    if body.hair in ("pony", "bun"):
        knot = place.centre + np.array([0.0, -0.95, 0.15 + 0.5 * body.fringe]) * size @ place.axes
        mesh.ball(
            knot,
            (0.30 * size * body.volume**0.4, 0.28 * size, 0.30 * size),
            slot=Slot.HAIR,
            heat=0.4,
            rings=7,
            sides=12,
        )
    if body.hair == "pony":
        station = evenly(0, 1, 8)
        fall = station[:, None] * size * (1.0 + 0.9 * body.volume) * down
        curve = (np.sin(station * 2.2) * -0.25 * size)[:, None] * place.axes[1]
        mesh.loft(
            knot + fall + curve,
            between(station, [0, 0.4, 1], [0.16, 0.22, 0.05]) * size,
            between(station, [0, 0.4, 1], [0.14, 0.18, 0.05]) * size,
            slot=Slot.HAIR,
            heat=0.4,
            axis_x=place.axes[0],
            sides=10,
        )


def _add_hat(mesh: MeshBuilder, cut: Cut, place: HeadPlace) -> None:
    if cut.hat not in ("cap", "brim"):
        return
    size, (side, forward, upward) = place.size, place.axes
    station = evenly(0, 1, 8)
    dome = np.sqrt(np.maximum(1 - station**2.6, 0)) + 0.002
    mesh.loft(
        place.centre + (0.40 + 0.72 * station)[:, None] * size * upward,
        0.74 * size * dome,
        0.90 * size * dome,
        0.98 * size * dome,
        slot=Slot.HAT,
        heat=0.3,
        axis_x=side,
        axis_y=forward,
    )
    if cut.hat == "brim":
        mesh.ball(
            place.centre + 0.42 * size * upward,
            (1.35 * size, 1.45 * size, 0.07 * size),
            slot=Slot.HAT,
            heat=0.2,
            axes=place.axes,
            rings=7,
            sides=22,
        )
        return
    station = np.array([0, 0.4, 0.8, 1.0])
    drop = (0.42 - 0.12 * station**2)[:, None] * size * upward
    mesh.loft(
        place.centre + drop + (station + 0.55)[:, None] * size * forward,
        np.array([0.66, 0.64, 0.5, 0.12]) * size,
        0.035 * size,
        slot=Slot.HAT,
        heat=0.2,
        axis_x=side,
        axis_y=upward,
        sides=12,
    )
