"""The ground-truth factors of a Promenade image.

Structure survives every spectrum: `Body`, `Cut` (the geometry of the outfit), `Pose`, `View`.
Appearance is the `Look`: what the surfaces are made of. Any look can be put on any structure, which
is what makes the true swap possible. All fields are plain scalars, so that a factor table holds
them without loss.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, Literal, TypeAlias, TypeVar

Hair: TypeAlias = Literal["bald", "buzz", "short", "quiff", "afro", "bob", "long", "pony", "bun"]
Upper: TypeAlias = Literal[
    "tee", "shirt", "sweater", "hoodie", "jacket", "coat", "tank", "dress", "puffer"
]
Lower: TypeAlias = Literal["trousers", "shorts", "skirt", "longskirt", "leggings", "bare"]
Bag: TypeAlias = Literal["none", "backpack", "messenger", "handbag", "tote"]
Hat: TypeAlias = Literal["none", "cap", "beanie", "brim"]
Pattern: TypeAlias = Literal[
    "plain",
    "hstripe",
    "vstripe",
    "check",
    "dots",
    "camo",
    "block",
    "logo",
    "backprint",
    "side",
    "fade",
    "flower",
]
Arm: TypeAlias = Literal["swing", "pocket", "phone", "look", "strap", "carry", "back"]
Occluder: TypeAlias = Literal["none", "pole", "rail", "cart", "plant", "person"]

NOBODY = -1
"""The number of a bystander who is not there."""


class Spectrum(StrEnum):
    """The light in which a camera sees."""

    VISIBLE = "visible"
    NEAR_INFRARED = "near-infrared"
    THERMAL = "thermal"


class Slot(IntEnum):
    """The materials of a look, in the order of `Look.materials`."""

    SKIN = 0
    HAIR = 1
    UPPER = 2
    INNER = 3
    LOWER = 4
    SHOE = 5
    BAG = 6
    HAT = 7
    SCARF = 8


@dataclass(frozen=True, kw_only=True)
class Body:
    """The shape of a person; stays with the identity.

    `height` is in metres; shoulder, hip and waist are half widths and `leg` the hip height, all as
    fractions of it. `bust` and `belly` are metres. `sex` runs from 0 (male) to 1 (female). The
    habits `stoop` and `toe_out` are in radians; `stride` and `swing` scale the gait.
    """

    height: float
    girth: float
    sex: float
    shoulder: float
    hip: float
    waist: float
    bust: float
    belly: float
    leg: float
    arm: float
    head: float
    neck: float
    stoop: float
    stride: float
    swing: float
    toe_out: float
    hair: Hair
    volume: float
    fringe: float
    beard: float
    glasses: bool


@dataclass(frozen=True, kw_only=True)
class Cut:
    """The geometry of an outfit: which garments, how long, how wide, which bag and hat.

    `sleeve` and `leg_length` are fractions of the limb that is covered, `slack`, `leg_width` and
    `hem` distances from the body in metres or fractions of the height, `opening` the half width of
    an open front in turns around the trunk, `bag_side` is -1 (left) or 1 (right).
    """

    upper: Upper
    sleeve: float
    hem: float
    slack: float
    opening: float
    hood: bool
    collar: float
    lower: Lower
    leg_length: float
    leg_width: float
    flare: float
    boot: float
    bag: Bag
    bag_size: float
    bag_side: int
    hat: Hat
    scarf: bool
    belt: bool


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a surface is made of, in all three spectra.

    Colours are linear reflectances in [0, 1], for the ground and for the pattern on it;
    `infrared` is the reflectance just beyond the visible; `insulation` in [0, 1] says how little
    body heat shows; `scale` is the size of the pattern in metres.
    """

    red: float
    green: float
    blue: float
    infrared: float
    second_red: float
    second_green: float
    second_blue: float
    second_infrared: float
    pattern: Pattern
    scale: float
    fold: float
    gloss: float
    insulation: float
    print_seed: float

    @property
    def luminance(self) -> float:
        """How bright the ground colour looks to the eye."""
        return 0.3 * self.red + 0.6 * self.green + 0.1 * self.blue


@dataclass(frozen=True, kw_only=True)
class Look:
    """The appearance of a person: one material for everything that can be seen or worn."""

    skin: Material
    hair: Material
    upper: Material
    inner: Material
    lower: Material
    shoe: Material
    bag: Material
    hat: Material
    scarf: Material

    @property
    def materials(self) -> tuple[Material, ...]:
        """The materials in the order of `Slot`."""
        return tuple(getattr(self, slot.name.lower()) for slot in Slot)


