"""What a made data set was made from, and the plan of its images."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

from crosslight.data.promenade.difficulty import DifficultyName, difficulty_named
from crosslight.data.promenade.drawing import check_size
from crosslight.data.promenade.factors import Spectrum
from crosslight.errors import ConfigError, DataError

LayoutName: TypeAlias = Literal["sysu-mm01", "regdb", "market1501"]
PresetName: TypeAlias = Literal["tiny", "mini", "small", "full"]
Manner: TypeAlias = Literal["plain", "paired", "hand-drawn", "junk"]

LAYOUTS: tuple[LayoutName, ...] = ("sysu-mm01", "regdb", "market1501")
PRESETS: tuple[PresetName, ...] = ("tiny", "mini", "small", "full")
MANIFEST = "promenade.json"
FACTORS = "factors.parquet"
GENERATOR = 1
"""Counts the versions of the generator that draw other pixels from the same seed."""

_INFRARED: dict[LayoutName, tuple[Spectrum, ...]] = {
    "sysu-mm01": (Spectrum.NEAR_INFRARED, Spectrum.THERMAL),
    "regdb": (Spectrum.THERMAL,),
    "market1501": (),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that the bytes of a data set depend on.

    `infrared` is `None` where the layout has visible images only.
    """

    layout: LayoutName
    preset: PresetName
    height: int
    width: int
    seed: int
    infrared: Spectrum | None
    difficulty: DifficultyName
    generator: int = GENERATOR

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
        camera: 1 to 6.
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


def make_recipe(
    *,
    preset: str,
    layout: str,
    height: int,
    width: int,
    seed: int,
    infrared: Spectrum | str | None = None,
    difficulty: str = "default",
) -> Recipe:
    """Checks the wishes of a user.

    Args:
        preset: `tiny` (a smoke test), `mini`, `small` or `full`.
        layout: `sysu-mm01`, `regdb` or `market1501`.
        height: Rows of the images.
        width: Columns of the images.
        seed: 0 or more.
        infrared: The light of the infrared cameras; the first that the layout has unless given.
        difficulty: `easy`, `default` or `hard`.

    Raises:
        ConfigError: One of them does not exist or does not fit the others.
    """
    known_layout = next((name for name in LAYOUTS if name == layout), None)
    if known_layout is None:
        raise ConfigError(f"there is no layout {layout!r}: type one of {', '.join(LAYOUTS)}.")
    known_preset = next((name for name in PRESETS if name == preset), None)
    if known_preset is None:
        raise ConfigError(f"there is no preset {preset!r}: type one of {', '.join(PRESETS)}.")
    check_size(height, width)
    if seed < 0:
        raise ConfigError(f"the seed is {seed}: give a seed of 0 or more.")
    difficulty_named(difficulty)
    choices = _INFRARED[known_layout]
    chosen = choices[0] if choices else None
    if infrared is not None:
        if infrared not in choices:
            allowed = " or ".join(choices) or "visible images only"
            raise ConfigError(
                f"the layout {layout} cannot hold {infrared} images, it has {allowed}: "
                "leave --infrared out or choose another --layout."
            )
        chosen = Spectrum(infrared)
    return Recipe(
        layout=known_layout,
        preset=known_preset,
        height=height,
        width=width,
        seed=seed,
        infrared=chosen,
        difficulty=difficulty,  # type: ignore[arg-type]
    )


def read_manifest(root: Path) -> Recipe:
    """The recipe of a made data set.

    Raises:
        DataError: The folder holds no Promenade, or its manifest is damaged.
    """
    path = root / MANIFEST
    try:
        values = json.loads(path.read_text())
        values["infrared"] = None if values["infrared"] is None else Spectrum(values["infrared"])
        return Recipe(**values)
    except FileNotFoundError:
        raise DataError(
            f"{root} has no {MANIFEST}, so it is no Promenade data set: make one with "
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
    if (out / MANIFEST).exists():
        begun = read_manifest(out)
        for field in fields(Recipe):
            old, new = getattr(begun, field.name), getattr(recipe, field.name)
            if old != new:
                raise ConfigError(
                    f"{out} holds a Promenade made with {field.name} {old}, and {new} is asked "
                    "for: give the same settings to complete it, or another folder."
                )
        return
    if out.exists() and any(out.iterdir()):
        raise DataError(
            f"{out} is not empty and holds no Promenade (no {MANIFEST}): give a new folder, "
            "so that nothing of yours is overwritten."
        )
    write_whole(out / MANIFEST, recipe.text().encode())


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
        raise DataError(
            f"{path} could not be written ({error.strerror or error}): make room or choose another "
            "folder; what is there is whole, and the same command goes on from it."
        ) from error
    except BaseException:
        _remove(part)
        raise


def _remove(part: Path) -> None:
    with suppress(OSError):
        part.unlink(missing_ok=True)


def remove_parts(root: Path) -> None:
    """Removes what a killed run left half-written."""
    for part in root.rglob(".*.part"):
        _remove(part)
