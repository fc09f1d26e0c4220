"""Draws each person's clothes on each other's body: a grid, single images, steps between, maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from crosslight.data.folders import PassedOver, images_below
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.cases import draw_cases
from crosslight.drawing.options import Swapping
from crosslight.drawing.pictures import write_png
from crosslight.drawing.swapping import (
    PartsExchanged,
    Sitter,
    draw_maps,
    draw_swaps,
    looks_of,
    sitters_of,
)
from crosslight.errors import ConfigError, DataError
from crosslight.files import require_folder, require_place
from crosslight.methods.contract import Interpolates, MapsStructure, Method, Swaps
from crosslight.training.run import RunFolder
from crosslight.types import DeepRange


def run_swap(run: Path, how: Swapping) -> None:
    """Writes the grid, with `each` every drawn image, with `maps` the structure codes as well.

    With `cases`, a data set, the grid shows who can meet there in place of given images.

    Raises:
        ConfigError: The run's method cannot swap, or flags or a number make no sense.
        DataError: There is no image, or one cannot be read.
    """
    if how.interpolate < 0 or how.limit < 1:
        raise ConfigError(
            f"--interpolate {how.interpolate} and --limit {how.limit} make no grid; give 0 or more "
            "steps and 1 image or more."
        )
    if how.cases is not None and (how.appearance or how.structure or how.each or how.interpolate):
        raise ConfigError(
            "--cases chooses the images of its grid itself; leave out --appearance, --structure, "
            "--each and --interpolate, or leave out --cases."
        )
    if how.parts and how.interpolate:
        raise ConfigError(
            "--interpolate draws steps between whole clothes, --parts takes some parts of them; "
            "leave one of the two out."
        )
    folder = RunFolder.open(run)
    folder.refuse_untrained("swapping")
    for place in (how.out, how.maps):
        if place is not None:
            require_place(place)
    if how.each is not None:
        require_folder(how.each)
    data = folder.load_config().data
    method = _swapping_method(folder, how)
    drawing: nn.Module = PartsExchanged(method, how.parts) if how.parts else method
    transform = InferenceTransform(data.height, data.width, data.interpolation)
    if how.cases is not None and isinstance(drawing, Swaps):
        picture, bodies = draw_cases(
            drawing,
            how.cases,
            transform,
            count=how.limit,
            trial=how.trial,
            deep_range=data.deep_range,
        )
        write_png(picture, how.out)
        print(
            f"{how.out}: {how.limit} meetings in each of three cases; N on M: clothes N on body M."
        )
    else:
        bodies = _draw_given(drawing, how, transform, data.deep_range)
    _write_maps(method, bodies, how.maps)


def _swapping_method(folder: RunFolder, how: Swapping) -> Method:
    name, method = folder.load_config().method, folder.load_method().eval()
    if not isinstance(method, Swaps):
        raise ConfigError(
            f"The method {name} of {folder.path} does not draw people in other people's clothes; "
            "give a run of one that does, such as dgnet."
        )
    if how.interpolate and not isinstance(method, Interpolates):
        raise ConfigError(
            f"The method {name} of {folder.path} draws no steps between the clothes of two people; "
            "leave out --interpolate, or give a run of one that does, such as dgnet."
        )
    if how.maps is not None and not isinstance(method, MapsStructure):
        raise ConfigError(
            f"The method {name} of {folder.path} has no structure maps; leave out --maps."
        )
    return method


def _draw_given(
    method: nn.Module, how: Swapping, transform: InferenceTransform, deep_range: DeepRange | None
) -> list[Sitter]:
    clothes, bodies = sitters_of(
        [
            _images(how.appearance, how.limit, "--appearance"),
            _images(how.structure, how.limit, "--structure"),
        ],
        transform,
        deep_range=deep_range,
    )
    looks = looks_of(clothes, how.interpolate)
    grid = draw_swaps(method, looks, bodies)
    if how.each is not None:
        for body, drawn in zip(bodies, grid.drawn, strict=True):
            for look, picture in zip(looks, drawn, strict=True):
                write_png(picture, how.each / f"{look.name}__{body.name}.png")
    grid.save(how.out)
    print(
        f"{how.out}: {len(bodies)} bodies in {len(looks)} looks; clothes by column, bodies by row."
    )
    if how.each is not None:
        print(f"{how.each}: {len(bodies) * len(looks)} images, named CLOTHES__BODY.png.")
    return bodies


def _write_maps(method: Method | Swaps, images: Sequence[Sitter], out: Path | None) -> None:
    if out is None or not isinstance(method, MapsStructure):
        return
    write_png(draw_maps(method, images), out)
    print(f"{out}: structure of {len(images)} images; like colours are like structure.")


def _images(given: Sequence[Path], limit: int, flag: str) -> list[Path]:
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            left = PassedOver()
            inside = images_below(path, passed_over=left)
            if not inside:
                told = f" ({left.told()})" if left.count else ""
                raise DataError(
                    f"The folder {path} of {flag} holds no image{told}; give another one."
                )
            if left.count:
                print(f"{left.told()}.")
            count = min(limit, len(inside))
            if count < len(inside):
                print(f"{path}: {count} of {len(inside)} images are drawn; --limit takes more.")
            found += [inside[number * len(inside) // count] for number in range(count)]
        else:
            found.append(path)
    if not found:
        raise DataError(f"{flag} names no image; give files or a folder.")
    return found
