"""Paint: which material, colour and print each visible point of a figure has."""

from dataclasses import dataclass

import numpy as np

from crosslight.data.promenade.arrays import Bools, Floats, Integers, compiled
from crosslight.data.promenade.factors import Body, Cut, Look, Material, Slot
from crosslight.data.promenade.head import BEANIE_EDGE, scalp
from crosslight.data.promenade.mesh import Part
from crosslight.data.promenade.noise import texture

_STRAP = 0.022
_WEAVE = np.array(
    [{Slot.SKIN: 0.0, Slot.HAIR: 0.35}.get(slot, 0.07) for slot in Slot],
    np.float32,
)
"""How strongly the noise of hair and cloth shows, per slot."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The garment coordinates of `n` points.

    Attributes:
        turn: Turns around the tube; the front is at 0.5.
        along: Metres along the tube.
        around: The circumference of the tube in metres.
        parts: The `Part`.
        slots: The `Slot` that the mesh gives them.
    """

    turn: Floats
    along: Floats
    around: Floats
    parts: Integers
    slots: Integers


@dataclass(frozen=True, kw_only=True)
class Paint:
    """What light finds at `n` points: albedo `(n, 4)` with near-infrared last, folds and gloss."""

    albedo: Floats
    fold: Floats
    gloss: Floats
    slots: Integers


def _square_wave(phase: Floats) -> Floats:
    return np.clip(0.5 + 4 * np.sin(phase), 0, 1)


def _print(material: Material, turn: Floats, along: Floats, around: Floats) -> Floats:
    """A logo on the chest or a print on the back."""
    seed, scale = material.print_seed, material.scale
    off = np.abs(turn - 0.5) if material.pattern == "logo" else np.minimum(turn, 1 - turn)
    across, height = off * around, np.abs(along - (0.40 + 0.25 * (scale - 0.08)))
    half_width, half_height = 0.05 + 0.9 * scale, 0.015 + 0.75 * (seed / 64) * scale * 1.6
    if seed % 3 < 1:
        shape = (across / half_width) ** 2 + (height / half_height) ** 2 < 1
    else:
        shape = (across < half_width) & (height < half_height)
    weight: Floats = shape.astype(np.float32)
    if seed % 2 < 1:
        letters = texture(turn * around * 1.7 + seed, along * 1.3) > -0.35
        weight = weight * np.where(letters, 1.0, 0.15)
    return weight


def _pattern(
    material: Material, parts: Integers, turn: Floats, along: Floats, around: Floats
) -> Floats:
    """The share of the second colour at points, 0 to 1."""
    across, scale, seed = turn * around, material.scale, material.print_seed
    wave = 2 * np.pi / scale
    pattern = material.pattern
    share: Floats | Bools = np.zeros(len(along), np.float32)
    if pattern == "hstripe":
        share = _square_wave(along * wave)
    elif pattern == "vstripe":
        share = _square_wave(across * wave / 0.7)
    elif pattern == "check":
        share = 0.5 * (_square_wave(along * wave) + _square_wave(across * wave))
    elif pattern == "dots":
        share = np.clip(6 * (np.sin(across * wave) * np.sin(along * wave) - 0.45), 0, 1)
    elif pattern == "camo":
        share = 0.9 * (texture(across * 1.1 + seed, along * 1.1) > 0.1)
    elif pattern == "flower":
        share = np.clip(3 * (texture(across * 2.6 + seed, along * 2.6) - 0.9), 0, 1)
    elif pattern == "block":
        edge = np.where(parts == Part.TORSO, np.float32(0.30 + scale * 1.2), np.float32(0.25))
        share = np.where(parts == Part.SLEEVE, scale > 0.08, along > edge)
    elif pattern in ("logo", "backprint"):
        torso = np.flatnonzero(parts == Part.TORSO)
        share[torso] = _print(material, turn[torso], along[torso], around[torso])
    elif pattern == "side":
        seam = np.minimum(np.abs(turn - 0.25), np.abs(turn - 0.75))
        sewn = (parts == Part.LEG) | (parts == Part.PELVIS) | (parts == Part.SLEEVE)
        share = sewn & (seam * around < 0.012 + 0.1 * scale)
    elif pattern == "fade":
        front = np.clip(1 - np.abs(turn - 0.5) * 5, 0, 1)
        faded = 0.6 * front * np.clip(1 - np.abs(along - 0.3) * 3.5, 0, 1)
        share = np.where(parts == Part.LEG, faded, np.float32(0))
    return share.astype(np.float32)


