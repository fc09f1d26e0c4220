"""One factor of the picture is changed and nothing else: how far does each code move?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crosslight.data.promenade.factors import Look, Material, Scene, Spectrum
from crosslight.probing.people import Images, Numbers, People, draw_scenes, light_of
from crosslight.types import Modality

Codes: TypeAlias = Mapping[str, NDArray[np.floating]]
Encode: TypeAlias = Callable[[Images, Numbers], Codes]
"""`(N, H, W, 3)` images and the `Modality` of each → name of a code → `(N, D)`."""

Change: TypeAlias = Callable[[Scene, Scene, Scene], Scene]
"""A scene, one of another person by the same camera, another of the same person by it → a scene."""

_CLOTHES = ("upper", "inner", "lower", "shoe", "scarf", "hat", "bag")
_SEEN_BY_THE_EYE = ("red", "green", "blue", "second_red", "second_green", "second_blue")
_HAIR = ("hair", "volume", "fringe", "beard")
_BAG = ("bag", "bag_size", "bag_side")


def _colours(own: Scene, other: Scene, _: Scene) -> Scene:
    """The visible colours of the clothes; fabric, pattern and infrared stay."""
    dyed = {
        slot: _taken(getattr(own.look, slot), getattr(other.look, slot), _SEEN_BY_THE_EYE)
        for slot in _CLOTHES
    }
    return replace(own, look=replace(own.look, **dyed))


def _fabric(own: Scene, other: Scene, _: Scene) -> Scene:
    """What the clothes are made of, but for their visible colours."""
    rest = [part.name for part in fields(Material) if part.name not in _SEEN_BY_THE_EYE]
    woven = {
        slot: _taken(getattr(own.look, slot), getattr(other.look, slot), rest) for slot in _CLOTHES
    }
    return replace(own, look=replace(own.look, **woven))


def _skin(own: Scene, other: Scene, _: Scene) -> Scene:
    look: Look = replace(own.look, skin=other.look.skin, hair=other.look.hair)
    return replace(own, look=look)


def _cut(own: Scene, other: Scene, _: Scene) -> Scene:
    cut = _taken(other.structure.cut, own.structure.cut, _BAG)
    return _structured(own, cut=cut)


def _bag(own: Scene, other: Scene, _: Scene) -> Scene:
    return _structured(own, cut=_taken(own.structure.cut, other.structure.cut, _BAG))


def _hair(own: Scene, other: Scene, _: Scene) -> Scene:
    return _structured(own, body=_taken(own.structure.body, other.structure.body, _HAIR))


def _shape(own: Scene, other: Scene, _: Scene) -> Scene:
    return _structured(own, body=_taken(other.structure.body, own.structure.body, _HAIR))


def _pose(own: Scene, _: Scene, again: Scene) -> Scene:
    return _structured(own, pose=again.structure.pose)


def _view(own: Scene, _: Scene, again: Scene) -> Scene:
    """From where it is seen, by the same camera."""
    view = _taken(own.structure.view, again.structure.view, ("x", "y", "yaw"))
    return _structured(own, view=view)


def _crop(own: Scene, _: Scene, again: Scene) -> Scene:
    names = ("crop_x", "crop_y", "crop_scale", "crop_aspect")
    return _structured(own, view=_taken(own.structure.view, again.structure.view, names))


def _exposure(own: Scene, _: Scene, again: Scene) -> Scene:
    names = ("exposure", "tint_red", "tint_green", "tint_blue", "light_x", "light_y", "light_z")
    return _structured(own, view=_taken(own.structure.view, again.structure.view, names))


def _surroundings(own: Scene, _: Scene, again: Scene) -> Scene:
    """What is in the way, who else is there, where exactly: another moment of the same place."""
    names = ("seed", "occluder", "bystander", "passer")
    return _structured(own, view=_taken(own.structure.view, again.structure.view, names))


CHANGES: Mapping[str, Change] = {
    "clothes colour": _colours,
    "clothes fabric": _fabric,
    "skin and hair colour": _skin,
    "garment cut": _cut,
    "bag": _bag,
    "hair": _hair,
    "body shape": _shape,
    "pose": _pose,
    "view": _view,
    "crop": _crop,
    "exposure": _exposure,
    "surroundings": _surroundings,
}
"""What is taken from another person, or from another moment of the same one, by name."""

CAMERA, LIGHT, NOISE = "camera", "light", "sensor noise"
"""Changes of what takes the picture: another camera of the same light, another light, a retake."""


def movements(
    people: People, encode: Encode, light: Modality, *, count: int, seed: int
) -> dict[str, dict[str, float]]:
    """How far each code moves when one factor changes, code → factor → share.

    The root mean square distance between the codes of an image and of the changed image, over that
    between images of different people in the same light: 0 says that the code does not see the
    factor, 1 that it moves as far as to another person.

    Args:
        people: Of whom images are changed.
        encode: Gives the codes.
        light: The light of the images.
        count: How many images.
        seed: Which ones, and what they take from whom.
    """
    rng = np.random.default_rng(seed)
    able = people.of(light)
    chosen = rng.permutation(able)[:count]
    plans: dict[str, tuple[list[int], list[Scene]]] = {}
    for number in chosen:
        for name, scene in _changed(people, int(number), able, rng).items():
            rows, scenes = plans.setdefault(name, ([], []))
            rows.append(int(number))
            scenes.append(scene)
    before = encode(people.images[able], people.modality[able])
    spread = {name: _spread(code, people.pids[able]) for name, code in before.items()}
    place = {int(number): row for row, number in enumerate(able)}
    found: dict[str, dict[str, float]] = {name: {} for name in before}
    for factor, (numbers, scenes) in plans.items():
        images, _ = draw_scenes(people.world, scenes, *people.size)
        lights = np.array([light_of(scene.spectrum) for scene in scenes], np.int64)
        after = encode(images, lights)
        rows = [place[number] for number in numbers]
        for name, code in after.items():
            step = np.square(wide(code) - wide(before[name])[rows]).sum(axis=1).mean()
            found[name][factor] = float(np.sqrt(step) / spread[name])
    return found


def wide(code: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums of many squares need more than half precision."""
    return code.reshape(len(code), -1).astype(np.float64)


