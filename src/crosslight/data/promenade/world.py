"""Seeded people and their worlds: any person and any image is a pure function of its number."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crosslight.data.promenade.arrays import Pixels
from crosslight.data.promenade.drawing import Picture, render_with_mask
from crosslight.data.promenade.factors import Person, Scene, Shot, Spectrum, Structure
from crosslight.data.promenade.recipe import Recipe
from crosslight.data.promenade.sampling import draw_body, draw_cut, draw_pose, draw_view
from crosslight.data.promenade.settings import STANDARD, Setting, setting
from crosslight.data.promenade.wardrobe import draw_look
from crosslight.errors import DataError

CROWD_START = 100_000
CROWD_SIZE = 400
_PERSON_STREAM, _SHOT_STREAM = 17, 23
_SPECTRUM_KEYS = {Spectrum.VISIBLE: 0, Spectrum.NEAR_INFRARED: 1, Spectrum.THERMAL: 2}


class World:
    """People, the crowd around them, and the pictures taken of them.

    People have the numbers 1 to `ids`. The crowd, from which bystanders and distractors come, has
    numbers from `CROWD_START` on and shares nobody with them, so nobody of the test half walks
    through a picture of the training half. All people of a world share one wardrobe (see
    `wardrobe`): a garment alone never tells on which side of a split its wearer is.

    Several worlds may be in one: each person then belongs to one of them, in turn by number, and is
    seen by its cameras (see `settings`).
    """

    def __init__(
        self,
        seed: int,
        ids: int,
        *,
        difficulty: str = "default",
        numbers: Sequence[int] = (STANDARD,),
    ) -> None:
        """Makes a world, or several.

        Args:
            seed: Another seed, other people and pictures.
            ids: How many people have numbers.
            difficulty: `easy`, `default` or `hard`.
            numbers: Of the worlds; 0 is the standard one.

        Raises:
            ConfigError: There is no such difficulty.
            DataError: A negative seed, no world, or no place for so many people.
        """
        if seed < 0:
            raise DataError(f"the seed is {seed}: give a seed of 0 or more.")
        if not 0 < ids < CROWD_START:
            raise DataError(f"a world of {ids} people cannot be made: give 1 to {CROWD_START - 1}.")
        if not numbers or min(numbers) < 0:
            raise DataError(
                f"the worlds are {list(numbers)}: give one number of 0 or more, or several."
            )
        self.seed = seed
        self.ids = ids
        self.difficulty = difficulty
        self.numbers = tuple(numbers)
        self._settings = [setting(seed, number, difficulty) for number in numbers]
        self._people: dict[int, Person] = {}

    @classmethod
    def of(cls, recipe: Recipe, ids: int) -> "World":
        """The world or worlds of a data set with so many people."""
        return cls(recipe.seed, ids, difficulty=recipe.difficulty, numbers=recipe.world_numbers)

    def _place_of(self, pid: int) -> int:
        """Which of the worlds a person belongs to, counted from 0.

        Raises:
            DataError: Nobody has that number.
        """
        count = len(self._settings)
        if 1 <= pid <= self.ids:
            return (pid - 1) % count
        if CROWD_START <= pid < CROWD_START + CROWD_SIZE * count:
            return (pid - CROWD_START) // CROWD_SIZE
        raise DataError(f"nobody has number {pid} in a world of people 1 to {self.ids}.")

    def _setting_of(self, pid: int) -> Setting:
        return self._settings[self._place_of(pid)]

    def number_of(self, pid: int) -> int:
        """The number of the world that a person belongs to.

        Raises:
            DataError: Nobody has that number.
        """
        return self._setting_of(pid).number

    def person(self, pid: int) -> Person:
        """The person of a number, the same for everybody who asks.

        Raises:
            DataError: Nobody has that number.
        """
        if pid not in self._people:
            own = self._setting_of(pid)
            rng = np.random.default_rng([own.seed, _PERSON_STREAM, pid])
            body = draw_body(rng)
            cut = draw_cut(rng, body.sex, own.difficulty)
            look = draw_look(rng, own.seed, own.difficulty)
            self._people[pid] = Person(pid=pid, body=body, cut=cut, look=look)
        return self._people[pid]

    def shot(self, pid: int, camera: int, index: int, spectrum: Spectrum) -> Shot:
        """The `index`-th shot of a person by a camera: its pose and view.

        Raises:
            DataError: Nobody has that number.
        """
        person, own = self.person(pid), self._setting_of(pid)
        key = [own.seed, _SHOT_STREAM, pid, camera, index, _SPECTRUM_KEYS[spectrum]]
        rng = np.random.default_rng(key)
        pose = draw_pose(rng, person.body, person.cut)
        lens, knobs = own.cameras[camera], own.difficulty
        first = CROWD_START + CROWD_SIZE * self._place_of(pid)
        view = draw_view(rng, camera, lens, knobs, (first, first + CROWD_SIZE))
        if pid in (view.bystander, view.passer):  # a distractor does not meet itself
            view = draw_view(rng, camera, lens, knobs, (first, first + 1))
        return Shot(pid=pid, camera=camera, index=index, spectrum=spectrum, pose=pose, view=view)

    def structure(self, shot: Shot) -> Structure:
        """Everything of a shot but the look of its person."""
        person = self.person(shot.pid)
        return Structure(body=person.body, cut=person.cut, pose=shot.pose, view=shot.view)

    def render(self, shot: Shot, height: int, width: int) -> Pixels:
        """The picture of a shot, `(height, width, 3)`."""
        return self.picture(shot, height, width).image

    def picture(self, shot: Shot, height: int, width: int) -> Picture:
        """The picture of a shot, and where its person is seen in it."""
        return self.picture_in_look_of(shot.pid, shot, height, width)

    def picture_in_look_of(self, pid: int, shot: Shot, height: int, width: int) -> Picture:
        """The picture of a shot, had its person the look of somebody else."""
        return self.draw(replace(self.scene(shot), look=self.person(pid).look), height, width)

    def scene(self, shot: Shot) -> Scene:
        """All that the picture of a shot shows."""
        return Scene(
            structure=self.structure(shot),
            look=self.person(shot.pid).look,
            spectrum=shot.spectrum,
            home=shot.pid,
        )

    def draw(self, scene: Scene, height: int, width: int) -> Picture:
        """The picture of a scene, and where its person is seen in it."""
        return render_with_mask(
            scene.structure,
            scene.look,
            scene.spectrum,
            height,
            width,
            crowd=self.person,
            cameras=self._setting_of(scene.home).cameras,
            grain=scene.grain,
        )
