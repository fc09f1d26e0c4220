"""A seeded world of people: any person and any image is a pure function of its number."""

import numpy as np

from crosslight.data.promenade.arrays import Pixels
from crosslight.data.promenade.difficulty import difficulty_named
from crosslight.data.promenade.drawing import Picture, render_with_mask
from crosslight.data.promenade.factors import Person, Shot, Spectrum, Structure
from crosslight.data.promenade.sampling import draw_body, draw_cut, draw_pose, draw_view
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
    through a picture of the training half. All people share one wardrobe (see `wardrobe`): a
    garment alone never tells on which side of a split its wearer is.
    """

    def __init__(self, seed: int, ids: int, *, difficulty: str = "default") -> None:
        """Makes a world.

        Args:
            seed: Another seed, other people and pictures.
            ids: How many people have numbers.
            difficulty: `easy`, `default` or `hard`.

        Raises:
            ConfigError: There is no such difficulty.
            DataError: A negative seed, or no place for so many people.
        """
        if seed < 0:
            raise DataError(f"the seed is {seed}: give a seed of 0 or more.")
        if not 0 < ids < CROWD_START:
            raise DataError(f"a world of {ids} people cannot be made: give 1 to {CROWD_START - 1}.")
        self.seed = seed
        self.ids = ids
        self.difficulty = difficulty
        self._knobs = difficulty_named(difficulty)
        self._people: dict[int, Person] = {}

    def person(self, pid: int) -> Person:
        """The person of a number, the same for everybody who asks.

        Raises:
            DataError: Nobody has that number.
        """
        if pid not in self._people:
            crowd = CROWD_START <= pid < CROWD_START + CROWD_SIZE
            if not (1 <= pid <= self.ids or crowd):
                raise DataError(f"nobody has number {pid} in a world of people 1 to {self.ids}.")
            rng = np.random.default_rng([self.seed, _PERSON_STREAM, pid])
            body = draw_body(rng)
            cut = draw_cut(rng, body.sex, self._knobs)
            look = draw_look(rng, self.seed, self._knobs)
            self._people[pid] = Person(pid=pid, body=body, cut=cut, look=look)
        return self._people[pid]

    def shot(self, pid: int, camera: int, index: int, spectrum: Spectrum) -> Shot:
        """The `index`-th shot of a person by a camera: its pose and view.

        Raises:
            DataError: Nobody has that number.
        """
        person = self.person(pid)
        key = [self.seed, _SHOT_STREAM, pid, camera, index, _SPECTRUM_KEYS[spectrum]]
        rng = np.random.default_rng(key)
        pose = draw_pose(rng, person.body, person.cut)
        view = draw_view(rng, camera, self._knobs, (CROWD_START, CROWD_START + CROWD_SIZE))
        if pid in (view.bystander, view.passer):  # a distractor does not meet itself
            view = draw_view(rng, camera, self._knobs, (CROWD_START, CROWD_START + 1))
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
        look = self.person(pid).look
        return render_with_mask(
            self.structure(shot), look, shot.spectrum, height, width, crowd=self.person
        )
