"""People whom nobody has seen, of the world that a method learnt, with all their factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crosslight.data.promenade.dataset import MadeSet
from crosslight.data.promenade.factors import Scalar, Scene, Spectrum, flatten
from crosslight.data.promenade.world import World
from crosslight.types import Modality

Images = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """Images of people of whom no more is known than a sample table says.

    Attributes:
        images: `(N, H, W, 3)`.
        pids: `(N,)`.
        cams: `(N,)`.
        modality: `(N,)` `Modality`.
    """

    images: Images
    pids: Numbers
    cams: Numbers
    modality: Numbers

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.images.shape[1], self.images.shape[2]

    def of(self, light: Modality) -> Numbers:
        """The numbers of the images in a light."""
        return np.flatnonzero(self.modality == light)

    @property
    def lights(self) -> tuple[Modality, ...]:
        """The lights that there are images in."""
        return tuple(light for light in Modality if len(self.of(light)))


@dataclass(frozen=True, kw_only=True, eq=False)
class People(Photographs):
    """Images of people, and everything about them.

    Attributes:
        world: Where they live, with room for them.
        scenes: What each image shows.
        rows: The factors of each image, as in a factor table.
        masks: `(N, H, W)` where the person is seen.
    """

    world: World
    scenes: tuple[Scene, ...]
    rows: tuple[dict[str, Scalar], ...]
    masks: Bools


def draw_people(made: MadeSet, count: int, *, first: int = 0, each: int = 1) -> People:
    """Images of `count` people of the data set's world who are in none of its images.

    Args:
        made: The data set; its cameras see the new people, in its lights and sizes.
        count: How many people.
        first: How many of the new people to leave out before.
        each: Images of each person by each camera in each of its lights.
    """
    known = made.world.ids
    world = World.of(made.recipe, known + first + count)
    seen = made.table.select("camera", "spectrum").unique().sort("camera", "spectrum").rows()
    shots = [
        world.shot(pid, int(camera), index, Spectrum(spectrum))
        for pid in range(known + first + 1, known + first + count + 1)
        for camera, spectrum in seen
        for index in range(each)
    ]
    scenes = [world.scene(shot) for shot in shots]
    images, masks = draw_scenes(world, scenes, made.recipe.height, made.recipe.width)
    return People(
        world=world,
        scenes=tuple(scenes),
        rows=tuple(flatten(world.person(shot.pid), shot) for shot in shots),
        images=images,
        masks=masks,
        pids=np.array([shot.pid for shot in shots], np.int64),
        cams=np.array([shot.camera for shot in shots], np.int64),
        modality=np.array([light_of(shot.spectrum) for shot in shots], np.int64),
    )


def light_of(spectrum: Spectrum) -> Modality:
    """Both kinds of infrared are one light."""
    return Modality.VISIBLE if spectrum == Spectrum.VISIBLE else Modality.INFRARED


def draw_scenes(
    world: World, scenes: Sequence[Scene], height: int, width: int
) -> tuple[Images, Bools]:
    """The pictures of scenes, `(N, H, W, 3)`, and where their people are seen, `(N, H, W)`."""
    drawn = [world.draw(scene, height, width) for scene in scenes]
    return np.stack([one.image for one in drawn]), np.stack([one.mask for one in drawn])
