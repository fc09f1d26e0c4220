"""Drawn pictures beside the true ones: swaps and translations, on the person and off it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from crosslight.data.luma import LUMA
from crosslight.evaluation.generation.translation import ssim_map
from crosslight.probing.people import Bools, Images, Numbers, People, draw_scenes, light_of
from crosslight.types import Modality

Floats = NDArray[np.float64]
Shown: TypeAlias = Callable[[Images], Floats]
"""Images as the method sees them: `(N, H, W, 3)` → `(N, h, w, 3)` in [0, 1]."""

Measure: TypeAlias = tuple[str, str]
"""One of `MEASURES`, and `person` or `around`."""
MEASURES = ("psnr", "ssim", "l1")
PLACES = ("person", "around")
_CEILING_DB = 100.0


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How near pictures come to the truth, beside what anybody would get and what is possible.

    Attributes:
        drawn: Measure → of the method's pictures.
        floors: Name of a row → measure → of pictures that need no method.
        ceiling: Measure → of the true scene taken once more, with other noise of the sensor.
        truth: `(N, h, w, 3)` in [0, 1], the true pictures.
    """

    drawn: Mapping[Measure, float]
    floors: Mapping[str, Mapping[Measure, float]]
    ceiling: Mapping[Measure, float]
    truth: Floats = field(repr=False, compare=False)

    def scaled(self, measure: Measure) -> float:
        """Where the method stands between the best floor (0) and the ceiling (1); may be below.

        Of little use around the person, where the structure's own image is nearly the truth.
        """
        better = min if measure[0] == "l1" else max
        floor = better(row[measure] for row in self.floors.values())
        way = self.ceiling[measure] - floor
        return (self.drawn[measure] - floor) / way if abs(way) > 1e-9 else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of different people, and one in the look of the other.

    Attributes:
        looks: `(N,)` numbers of the images that lend their appearance.
        bodies: `(N,)` of those that lend their structure.
        thirds: `(N,)` of a third person's, in the light of `looks`.
        light: Of the bodies, and so of the pictures.
        true: `(N, H, W, 3)` the true swaps.
        masks: `(N, H, W)` where their people are seen.
    """

    looks: Numbers
    bodies: Numbers
    thirds: Numbers
    light: Modality
    true: Images
    masks: Bools


def draw_pairs(
    people: People, *, appearance: Modality, structure: Modality, count: int, seed: int
) -> Pairs:
    """Draws `count` pairs, and the true swap of each.

    Args:
        people: Three of them at least.
        appearance: Light of the images that lend their appearance.
        structure: Light of those that lend their structure.
        count: How many pairs.
        seed: Which.
    """
    rng = np.random.default_rng(seed)
    able, pids = people.of(appearance), people.pids
    bodies = rng.choice(people.of(structure), count)
    looks = np.array([rng.choice(able[pids[able] != pids[body]]) for body in bodies])
    thirds = np.array(
        [
            rng.choice(able[(pids[able] != pids[body]) & (pids[able] != pids[look])])
            for body, look in zip(bodies, looks, strict=True)
        ]
    )
    true, masks = _in_looks_of(people, bodies, looks)
    return Pairs(looks=looks, bodies=bodies, thirds=thirds, light=structure, true=true, masks=masks)


def swaps_beside_truth(people: People, pairs: Pairs, drawn: Floats, shown: Shown) -> Likeness:
    """One's appearance on the other's structure, drawn and true.

    The floors: the structure's own image (a method that changes nothing), and the true picture of
    a third person's look on it (one that changes, but not to the right person).

    Args:
        people: As the pairs were drawn from.
        pairs: Who lends what to whom.
        drawn: `(N, h, w, 3)` in [0, 1], what a method makes of them.
        shown: Makes true pictures comparable with it.
    """
    truth, seen = shown(pairs.true), _shown_masks(shown, pairs.masks)
    other, _ = _in_looks_of(people, pairs.bodies, pairs.thirds)
    again, _ = _in_looks_of(people, pairs.bodies, pairs.looks, grain=1)
    return Likeness(
        drawn=likeness(drawn, truth, seen),
        floors={
            "structure's own image": likeness(shown(people.images[pairs.bodies]), truth, seen),
            "a third person's look": likeness(shown(other), truth, seen),
        },
        ceiling=likeness(shown(again), truth, seen),
        truth=truth,
    )


def translations_beside_truth(
    people: People, asked: Numbers, drawn: Floats, shown: Shown, *, to: Modality, seed: int
) -> Likeness:
    """Images drawn in the other light, and that light's true picture.

    The floors: the input itself, its plain gray copy, and the true picture of another person.

    Args:
        people: Of whom images were drawn.
        asked: `(N,)` the numbers of the images.
        drawn: `(N, h, w, 3)` in [0, 1], what a method makes of them.
        shown: Makes true pictures comparable with it.
        to: The light that they were drawn in.
        seed: Of the other people.
    """
    rng = np.random.default_rng(seed)
    here = sorted({scene.spectrum for scene in people.scenes if light_of(scene.spectrum) == to})
    scenes = [replace(people.scenes[int(number)], spectrum=here[0]) for number in asked]
    true, masks = draw_scenes(people.world, scenes, *people.size)
    retaken = [replace(scene, grain=1) for scene in scenes]
    again, _ = draw_scenes(people.world, retaken, *people.size)
    truth, seen = shown(true), _shown_masks(shown, masks)
    given = shown(people.images[asked])
    gray = np.repeat((given @ np.array(LUMA))[..., None], 3, axis=3)
    pids = people.pids[asked]
    strangers = [int(rng.choice(np.flatnonzero(pids != pid))) for pid in pids]
    return Likeness(
        drawn=likeness(drawn, truth, seen),
        floors={
            "the input": likeness(given, truth, seen),
            "its gray copy": likeness(gray, truth, seen),
            "another person": likeness(truth[strangers], truth, seen),
        },
        ceiling=likeness(shown(again), truth, seen),
        truth=truth,
    )


def likeness(drawn: Floats, truth: Floats, person: Bools) -> dict[Measure, float]:
    """Means over the images of PSNR (dB, 100 at most), SSIM of the gray values, and L1.

    Args:
        drawn: `(N, h, w, 3)` in [0, 1].
        truth: Likewise.
        person: `(N, h, w)` where the person is seen.
    """
    found: dict[Measure, list[float]] = {}
    for one, true, seen in zip(drawn, truth, person, strict=True):
        structural = ssim_map(one @ np.array(LUMA), true @ np.array(LUMA))
        squares, gaps = np.square(one - true).mean(axis=2), np.abs(one - true).mean(axis=2)
        for place, where in (("person", seen), ("around", ~seen)):
            if not where.any():
                continue
            error = max(float(squares[where].mean()), 10 ** (-_CEILING_DB / 10))
            figures = (-10 * np.log10(error), structural[where].mean(), gaps[where].mean())
            for measure, figure in zip(MEASURES, figures, strict=True):
                found.setdefault((measure, place), []).append(float(figure))
    return {measure: float(np.mean(values)) for measure, values in found.items()}


def _in_looks_of(
    people: People, bodies: Numbers, wearers: Numbers, grain: int = 0
) -> tuple[Images, Bools]:
    worn = [
        replace(people.scenes[int(body)], look=people.scenes[int(wearer)].look, grain=grain)
        for body, wearer in zip(bodies, wearers, strict=True)
    ]
    return draw_scenes(people.world, worn, *people.size)


def _shown_masks(shown: Shown, masks: Bools) -> Bools:
    white = np.repeat(masks[..., None], 3, axis=3).astype(np.uint8) * 255
    seen: Bools = shown(white)[..., 0] >= 0.5
    return seen
