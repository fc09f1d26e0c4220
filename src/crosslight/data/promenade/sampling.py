"""Seeded distributions of bodies, cuts, poses and views."""

import math

import numpy as np

from crosslight.data.promenade.cameras import Camera
from crosslight.data.promenade.difficulty import Difficulty
from crosslight.data.promenade.factors import (
    NOBODY,
    Arm,
    Bag,
    Body,
    Cut,
    Hair,
    Hat,
    Lower,
    Occluder,
    Pose,
    Upper,
    View,
)
from crosslight.data.promenade.wardrobe import pick

_HAIR_FEMALE: dict[Hair, float] = {
    "bald": 0.02,
    "buzz": 0.02,
    "short": 0.08,
    "quiff": 0.02,
    "afro": 0.05,
    "bob": 0.25,
    "long": 0.28,
    "pony": 0.18,
    "bun": 0.10,
}
_HAIR_MALE: dict[Hair, float] = {
    "bald": 0.09,
    "buzz": 0.20,
    "short": 0.36,
    "quiff": 0.17,
    "afro": 0.06,
    "bob": 0.05,
    "long": 0.03,
    "pony": 0.01,
    "bun": 0.03,
}
_UPPER_FEMALE: dict[Upper, float] = {
    "tee": 0.22,
    "shirt": 0.12,
    "sweater": 0.13,
    "hoodie": 0.14,
    "jacket": 0.15,
    "coat": 0.08,
    "tank": 0.05,
    "dress": 0.06,
    "puffer": 0.05,
}
_UPPER_MALE: dict[Upper, float] = {
    "tee": 0.26,
    "shirt": 0.15,
    "sweater": 0.12,
    "hoodie": 0.17,
    "jacket": 0.18,
    "coat": 0.05,
    "tank": 0.03,
    "puffer": 0.04,
}
_LOWER_FEMALE: dict[Lower, float] = {
    "trousers": 0.44,
    "shorts": 0.13,
    "skirt": 0.15,
    "longskirt": 0.10,
    "leggings": 0.18,
}
_LOWER_MALE: dict[Lower, float] = {"trousers": 0.77, "shorts": 0.22, "leggings": 0.01}
_SLACK: dict[Upper, tuple[float, float]] = {
    "tee": (0.006, 0.032),
    "shirt": (0.010, 0.030),
    "sweater": (0.015, 0.040),
    "hoodie": (0.025, 0.050),
    "jacket": (0.020, 0.045),
    "coat": (0.030, 0.055),
    "tank": (0.003, 0.020),
    "dress": (0.004, 0.020),
    "puffer": (0.050, 0.075),
}
_BAGS_FEMALE: dict[Bag, float] = {
    "backpack": 0.27,
    "messenger": 0.12,
    "handbag": 0.10,
    "tote": 0.07,
}
_BAGS_MALE: dict[Bag, float] = {"backpack": 0.34, "messenger": 0.11, "handbag": 0.01, "tote": 0.04}
_HATS: dict[Hat, float] = {"cap": 0.09, "beanie": 0.06, "brim": 0.03}
_OCCLUDERS: dict[Occluder, float] = {
    "pole": 0.20,
    "rail": 0.20,
    "cart": 0.25,
    "plant": 0.20,
    "person": 0.15,
}


def _normal(rng: np.random.Generator, mean: float, spread: float, limit: float = 2.3) -> float:
    return mean + spread * min(max(float(rng.normal()), -limit), limit)