def _changed(
    people: People, number: int, able: Numbers, rng: np.random.Generator
) -> dict[str, Scene]:
    """The scene of an image with each factor changed."""
    own = people.scenes[number]
    camera = own.structure.view.camera
    by_it = able[people.cams[able] == people.cams[number]]
    others = by_it[people.pids[by_it] != people.pids[number]]
    if not len(others):
        return {}
    donor = people.scenes[int(rng.choice(others))]
    index = 1000 + int(rng.integers(1 << 20))  # a moment that is in no image
    again = people.world.scene(people.world.shot(own.home, camera, index, own.spectrum))
    scenes = {name: change(own, donor, again) for name, change in CHANGES.items()}
    scenes[NOISE] = replace(own, grain=1)
    seen = {(scene.structure.view.camera, scene.spectrum) for scene in people.scenes}
    elsewhere = sorted(c for c, spectrum in seen if spectrum == own.spectrum and c != camera)
    if elsewhere:
        shot = people.world.shot(own.home, int(rng.choice(elsewhere)), index, own.spectrum)
        scenes[CAMERA] = replace(own, structure=replace(own.structure, view=shot.view))
    dark = sorted(spectrum for _, spectrum in seen if light_of(spectrum) != light_of(own.spectrum))
    if dark:
        scenes[LIGHT] = replace(own, spectrum=Spectrum(dark[0]))
    return scenes


def _spread(code: NDArray[np.floating], pids: Numbers) -> float:
    """Root mean square distance between images of different people.

    The squares over all ordered pairs of a group add up to 2 n sum |x|^2 - 2 |sum x|^2; the pairs
    of each person are taken out.
    """
    values = wide(code) - wide(code).mean(axis=0)
    groups = [values] + [values[pids == pid] for pid in np.unique(pids)]
    sums = [2 * len(g) * np.square(g).sum() - 2 * np.square(g.sum(axis=0)).sum() for g in groups]
    counts = [float(len(g)) ** 2 for g in groups]
    apart = max(counts[0] - sum(counts[1:]), 1.0)
    return float(np.sqrt(max(sums[0] - sum(sums[1:]), 1e-24) / apart))


def _taken(into: Any, source: Any, names: Sequence[str]) -> Any:
    return replace(into, **{name: getattr(source, name) for name in names})


def _structured(scene: Scene, **parts: Any) -> Scene:
    return replace(scene, structure=replace(scene.structure, **parts))
