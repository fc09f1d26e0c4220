"""The trunk and what is draped around it: shirts, coats, skirts, collars, scarves."""

import numpy as np

from crosslight.data.promenade.arrays import Floats, between, evenly, unit
from crosslight.data.promenade.factors import Cut, Slot, Upper
from crosslight.data.promenade.limbs import wears_skirt
from crosslight.data.promenade.mesh import MeshBuilder, Part
from crosslight.data.promenade.skeleton import Skeleton

WARMTH: dict[Upper, float] = {
    "tee": 0.75,
    "tank": 0.85,
    "shirt": 0.70,
    "dress": 0.75,
    "sweater": 0.50,
    "hoodie": 0.42,
    "jacket": 0.36,
    "coat": 0.22,
    "puffer": 0.10,
}
"""How much body heat shows through an upper garment, from 0 to 1."""

_TRUNK_SIDES = 28
_DRAPE_RINGS = 15


def _add_trunk(
    mesh: MeshBuilder,
    skeleton: Skeleton,
    span: tuple[float, float],
    *,
    slack: Floats | float,
    taper: float,
    rings: int,
    slot: Slot,
    part: Part,
    heat: float,
    bulge: Floats | None = None,
) -> None:
    low, high = span
    tall = skeleton.body.height
    z = evenly(low, high, rings)
    stations = [
        low,
        low + 0.12 * tall,
        skeleton.shoulder_height - 0.02 * tall,
        skeleton.neck_height,
    ]
    fit = slack * between(z, stations, [1 + taper, 1.15, 0.8, 0.35])
    mesh.loft(
        skeleton.spine(z),
        skeleton.width(z) + fit,
        skeleton.front(z) + fit,
        skeleton.back(z) + fit,
        slot=slot,
        part=part,
        heat=heat,
        axis_x=skeleton.side_axes(rings),
        sides=_TRUNK_SIDES,
        exponent=2.35,
        along=z - skeleton.trunk_bottom,
        bulge=bulge,
    )