@dataclass(frozen=True, kw_only=True)
class Pose:
    """One moment of walking; angles in radians. `fold_seed` places the folds of the cloth."""

    phase: float
    stride: float
    swing: float
    arm_left: Arm
    arm_right: Arm
    lean: float
    twist: float
    head_yaw: float
    head_pitch: float
    fold_seed: float


@dataclass(frozen=True, kw_only=True)
class View:
    """Where and how a camera saw it: position in metres, turn in radians, crop, light, sensor.

    `seed` fixes everything else in the picture: obstacles, other people's places, noise.
    `crop_x` and `crop_y` shift the box by fractions of its height, `crop_scale` and `crop_aspect`
    stretch it. `resolution` is the fraction of the output size that the sensor really resolves.
    `bystander` and `passer` are numbers of people of the crowd, or `NOBODY`.
    """

    camera: int
    x: float
    y: float
    yaw: float
    seed: int
    exposure: float
    tint_red: float
    tint_green: float
    tint_blue: float
    light_x: float
    light_y: float
    light_z: float
    crop_x: float
    crop_y: float
    crop_scale: float
    crop_aspect: float
    occluder: Occluder
    bystander: int
    passer: int
    resolution: float
    blur: float
    motion: float
    jpeg: int


@dataclass(frozen=True, kw_only=True)
class Person:
    """An identity: a body, an outfit and what they are made of."""

    pid: int
    body: Body
    cut: Cut
    look: Look


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Everything of an image but the appearance of the person in it."""

    body: Body
    cut: Cut
    pose: Pose
    view: View


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One image of one person: who, by which camera, the how-manieth, in which light."""

    pid: int
    camera: int
    index: int
    spectrum: Spectrum
    pose: Pose
    view: View

    def seen_in(self, spectrum: Spectrum) -> "Shot":
        """The same moment in another spectrum."""
        return replace(self, spectrum=spectrum)

    def well_cropped(self) -> "Shot":
        """The same moment in a box drawn by hand: no shift, no stretch."""
        view = replace(self.view, crop_x=0.0, crop_y=0.0, crop_scale=1.0, crop_aspect=1.0)
        return replace(self, view=view)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """All that a picture shows: what of it may be changed and drawn again.

    Attributes:
        structure: Body, cut, pose and view.
        look: What the person is made of.
        spectrum: In which light.
        home: Number of a person of the world whose cameras and crowd these are.
        grain: Another number, other noise of the sensor on the same light.
    """

    structure: Structure
    look: Look
    spectrum: Spectrum
    home: int
    grain: int = 0


Scalar: TypeAlias = float | int | str | bool
_Group = TypeVar("_Group", Body, Cut, Pose, View, Material)


def flatten(person: Person, shot: Shot) -> dict[str, Scalar]:
    """All factors of an image as columns: `body_*`, `cut_*`, `pose_*`, `view_*`, `look_*_*`."""
    row: dict[str, Scalar] = {}
    groups: list[tuple[str, Any]] = [
        ("body", person.body),
        ("cut", person.cut),
        ("pose", shot.pose),
        ("view", shot.view),
    ]
    groups += [(f"look_{part.name}", getattr(person.look, part.name)) for part in fields(Look)]
    for name, group in groups:
        for part in fields(group):
            row[f"{name}_{part.name}"] = getattr(group, part.name)
    return row


def _group(kind: type[_Group], name: str, row: Mapping[str, Any]) -> _Group:
    return kind(**{part.name: row[f"{name}_{part.name}"] for part in fields(kind)})


def person_of(row: Mapping[str, Any]) -> Person:
    """The person of a row of the factor table."""
    look = {part.name: _group(Material, f"look_{part.name}", row) for part in fields(Look)}
    return Person(
        pid=row["person"],
        body=_group(Body, "body", row),
        cut=_group(Cut, "cut", row),
        look=Look(**look),
    )


def shot_of(row: Mapping[str, Any]) -> Shot:
    """The shot of a row of the factor table."""
    return Shot(
        pid=row["person"],
        camera=row["camera"],
        index=row["index"],
        spectrum=Spectrum(row["spectrum"]),
        pose=_group(Pose, "pose", row),
        view=_group(View, "view", row),
    )
