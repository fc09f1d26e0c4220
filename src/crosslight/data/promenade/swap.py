"""The truth about disentanglement: what a perfect swap and a perfect translation look like."""

from crosslight.data.promenade.arrays import Pixels
from crosslight.data.promenade.factors import Shot, Spectrum
from crosslight.data.promenade.world import World


def true_swap(world: World, appearance: Shot, structure: Shot, height: int, width: int) -> Pixels:
    """The look of one shot's person on everything else of another shot.

    Background, obstacles, other people, noise and the gain of the camera stay those of
    `structure`: outside the person only blur and compression can differ.

    Args:
        world: Where both people live.
        appearance: Whose materials: skin, hair, clothes.
        structure: Whose body, cut of clothes, pose, view and spectrum.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        `(height, width, 3)`.
    """
    return world.picture_in_look_of(appearance.pid, structure, height, width).image


def true_translation(
    world: World, shot: Shot, spectrum: Spectrum, height: int, width: int
) -> Pixels:
    """The same moment, seen by the same camera in another spectrum, `(height, width, 3)`.

    Args:
        world: Where the person lives.
        shot: The moment.
        spectrum: The light to see it in.
        height: Rows of the image.
        width: Columns of the image.
    """
    return world.render(shot.seen_in(spectrum), height, width)
