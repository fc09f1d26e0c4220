"""Each person's clothes on each other's body: a grid, with steps between the clothes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from crosslight.data.images import read_image
from crosslight.data.layouts.bounding_boxes import PERSON_AND_CAMERA
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.grids import Grid
from crosslight.drawing.pictures import as_picture
from crosslight.drawing.structure_maps import structure_map_grid
from crosslight.errors import ConfigError
from crosslight.methods.contract import ExchangesParts, Interpolates, MapsStructure, Swaps
from crosslight.report.grid import Cell, Heading, Place, Verdict, image_grid, legible
from crosslight.types import DeepRange


@dataclass(frozen=True, kw_only=True, eq=False)
class Sitter:
    """An image that lends its clothes or its body.

    Attributes:
        name: For files.
        label: For the sheet, in lines: who it is, where that is known, and which file.
        pixels: (3, H, W) in [0, 1].
    """

    name: str
    label: tuple[str, ...]
    pixels: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """A column of the grid: clothes of one image, or between those of two.

    Attributes:
        name: For files.
        first: The image, or where the way begins.
        second: Where the way ends.
        fraction: How far along it; 0 is `first` alone.
    """

    name: str
    first: Sitter
    second: Sitter
    fraction: float = 0.0


def sitters_of(
    groups: Sequence[Sequence[Path]],
    transform: InferenceTransform,
    *,
    deep_range: DeepRange | None = None,
) -> list[list[Sitter]]:
    """The images of files, group by group; labels tell all of them apart, names those of a group.

    Raises:
        DataError: An image cannot be read.
    """
    every = sorted({path for group in groups for path in group})
    pixels = {path: transform(read_image(path, deep_range=deep_range)) for path in every}
    labels = labels_of([path for group in groups for path in group])
    return [
        [
            Sitter(name=name, label=labels[path], pixels=pixels[path])
            for path, name in zip(group, _names(group), strict=True)
        ]
        for group in groups
    ]


def looks_of(clothes: Sequence[Sitter], steps: int = 0) -> list[Look]:
    """A column for each of the clothes, and `steps` between each two neighbours.

    Raises:
        ConfigError: Steps are asked for between fewer than two images, or fewer than none.
    """
    if steps < 0:
        raise ConfigError(f"{steps} steps between clothes are asked for; give 0 or more.")
    if steps and len(clothes) < 2:
        raise ConfigError(
            f"{steps} steps between the clothes of two images are asked for, but {len(clothes)} "
            "image gives its appearance; give two or more."
        )
    looks = []
    for number, own in enumerate(clothes):
        looks.append(Look(name=own.name, first=own, second=own))
        if steps and number + 1 < len(clothes):
            following = clothes[number + 1]
            looks += [
                Look(
                    name=f"{own.name}-{following.name}-{step / (steps + 1):.2f}",
                    first=own,
                    second=following,
                    fraction=step / (steps + 1),
                )
                for step in range(1, steps + 1)
            ]
    return looks


class PartsExchanged(nn.Module):
    """A method whose swaps take chosen parts of the clothes' image in place of the usual ones.

    Args:
        method: Which can.
        parts: Of those that it has.

    Raises:
        ConfigError: It has no such parts.
    """

    def __init__(self, method: nn.Module, parts: Sequence[str]) -> None:
        super().__init__()
        if not isinstance(method, ExchangesParts):
            raise ConfigError(
                "This method takes nobody apart in named parts; leave out --parts, or give a run "
                "of one that does, such as hicmd."
            )
        unknown = [part for part in parts if part not in method.parts]
        if unknown:
            raise ConfigError(
                f"This method has no part {unknown[0]!r}; name some of {', '.join(method.parts)}."
            )
        self.method, self.parts = method, tuple(parts)

    def swap(self, appearance: Tensor, structure: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] twice → (B,3,H,W) in [0,1]."""
        assert isinstance(self.method, ExchangesParts)
        return self.method.exchange(appearance, structure, self.parts)