def _resolve_slots(body: Body, cut: Cut, surface: Surface) -> Integers:
    """Hair line, beanie, straps, open fronts and belts are painted, not modelled."""
    slots = surface.slots.copy()
    turn, along = surface.turn, surface.along
    head = surface.parts == Part.HEAD
    if head.any():
        hairy = scalp(body, turn[head], along[head], 0.03) > 0.5
        slots[head] = np.where(hairy, Slot.HAIR, Slot.SKIN)
        if cut.hat == "beanie":
            slots[head & (along > BEANIE_EDGE)] = Slot.HAT
    torso = surface.parts == Part.TORSO
    front = turn - 0.5
    if cut.opening > 0:
        gap = cut.opening * np.clip(0.4 + along, 0.3, 1.2)
        slots[torso & (np.abs(front) < gap)] = Slot.INNER
    if cut.bag == "backpack":
        slots[torso & (np.abs(np.abs(front) - 0.125) < _STRAP) & (along > 0.20)] = Slot.BAG
    if cut.bag == "messenger":
        slope = (along - 0.36) * 0.62
        back = np.where(turn < 0.5, turn, turn - 1)
        chest = (np.abs(front * cut.bag_side - slope) < _STRAP) & (np.abs(front) < 0.27)
        spine = (np.abs(back * cut.bag_side + slope) < _STRAP) & (np.abs(back) < 0.27)
        slots[torso & (along > 0.02) & (chest | spine)] = Slot.BAG
    if cut.belt:
        slots[(surface.parts == Part.PELVIS) & (along > 0.145) & (along < 0.185)] = Slot.SHOE
    return slots


def _paint_face(albedo: Floats, body: Body, look: Look, skin: Bools, surface: Surface) -> None:
    points = np.flatnonzero(skin & (surface.parts == Part.HEAD))
    if not len(points):
        return
    side, level = np.abs(surface.turn[points] - 0.5), surface.along[points]

    def spot(x: float, y: float, width: float, height: float) -> Floats:
        blob: Floats = np.exp(-(((side - x) / width) ** 2) - ((level - y) / height) ** 2)
        return blob

    features = 0.75 * spot(0.062, 0.10, 0.022, 0.06) + 0.6 * spot(0.065, 0.27, 0.035, 0.04)
    features = features + 0.45 * spot(0.0, -0.52, 0.035, 0.045)
    beard = 0.85 * body.beard * np.clip((-0.28 - level) / 0.12, 0, 1) * (side < 0.21)
    face = albedo[points] * (1 - np.clip(features, 0, 0.9))[:, None]
    hair = look.hair
    tone = np.array([hair.red, hair.green, hair.blue, hair.infrared])
    face = face * (1 - beard)[:, None] + tone * beard[:, None]
    if body.glasses:
        ring = np.abs(np.hypot((side - 0.063) * 14, (level - 0.10) * 4.2) - 0.62) < 0.2
        face = face * (1 - 0.85 * ring)[:, None]
    albedo[points] = face