def draw_body(rng: np.random.Generator) -> Body:
    """Draws the shape and the walking habits of a person."""
    sex = min(max((0.08, 0.92)[rng.integers(2)] + 0.12 * rng.normal(), 0.0), 1.0)
    girth = min(max(math.exp(0.14 * rng.normal() - 0.02), 0.78), 1.45)
    female = sex > 0.5
    return Body(
        height=_normal(rng, 1.775 - 0.125 * sex, 0.062),
        girth=girth,
        sex=sex,
        shoulder=_normal(rng, 0.1260 - 0.013 * sex, 0.006) * girth**0.30,
        hip=_normal(rng, 0.0905 + 0.0085 * sex, 0.0045) * girth**0.55,
        waist=_normal(rng, 0.084 - 0.006 * sex, 0.004) * girth**0.9,
        bust=sex * min(max(0.025 + 0.012 * rng.normal(), 0.006), 0.06),
        belly=max(0.0, (girth - 1.02) * 0.16 + 0.012 * rng.normal()),
        leg=_normal(rng, 0.505, 0.014),
        arm=_normal(rng, 1, 0.035),
        head=_normal(rng, 1, 0.05),
        neck=_normal(rng, 1, 0.12),
        stoop=min(max(0.05 + 0.07 * rng.normal(), -0.06), 0.28),
        stride=_normal(rng, 1, 0.15),
        swing=_normal(rng, 1, 0.3),
        toe_out=_normal(rng, 0.12, 0.1),
        hair=pick(rng, _HAIR_FEMALE if female else _HAIR_MALE),
        volume=rng.uniform(0.5, 1.5),
        fringe=rng.uniform(0, 1),
        beard=0.0 if female or rng.random() > 0.3 else rng.uniform(0.3, 1),
        glasses=bool(rng.random() < 0.28),
    )


def _sleeve(rng: np.random.Generator, upper: Upper) -> float:
    if upper == "tee":
        return rng.uniform(0.25, 0.48)
    if upper == "shirt":
        return (0.42, 0.97, 0.97, 0.6)[rng.integers(4)]
    if upper == "dress":
        return (0.0, 0.3, 0.95)[rng.integers(3)]
    return {"tank": 0.0, "sweater": 0.98}.get(upper, 1.0)


def _hem(rng: np.random.Generator, upper: Upper) -> float:
    if upper == "coat":
        return rng.uniform(0.30, 0.62)
    if upper == "dress":
        return rng.uniform(0.35, 0.85)
    return rng.uniform(-0.015, 0.075)


def _opening(rng: np.random.Generator, upper: Upper) -> float:
    chance = {"jacket": 0.5, "coat": 0.5, "shirt": 0.2}.get(upper, 0.0)
    return rng.uniform(0.03, 0.12) if rng.random() < chance else 0.0


def _some(rng: np.random.Generator, weights: dict[Bag, float], scale: float) -> Bag:
    chance = min(0.95, scale * sum(weights.values()))
    return pick(rng, weights) if rng.random() < chance else "none"


def _some_hat(rng: np.random.Generator, scale: float) -> Hat:
    chance = min(0.95, scale * sum(_HATS.values()))
    return pick(rng, _HATS) if rng.random() < chance else "none"


def draw_cut(rng: np.random.Generator, sex: float, difficulty: Difficulty) -> Cut:
    """Draws the geometry of an outfit."""
    female = sex > 0.5
    upper = pick(rng, _UPPER_FEMALE if female else _UPPER_MALE)
    lower: Lower
    if upper == "dress":
        lower = "leggings" if rng.random() < 0.5 else "bare"
    else:
        lower = pick(rng, _LOWER_FEMALE if female else _LOWER_MALE)
    collars = {"tee": 0.0, "tank": 0.0, "hoodie": 0.3}
    width = (0.004, 0.018, 0.030, 0.045)[rng.integers(4)] + 0.006 * rng.normal()
    boots = {0.0: 0.7, 0.09: 0.15, 0.16: 0.10, 0.32: 0.05}
    return Cut(
        upper=upper,
        sleeve=_sleeve(rng, upper),
        hem=_hem(rng, upper),
        slack=rng.uniform(*_SLACK[upper]),
        opening=_opening(rng, upper),
        hood=upper == "hoodie" or (upper in ("puffer", "jacket", "coat") and rng.random() < 0.25),
        collar=collars[upper] if upper in collars else (0.0, 0.5, 1.0)[rng.integers(3)],
        lower=lower,
        leg_length=rng.uniform(0.30, 0.55)
        if lower == "shorts"
        else (1.0, 1.0, 0.93, 0.8)[rng.integers(4)],
        leg_width=0.001 if lower == "leggings" else min(max(width, 0.001), 0.06),
        flare=min(max(0.35 + 0.5 * rng.normal(), -0.6), 1.5),
        boot=pick(rng, boots),
        bag=_some(rng, _BAGS_FEMALE if female else _BAGS_MALE, difficulty.accessories),
        bag_size=rng.uniform(0.75, 1.25),
        bag_side=(-1, 1)[rng.integers(2)],
        hat=_some_hat(rng, difficulty.accessories),
        scarf=bool(rng.random() < 0.07 * difficulty.accessories),
        belt=bool(rng.random() < 0.3),
    )