def add_pelvis(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    """Adds the seat of the trousers."""
    if wears_skirt(cut):
        return
    _add_trunk(
        mesh,
        skeleton,
        (skeleton.trunk_bottom * 1.15, 0.085 * skeleton.body.height),
        slack=0.004 + cut.leg_width * 0.15,
        taper=0.0,
        rings=9,
        slot=Slot.SKIN if cut.lower == "bare" else Slot.LOWER,
        part=Part.PELVIS,
        heat=0.7,
    )


def _add_drape(
    mesh: MeshBuilder,
    skeleton: Skeleton,
    cut: Cut,
    span: tuple[float, float],
    *,
    slack: float,
    flare: float,
    slot: Slot,
    part: Part,
    heat: float,
    continues_trunk: bool,
) -> None:
    """A skirt or coat tail: the hull of both legs, swinging with them.

    The ring axis turns along the line from leg to leg, or the legs would poke through in stride.
    """
    body = skeleton.body
    z = evenly(span[0], span[1], _DRAPE_RINGS)
    down = evenly(0, 1, _DRAPE_RINGS)
    level = z + skeleton.root[2]
    left, right = (
        np.stack(
            [between(-level, -leg.path[:, 2], leg.path[:, axis]) for axis in range(3)], axis=-1
        )
        for leg in skeleton.legs
    )
    centres = (left + right) / 2
    centres[:, 2] = level
    centres[:, :2] *= np.clip(-z / (0.10 * body.height), 0, 1)[:, None] ** 0.8
    thigh = 0.050 * body.height * body.girth**0.5 * evenly(1.06, 0.85, _DRAPE_RINGS)
    thigh = thigh + max(slack, 0.014) + cut.leg_width * (cut.lower == "trousers")
    apart = (right - left) * np.array([1.0, 1.0, 0.0])
    gap = np.linalg.norm(apart, axis=1)
    axis_x = unit(apart)
    axis_y = np.stack([-axis_x[:, 1], axis_x[:, 0], np.zeros(_DRAPE_RINGS)], axis=1)
    onset = np.clip(down / 0.18, 0, 1)
    width = (skeleton.width(z) + slack) * between(down, [0, 0.4, 1], [1, 1, 0.9])
    width = width + onset * np.maximum(gap / 2 + thigh - width, 0) + flare * 0.06 * down
    depths = []
    for depth in (skeleton.front(z), skeleton.back(z)):
        bare = depth * (1 - 0.15 * down)
        need = np.maximum(thigh - bare - slack, 0)
        depths.append(bare + slack + onset * need + flare * 0.05 * down)
    waves = np.cos(
        2 * np.pi * np.arange(_TRUNK_SIDES + 1) / _TRUNK_SIDES * 7 + skeleton.pose.fold_seed
    )
    mesh.loft(
        centres,
        width,
        depths[0],
        depths[1],
        slot=slot,
        part=part,
        heat=evenly(heat, heat - 0.15, _DRAPE_RINGS),
        axis_x=axis_x,
        axis_y=axis_y,
        sides=_TRUNK_SIDES,
        exponent=2.3,
        along=z - skeleton.trunk_bottom if continues_trunk else None,
        bulge=(0.05 * flare * down)[:, None] * waves,
    )


def add_skirt(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    """Adds a skirt, if there is one."""
    if cut.lower not in ("skirt", "longskirt"):
        return
    tall = skeleton.body.height
    length = 0.20 + 0.12 * cut.leg_length if cut.lower == "skirt" else 0.03 + 0.40 * cut.leg_length
    _add_drape(
        mesh,
        skeleton,
        cut,
        (0.075 * tall, -length * tall),
        slack=0.008,
        flare=0.35 + 0.5 * max(cut.flare, 0),
        slot=Slot.LOWER,
        part=Part.SKIRT,
        heat=0.6,
        continues_trunk=False,
    )


def add_upper(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut) -> None:
    """Adds the upper garment; coats and dresses continue below the hips."""
    tall, warmth = skeleton.body.height, WARMTH[cut.upper]
    puff = None
    if cut.upper == "puffer":
        puff = 0.05 * np.sin(evenly(0, 11 * np.pi, 22))[:, None]
    long = cut.upper in ("coat", "dress")
    taper = -0.5 if cut.upper in ("hoodie", "puffer", "sweater") else 0.3
    low = -0.02 if long else -cut.hem
    if wears_skirt(cut) and not long:  # above the seat, or the hem would cut through the skirt
        low, taper = 0.012 - 0.15 * cut.hem, max(taper, 0.2)
    _add_trunk(
        mesh,
        skeleton,
        (low * tall, skeleton.neck_height),
        slack=max(cut.slack, 0.016 + cut.leg_width * 0.2),
        taper=0.0 if long else taper,
        rings=22,
        slot=Slot.UPPER,
        part=Part.TORSO,
        heat=warmth,
        bulge=puff,
    )
    if long:
        _add_drape(
            mesh,
            skeleton,
            cut,
            (0.0, -cut.hem * 0.52 * tall),
            slack=cut.slack + 0.004,
            flare=0.25 + 0.3 * max(cut.flare, 0),
            slot=Slot.UPPER,
            part=Part.TORSO,
            heat=warmth - 0.1,
            continues_trunk=True,
        )


def add_neckwear(mesh: MeshBuilder, skeleton: Skeleton, cut: Cut, neck: Floats) -> None:
    """Adds hood, collar and scarf; `neck` is the vector from the foot of the neck to its top."""
    body, warmth = skeleton.body, WARMTH[cut.upper]
    tall = body.height
    foot = skeleton.spine_at(skeleton.neck_height)
    side = skeleton.torso[:, 0]
    if cut.hood:
        mesh.ball(
            foot + skeleton.torso @ np.array([0.0, -0.040 * tall, 0.004 * tall]),
            (0.062 * tall, 0.042 * tall, 0.034 * tall),
            slot=Slot.UPPER,
            heat=warmth - 0.1,
            axes=np.stack([side, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
            rings=8,
            sides=16,
        )
    if cut.collar > 0:
        station = evenly(-0.5, 0.25 + 0.8 * cut.collar, 5)
        radius = between(station, [-0.5, 0, 1], [0.062, 0.047, 0.045]) * tall
        radius = radius * (1 - 0.08 * body.sex)
        mesh.loft(
            foot + station[:, None] * neck,
            radius,
            radius,
            slot=Slot.UPPER,
            heat=warmth,
            axis_x=side,
            sides=16,
        )
    if cut.scarf:
        station = evenly(-0.7, 1.2, 7)
        radius = between(station, [-0.7, -0.2, 0.3, 0.8, 1.2], [0.05, 0.068, 0.066, 0.06, 0.04])
        mesh.loft(
            foot + station[:, None] * neck,
            radius * tall,
            radius * tall,
            slot=Slot.SCARF,
            heat=0.4,
            axis_x=side,
            sides=18,
        )
