"""Draws each person's clothes on each other's body: a grid, single images, steps between, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crosslight.commands.pictures import as_picture, write_png
from crosslight.commands.swap_cases import draw_cases
from crosslight.data.folders import PassedOver, images_below
from crosslight.data.images import read_image
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import ConfigError, DataError
from crosslight.files import require_folder, require_place
from crosslight.methods.contract import Interpolates, MapsStructure, Method, Swaps
from crosslight.report.grid import Cell, Heading, Place, Verdict, image_grid, legible
from crosslight.report.structure_maps import structure_map_grid
from crosslight.training.run import RunFolder


@dataclass(frozen=True, kw_only=True)
class Look:
    """A column of the grid: clothes of one image, or between those of two.

    Attributes:
        name: For files and titles.
        first: The image, or where the way begins.
        second: Where the way ends.
        fraction: How far along it; 0 is `first` alone.
    """

    name: str
    first: Path
    second: Path
    fraction: float = 0.0


def run_swap(
    run: Path,
    *,
    appearance: Sequence[Path] = (),
    structure: Sequence[Path] = (),
    out: Path,
    each: Path | None = None,
    interpolate: int = 0,
    limit: int = 8,
    cases: str | None = None,
    maps: Path | None = None,
    trial: int = 1,
) -> None:
    """Writes the grid, with `each` every drawn image, with `maps` the structure codes as well.

    With `cases`, a data set, the grid shows who can meet there in place of given images.

    Raises:
        ConfigError: The run's method cannot swap, or flags or a number make no sense.
        DataError: There is no image, or one cannot be read.
    """
    if interpolate < 0 or limit < 1:
        raise ConfigError(
            f"--interpolate {interpolate} and --limit {limit} make no grid; give 0 or more steps "
            "and 1 image or more."
        )
    if cases is not None and (appearance or structure or each or interpolate):
        raise ConfigError(
            "--cases chooses the images of its grid itself; leave out --appearance, --structure, "
            "--each and --interpolate, or leave out --cases."
        )
    folder = RunFolder.open(run)
    for place in (out, maps):
        if place is not None:
            require_place(place)
    if each is not None:
        require_folder(each)
    config = folder.load_config()
    method = folder.load_method().eval()
    if not isinstance(method, Swaps) or (interpolate and not isinstance(method, Interpolates)):
        raise ConfigError(
            f"The method {config.method} of {run} does not draw people in other people's clothes; "
            "give a run of one that does, such as dgnet."
        )
    if maps is not None and not isinstance(method, MapsStructure):
        raise ConfigError(
            f"The method {config.method} of {run} has no structure maps; leave out --maps."
        )
    height, width = config.data.height, config.data.width
    transform = InferenceTransform(height, width, config.data.interpolation)
    if cases is not None:
        picture, across = draw_cases(
            method,
            cases,
            transform,
            count=limit,
            trial=trial,
            deep_range=config.data.deep_range,
        )
        write_png(picture, out)
        print(f"{out}: {limit} meetings in each of three cases; N on M: clothes N on body M.")
        _write_maps(method, across, maps)
        return
    looks = _looks(_images(appearance, limit, "--appearance"), interpolate)
    bodies = _images(structure, limit, "--structure")
    cell_height, cell_width = legible(height, width)
    sources = {path for look in looks for path in (look.first, look.second)} | set(bodies)
    deep_range = config.data.deep_range
    pixels = {path: transform(read_image(path, deep_range=deep_range)) for path in sorted(sources)}

    shown = _labels(list(pixels))
    corner = Heading(lines=("across: whose clothes", "down: whose body"))
    rows: list[list[Place]] = [[corner, *(_title(look, pixels, shown) for look in looks)]]
    for body, name in zip(bodies, _names(bodies), strict=True):
        drawn = _drawn(method, looks, pixels, body)
        cells = [Cell(image=as_picture(image)) for image in drawn]
        start = Cell(image=as_picture(pixels[body]), verdict=Verdict.QUERY, lines=(shown[body],))
        rows.append([start, *cells])
        if each is not None:
            for look, image in zip(looks, drawn, strict=True):
                write_png(as_picture(image), each / f"{look.name}__{name}.png")
    write_png(image_grid(rows, cell_height=cell_height, cell_width=cell_width), out)
    print(f"{out}: {len(bodies)} bodies in {len(looks)} looks; clothes follow the column.")
    if each is not None:
        print(f"{each}: {len(bodies) * len(looks)} images, named CLOTHES__BODY.png.")
    _write_maps(method, [(shown[body], pixels[body]) for body in bodies], maps)


@torch.inference_mode()
def _write_maps(
    method: Method | Swaps, images: Sequence[tuple[str, Tensor]], out: Path | None
) -> None:
    if out is None or not isinstance(method, MapsStructure):
        return
    found = [method.structure_maps(pixels[None])[0].float().numpy() for _, pixels in images]
    pictures = [as_picture(pixels) for _, pixels in images]
    write_png(structure_map_grid(pictures, [name for name, _ in images], np.stack(found)), out)
    print(f"{out}: structure of {len(images)} images; like colours are like structure.")


def _looks(images: Sequence[Path], steps: int) -> list[Look]:
    if steps and len(images) < 2:
        raise ConfigError(
            f"--interpolate {steps} draws clothes between two images, but --appearance gives "
            f"{len(images)}; give two or more."
        )
    looks = []
    names = _names(images)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        looks.append(Look(name=name, first=image, second=image))
        if steps and number + 1 < len(images):
            following = images[number + 1]
            looks += [
                Look(
                    name=f"{name}-{names[number + 1]}-{step / (steps + 1):.2f}",
                    first=image,
                    second=following,
                    fraction=step / (steps + 1),
                )
                for step in range(1, steps + 1)
            ]
    return looks


def _names(images: Sequence[Path]) -> list[str]:
    """The files' names, told apart by a number where several folders hold the same."""
    stems = [image.stem for image in images]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{number}"
        for number, stem in enumerate(stems, start=1)
    ]


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
            found += [inside[number * len(inside) // count] for number in range(count)]
        else:
            found.append(path)
    if not found:
        raise DataError(f"{flag} names no image; give files or a folder.")
    return found


@torch.inference_mode()
def _drawn(
    method: Method, looks: Sequence[Look], pixels: dict[Path, Tensor], body: Path
) -> list[Tensor]:
    """One image per look; a body at a time, so that memory does not grow with the grid."""
    images = []
    for look in looks:
        first, second, structure = (pixels[p][None] for p in (look.first, look.second, body))
        if look.fraction and isinstance(method, Interpolates):
            images.append(method.interpolate(first, second, structure, look.fraction)[0])
        elif isinstance(method, Swaps):
            images.append(method.swap(first, structure)[0])
    return images


def _title(look: Look, pixels: Mapping[Path, Tensor], shown: Mapping[Path, str]) -> Place:
    if look.fraction:
        return Heading(lines=(f"{look.fraction:.0%} of the way from left to right",))
    lines = (shown[look.first],)
    return Cell(image=as_picture(pixels[look.first]), verdict=Verdict.QUERY, lines=lines)


def _labels(images: Sequence[Path]) -> dict[Path, str]:
    """Folder and file, which in most layouts name the person; more folders where two are alike."""
    parts = {path: path.absolute().with_suffix("").parts[1:] for path in images}
    longest = max(map(len, parts.values()))
    for count in range(2, longest + 1):
        labels = {path: "/".join(own[-count:]) for path, own in parts.items()}
        if len(set(labels.values())) == len(set(parts.values())):
            break
    return labels
