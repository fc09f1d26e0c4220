"""What a made data set was made from, and the plan of its images."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias

from crosslight.data.layouts.contract import PROMENADE
from crosslight.data.promenade.difficulty import DifficultyName, difficulty_named
from crosslight.data.promenade.drawing import check_size
from crosslight.data.promenade.factors import Spectrum
from crosslight.data.promenade.settings import STANDARD
from crosslight.data.promenade.sizes import (
    LAYOUTS,
    PRESETS,
    LayoutName,
    PresetName,
    Size,
    size_of,
)
from crosslight.data.promenade.wishes import Wishes
from crosslight.errors import ConfigError, DataError

Manner: TypeAlias = Literal["plain", "paired", "hand-drawn", "junk"]

GENERATOR = 1
"""Counts the versions of the generator that draw other pixels from the same seed."""

_INFRARED: dict[LayoutName, tuple[Spectrum, ...]] = {
    "sysu-mm01": (Spectrum.NEAR_INFRARED, Spectrum.THERMAL),
    "regdb": (Spectrum.THERMAL,),
    "market1501": (),
    "table": (Spectrum.NEAR_INFRARED, Spectrum.THERMAL),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that the bytes of a data set depend on.

    `infrared` is `None` where the layout has visible images only, and where a table has both kinds
    of infrared. Counts of people and images are `None` where they are those of the preset.
    """

    layout: LayoutName
    preset: PresetName
    height: int
    width: int
    seed: int
    infrared: Spectrum | None
    difficulty: DifficultyName
    people: int | None = None
    val_people: int | None = None
    test_people: int | None = None
    images_per_camera: int | None = None
    worlds: int = 1
    first_world: int = STANDARD
    generator: int = GENERATOR

    @property
    def size(self) -> Size:
        """How many people and images."""
        return size_of(
            self.layout,
            self.preset,
            people=self.people,
            val_people=self.val_people,
            test_people=self.test_people,
            images_per_camera=self.images_per_camera,
        )

    @property
    def world_numbers(self) -> range:
        """The numbers of the worlds."""
        return range(self.first_world, self.first_world + self.worlds)

    @property
    def infrared_lights(self) -> tuple[Spectrum, ...]:
        """The infrared light of its images; a table may have two."""
        if self.infrared is not None:
            return (self.infrared,)
        return _INFRARED[self.layout]

    def text(self) -> str:
        """The manifest that is written beside the images."""
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True, kw_only=True)
class PlannedImage:
    """An image that a data set has.

    Attributes:
        path: Relative to the root, with slashes.
        pid: The number that the layout gives: 0 for distractors, -1 for junk.
        person: The number of the person in the world.
        camera: 1 to 6; 7 and 8 are thermal cameras beside 3 and 6.
        index: Which shot of the person by this camera.
        spectrum: In which light.
        split: `train`, `val`, `test`, `query`, `gallery`, ...
        manner: How the shot is taken from the world.
    """

    path: str
    pid: int
    person: int
    camera: int
    index: int
    spectrum: Spectrum
    split: str
    manner: Manner = "plain"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All images of a data set, the files beside them, and how many people there are."""

    ids: int
    images: tuple[PlannedImage, ...]
    files: dict[str, bytes]
    folders: tuple[str, ...] = ()


def make_recipe(wishes: Wishes) -> Recipe:
    """Checks the wishes of a user.

    Raises:
        ConfigError: One of them does not exist or does not fit the others.
    """
    for what, wish, known in (
        ("layout", wishes.layout, LAYOUTS),
        ("preset", wishes.preset, PRESETS),
    ):
        if wish not in known:
            raise ConfigError(f"there is no {what} {wish!r}: type one of {', '.join(known)}.")
    check_size(wishes.height, wishes.width)
    if wishes.seed < 0:
        raise ConfigError(f"the seed is {wishes.seed}: give a seed of 0 or more.")
    difficulty_named(wishes.difficulty)
    settled = {
        "infrared": _infrared(wishes.layout, wishes.infrared),
        "first_world": _first_world(wishes.worlds, wishes.first_world),
    }
    recipe = Recipe(**{**vars(wishes), **settled})
    ids = recipe.size.ids
    if recipe.worlds > ids:
        raise ConfigError(
            f"{recipe.worlds} worlds are asked for, and {ids} people to live in them: give "
            f"--worlds {ids} or fewer, or more --people."
        )
    return recipe


def _infrared(layout: LayoutName, wish: Spectrum | str | None) -> Spectrum | None:
    choices = _INFRARED[layout]
    if wish is None:
        return choices[0] if choices and layout != "table" else None
    if wish not in choices:
        allowed = " or ".join(choices) or "visible images only"
        raise ConfigError(
            f"the layout {layout} cannot hold {wish} images, it has {allowed}: "
            "leave --infrared out or choose another --layout."
        )
    return Spectrum(wish)


def _first_world(worlds: int, first: int | None) -> int:
    """The standard world where it is alone: several are drawn, and leave it unseen."""
    if worlds < 1:
        raise ConfigError(f"--worlds is {worlds}: give 1 or more.")
    if first is None:
        return STANDARD if worlds == 1 else STANDARD + 1
    if first < 0:
        raise ConfigError(f"--first-world is {first}: give 0, the standard world, or more.")
    return first


def read_manifest(root: Path) -> Recipe:
    """The recipe of a made data set.

    Raises:
        DataError: The folder holds no Promenade, or its manifest is damaged.
    """
    path = root / PROMENADE
    try:
        values = json.loads(path.read_text())
        values["infrared"] = None if values["infrared"] is None else Spectrum(values["infrared"])
        return Recipe(**values)
    except FileNotFoundError:
        raise DataError(
            f"{root} has no {PROMENADE}, so it is no Promenade data set: make one with "
            f"`crosslight data make promenade {root}`."
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} cannot be read as the manifest of a Promenade data set ({error}): "
            "delete the folder and make it again."
        ) from error


def claim_folder(out: Path, recipe: Recipe) -> None:
    """Makes the folder ours: empty or new, or begun from the same recipe.

    Raises:
        ConfigError: It holds a data set of another recipe.
        DataError: It is a file, holds something else, or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file, and a folder is needed: give another folder.")
    if (out / PROMENADE).exists():
        begun = read_manifest(out)
        for field in fields(Recipe):
            old, new = getattr(begun, field.name), getattr(recipe, field.name)
            if old != new:
                raise ConfigError(
                    f"{out} holds a Promenade made with {field.name} {_said(old)}, and "
                    f"{_said(new)} is asked for: give the same settings to complete it, or "
                    "another folder."
                )
        return
    if out.exists() and any(out.iterdir()):
        raise DataError(
            f"{out} is not empty and holds no Promenade (no {PROMENADE}): give a new folder, "
            "so that nothing of yours is overwritten."
        )
    write_whole(out / PROMENADE, recipe.text().encode())


def _said(value: Any) -> str:
    return "by default" if value is None else str(value)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file at once or not at all, also when the process is killed.

    Raises:
        DataError: No space is left, or the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        _remove(part)
        raise _unwritten(path, error) from error
    except BaseException:
        _remove(part)
        raise


def make_folder(path: Path) -> None:
    """Makes a folder, or finds it made.

    Raises:
        DataError: Something is in the way, or nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} could not be written ({error.strerror or error}): make room or choose another "
        "folder; what is there is whole, and the same command goes on from it."
    )


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


def remove_parts(root: Path) -> None:
    """Removes what a killed run left half-written."""
    for part in root.rglob(".*.part"):
        _remove(part)