@compiled
def _weave_places(
    slots: Integers, turn: Floats, along: Floats, around: Floats, seeds: Floats
) -> tuple[Floats, Floats]:
    """Where in the noise the weave of cloth and the strands of hair are."""
    across, up = np.empty(len(slots), np.float32), np.empty(len(slots), np.float32)
    for point in range(len(slots)):
        if slots[point] == Slot.HAIR:
            across[point] = turn[point] * np.float32(3.1)
            up[point] = along[point] * np.float32(0.3)
        else:
            metres = turn[point] * around[point]
            across[point] = metres * np.float32(2.3) + seeds[slots[point]]
            up[point] = along[point] * np.float32(2.3)
    return across, up


@compiled
def _coat(slots: Integers, colours: Floats, share: Floats, weave: Floats, depth: Floats) -> Floats:
    """Albedo of points: both colours of their material by share, lighter and darker by the weave.

    Args:
        slots: `(n,)`.
        colours: `(9, 2, 4)` per slot.
        share: `(n,)` of the second colour.
        weave: `(n,)` noise.
        depth: `(9,)` how strongly it shows.
    """
    albedo = np.empty((len(slots), 4), np.float32)
    one = np.float32(1)
    for point in range(len(slots)):
        slot, second = slots[point], np.float64(share[point])
        first = np.float64(one - share[point])
        bright = np.float64(one + depth[slot] * weave[point])
        for channel in range(4):
            colour = colours[slot, 0, channel] * first + colours[slot, 1, channel] * second
            albedo[point, channel] = colour * bright
    return albedo


def _shares(look: Look, slots: Integers, surface: Surface) -> Floats:
    """How much of the second colour of its material each point has."""
    shares = np.zeros(len(slots), np.float32)
    for slot in Slot:
        material = look.materials[slot]
        if material.pattern == "plain":
            continue
        points = np.flatnonzero(slots == slot)
        if len(points):
            shares[points] = _pattern(
                material,
                surface.parts[points],
                surface.turn[points],
                surface.along[points],
                surface.around[points],
            )
    return shares


def _colours(look: Look) -> Floats:
    return np.array(
        [
            [
                [own.red, own.green, own.blue, own.infrared],
                [own.second_red, own.second_green, own.second_blue, own.second_infrared],
            ]
            for own in look.materials
        ]
    )


@compiled
def _trim(
    albedo: Floats,
    parts: Integers,
    turn: Floats,
    along: Floats,
    around: Floats,
    zipped: bool,  # compiled
    sole: float,
) -> None:
    """Paints the line of a closed front, and soles."""
    for point in range(len(parts)):
        if zipped and parts[point] == Part.TORSO:
            beside = np.abs(turn[point] - np.float32(0.5)) * around[point]
            if beside < np.float32(0.007):
                for channel in range(4):
                    albedo[point, channel] *= np.float32(0.5)
        under = min(turn[point], np.float32(1) - turn[point]) < np.float32(0.16)
        if under and parts[point] == Part.FOOT and along[point] > 0:
            for channel in range(4):
                dark = albedo[point, channel] * np.float32(0.4)
                albedo[point, channel] = dark + np.float32(sole)


def paint(body: Body, cut: Cut, look: Look, surface: Surface) -> Paint:
    """Colours the visible points of a figure."""
    slots = _resolve_slots(body, cut, surface)
    materials = look.materials
    seeds = np.array([material.print_seed for material in materials], np.float32)
    places = _weave_places(slots, surface.turn, surface.along, surface.around, seeds)
    albedo = _coat(slots, _colours(look), _shares(look, slots, surface), texture(*places), _WEAVE)
    _paint_face(albedo, body, look, slots == Slot.SKIN, surface)
    zipped = cut.opening == 0 and cut.upper in ("shirt", "jacket", "coat", "puffer")
    sole = 0.30 if look.shoe.print_seed % 2 < 1 else 0.012
    _trim(albedo, surface.parts, surface.turn, surface.along, surface.around, zipped, sole)
    fold = np.array([material.fold for material in materials], np.float32)
    gloss = np.array([material.gloss for material in materials], np.float32)
    return Paint(albedo=albedo, fold=fold[slots], gloss=gloss[slots], slots=slots)
