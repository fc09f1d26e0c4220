"""What a user may say of a data set; light to import, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from crosslight.data.promenade.difficulty import DifficultyName
from crosslight.data.promenade.sizes import LayoutName, PresetName
from crosslight.ranges import Count, Pixels, Seed


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a data set should be, as a user says it.

    Attributes:
        preset: How many people and images; tiny is for trying commands out, full is as large as
            the published set.
        layout: Whose folders, names and split files. table: visible, near-infrared and thermal
            images of the same people, and a table of them.
        people: People for training. None: the preset's.
        val_people: People for validation. None: the preset's.
        test_people: People for testing. None: the preset's.
        images_per_camera: Images of every person by every camera that sees them. None: the
            preset's.
        worlds: Worlds that the people live in, each with cameras, backgrounds, light and wardrobe
            of its own.
        first_world: Number of the first world. None: 0 for one world, the standard one, whose
            cameras are the same for every seed; 1 for several.
        height: Image height in pixels.
        width: Image width in pixels.
        seed: Decides every image; the same seed gives the same bytes for any number of workers.
        infrared: Spectrum of the infrared cameras. None: the layout's own, near-infrared for
            sysu-mm01, thermal for regdb and both for table.
        difficulty: How hard people are to tell apart and cameras to reconcile.
    """

    preset: PresetName = "mini"
    layout: LayoutName = "sysu-mm01"
    people: int | None = None
    val_people: int | None = None
    test_people: int | None = None
    images_per_camera: Count | None = None
    worlds: Count = 1
    first_world: int | None = None
    height: Pixels = 256
    width: Pixels = 128
    seed: Seed = 0
    infrared: Literal["near-infrared", "thermal"] | None = None
    difficulty: DifficultyName = "default"