def draw_pose(rng: np.random.Generator, body: Body, cut: Cut) -> Pose:
    """Draws one moment of this person's walk, or of standing around."""
    standing = rng.random() < 0.18
    weights: dict[Arm, float] = {
        "swing": 0.70,
        "pocket": 0.08,
        "phone": 0.03,
        "look": 0.04,
        "strap": 0.07 if cut.bag == "backpack" else 0.0,
        "carry": 0.04,
        "back": 0.02,
    }
    left, right = pick(rng, weights), pick(rng, weights)
    if cut.bag in ("handbag", "tote"):
        busy: Arm = "carry" if cut.bag == "handbag" else "strap"
        left, right = (busy, right) if cut.bag_side < 0 else (left, busy)
    return Pose(
        phase=rng.uniform(0, 2 * math.pi),
        stride=body.stride * (0.08 if standing else rng.uniform(0.75, 1.15)),
        swing=body.swing * (0.1 if standing else rng.uniform(0.6, 1.2)),
        arm_left=left,
        arm_right=right,
        lean=body.stoop + 0.03 * float(rng.normal()),
        twist=0.08 * float(rng.normal()),
        head_yaw=_normal(rng, 0, 0.3),
        head_pitch=_normal(rng, 0.08, 0.15),
        fold_seed=rng.uniform(0, 64),
    )


def draw_view(
    rng: np.random.Generator,
    number: int,
    camera: Camera,
    difficulty: Difficulty,
    crowd: tuple[int, int],
) -> View:
    """Draws how camera `number` sees somebody; bystanders come from the numbers `range(*crowd)`."""
    facing = camera.facings[rng.integers(len(camera.facings))] + 22 * rng.normal()
    jitter = 0.03 * difficulty.nuisance
    occluder: Occluder = "none"
    if rng.random() < min(0.6, 0.16 * difficulty.nuisance):
        occluder = pick(rng, _OCCLUDERS)
    somebody = rng.random() < min(0.7, 0.22 * difficulty.nuisance)
    bystander, passer = (int(number) for number in rng.integers(*crowd, size=2))
    tint = np.exp(0.09 * difficulty.tint * rng.normal(size=3))
    light = 0.12 * rng.normal(size=3)
    resolution = camera.resolution * difficulty.resolution * rng.uniform(0.75, 1.25)
    return View(
        camera=number,
        x=rng.uniform(-2.4, 2.4),
        y=rng.uniform(*camera.distance),
        yaw=math.radians(facing),
        seed=int(rng.integers(1 << 31)),
        exposure=math.exp(camera.exposure_spread * difficulty.exposure * rng.normal()),
        tint_red=float(tint[0]),
        tint_green=float(tint[1]),
        tint_blue=float(tint[2]),
        light_x=float(light[0]),
        light_y=float(light[1]),
        light_z=float(light[2]),
        crop_x=jitter * float(rng.normal()),
        crop_y=jitter * float(rng.normal()),
        crop_scale=math.exp(jitter * rng.normal()),
        crop_aspect=math.exp(1.3 * jitter * rng.normal()),
        occluder=occluder,
        bystander=bystander if somebody else NOBODY,
        passer=passer if occluder == "person" else NOBODY,
        resolution=min(max(resolution, 0.25), 1.0),
        blur=rng.uniform(0.3, 0.9) * camera.blur * difficulty.blur,
        motion=max(0.0, float(rng.normal())) * camera.motion * difficulty.blur,
        jpeg=int(rng.integers(35, 92)),
    )
