"""Draws each person's clothes on each other's body: a grid, single images, steps between, maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosslight.data.folders import PassedOver, images_below
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.cases import draw_cases
from crosslight.drawing.pictures import write_png
from crosslight.drawing.swapping import Sitter, draw_maps, draw_swaps, looks_of, sitters_of
from crosslight.errors import ConfigError, DataError
from crosslight.files import require_folder, require_place
from crosslight.methods.contract import Interpolates, MapsStructure, Method, Swaps
from crosslight.training.run import RunFolder


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
    data = config.data
    transform = InferenceTransform(data.height, data.width, data.interpolation)
    if cases is not None:
        picture, across = draw_cases(
            method, cases, transform, count=limit, trial=trial, deep_range=data.deep_range
        )
        write_png(picture, out)
        print(f"{out}: {limit} meetings in each of three cases; N on M: clothes N on body M.")
        _write_maps(method, across, maps)
        return
    clothes, bodies = sitters_of(
        [
            _images(appearance, limit, "--appearance"),
            _images(structure, limit, "--structure"),
        ],
        transform,
        deep_range=data.deep_range,
    )
    looks = looks_of(clothes, interpolate)
    grid = draw_swaps(method, looks, bodies)
    if each is not None:
        for body, drawn in zip(bodies, grid.drawn, strict=True):
            for look, picture in zip(looks, drawn, strict=True):
                write_png(picture, each / f"{look.name}__{body.name}.png")
    grid.save(out)
    print(f"{out}: {len(bodies)} bodies in {len(looks)} looks; clothes follow the column.")
    if each is not None:
        print(f"{each}: {len(bodies) * len(looks)} images, named CLOTHES__BODY.png.")
    _write_maps(method, bodies, maps)


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
            found += [inside[number * len(inside) // count] for number in range(count)]
        else:
            found.append(path)
    if not found:
        raise DataError(f"{flag} names no image; give files or a folder.")
    return found