def draw_swaps(method: nn.Module, looks: Sequence[Look], bodies: Sequence[Sitter]) -> Grid:
    """Every look (columns) on every body (rows).

    Raises:
        ConfigError: The method cannot swap, or not draw steps between clothes.
    """
    if not isinstance(method, Swaps):
        raise ConfigError(
            "This method does not draw people in other people's clothes; take a run of one that "
            "does, such as dgnet."
        )
    if any(look.fraction for look in looks) and not isinstance(method, Interpolates):
        raise ConfigError(
            "This method draws no steps between the clothes of two people; ask for none, or take "
            "a run of one that does, such as dgnet."
        )
    corner = Heading(lines=("across: whose clothes", "down: whose body"))
    rows: list[list[Place]] = [[corner, *(heading_of(look) for look in looks)]]
    drawn = []
    for body in bodies:
        pictures = tuple(as_picture(pixels) for pixels in _drawn(method, looks, body))
        start = Cell(image=as_picture(body.pixels), verdict=Verdict.QUERY, lines=body.label)
        rows.append([start, *(Cell(image=picture) for picture in pictures)])
        drawn.append(pictures)
    cell_height, cell_width = legible(*bodies[0].pixels.shape[1:])
    sheet = image_grid(rows, cell_height=cell_height, cell_width=cell_width)
    return Grid(drawn=tuple(drawn), sheet=sheet)


@torch.inference_mode()
def draw_maps(method: MapsStructure, images: Sequence[Sitter]) -> Image.Image:
    """What a method takes for the structure of images; like colours are like structure."""
    found = [method.structure_maps(own.pixels[None])[0].float().cpu().numpy() for own in images]
    pictures = [as_picture(own.pixels) for own in images]
    return structure_map_grid(pictures, [own.label for own in images], np.stack(found))


def _names(images: Sequence[Path]) -> list[str]:
    """The files' names, told apart by a number where several folders hold the same."""
    stems = [image.stem for image in images]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{number}"
        for number, stem in enumerate(stems, start=1)
    ]


@torch.inference_mode()
def _drawn(method: nn.Module, looks: Sequence[Look], body: Sitter) -> list[Tensor]:
    """One image per look; a body at a time, so that memory does not grow with the grid."""
    place = next(method.parameters()).device
    structure = body.pixels[None].to(place)
    images = []
    for look in looks:
        first, second = (own.pixels[None].to(place) for own in (look.first, look.second))
        if look.fraction and isinstance(method, Interpolates):
            images.append(method.interpolate(first, second, structure, look.fraction)[0])
        elif isinstance(method, Swaps):
            images.append(method.swap(first, structure)[0])
    return [image.float().cpu() for image in images]


def heading_of(look: Look) -> Place:
    """What stands above a column: whose clothes, or how far between whose."""
    if look.fraction:
        ends = (look.first.label[0], look.second.label[0])
        return Heading(lines=(f"{look.fraction:.0%} of the way", "from", ends[0], "to", ends[1]))
    picture = as_picture(look.first.pixels)
    return Cell(image=picture, verdict=Verdict.QUERY, lines=look.first.label)


def labels_of(images: Sequence[Path]) -> dict[Path, tuple[str, ...]]:
    """Who each image shows, where its name or folder says so, and folder and file.

    More folders where two would be called alike.
    """
    parts = {path: path.absolute().with_suffix("").parts[1:] for path in images}
    files: dict[Path, str] = {}
    longest = max(map(len, parts.values()), default=0)
    for count in range(2, longest + 1):
        files = {path: "/".join(own[-count:]) for path, own in parts.items()}
        if len(set(files.values())) == len(set(parts.values())):
            break
    return {path: (*_person(path), file) for path, file in files.items()}


def _person(path: Path) -> tuple[str, ...]:
    """`person 7` of `0007_c1s1_01.jpg` and of `cam1/0007/0001.jpg`; nothing of other names."""
    told = PERSON_AND_CAMERA.match(path.name)
    folder = path.absolute().parent.name
    if told is not None:
        return (f"person {int(told[1])}",) if told[1] != "-1" else ("nobody known",)
    return (f"person {int(folder)}",) if folder.isdecimal() else ()
