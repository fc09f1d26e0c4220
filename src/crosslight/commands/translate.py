"""Draws images in the other light into a folder, and prints how near the truth they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from crosslight.data.folders import PassedOver, images_below
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.pictures import as_picture, write_png
from crosslight.drawing.translating import Worlds, row_of, translations
from crosslight.errors import ConfigError, DataError
from crosslight.evaluation.generation import TranslationScore, is_only_gray, mean_score
from crosslight.files import require_folder, write_text
from crosslight.methods.contract import Translates
from crosslight.report.grid import image_grid, legible
from crosslight.training.run import RunFolder
from crosslight.types import Modality


def run_translation(
    run: Path, *, images: Path, to: Modality, out: Path, rows: int
) -> TranslationScore:
    """Writes `images/`, `sheet.png` and `scores.json` into a folder and prints the mean scores.

    Raises:
        ConfigError: The run's method cannot translate.
        DataError: There is no image, or one cannot be read.
    """
    if rows < 1:
        raise ConfigError(f"--rows {rows} makes no sheet; give 1 or more.")
    folder = RunFolder.open(run)
    config = folder.load_config()
    method = folder.load_method().eval()
    if not isinstance(method, Translates):
        raise ConfigError(
            f"The method {config.method} of {run} does not draw people in the other light; give a "
            "run of one that does, such as d2rl."
        )
    folder.refuse_untrained("translating")
    worlds = Worlds()
    paths, skipped = _inputs(images, to, worlds)
    require_folder(out)
    shown = {paths[n * len(paths) // min(rows, len(paths))] for n in range(min(rows, len(paths)))}
    data = config.data
    transform = InferenceTransform(data.height, data.width, data.interpolation)
    scores: dict[str, TranslationScore] = {}
    sheet = []
    for found in translations(method, paths, to, transform, worlds, deep_range=data.deep_range):
        name = _name(found.path, images)
        write_png(as_picture(found.drawn), out / "images" / f"{name}.png")
        scores[name] = found.score
        if found.path in shown:
            sheet.append(row_of(found, to))
    mean = mean_score(list(scores.values()))
    height, width = legible(data.height, data.width)
    write_png(image_grid(sheet, cell_height=height, cell_width=width), out / "sheet.png")
    content = {
        "to": to.name.lower(),
        "only_gray": is_only_gray(mean),
        "mean": asdict(mean),
        "images": {name: asdict(score) for name, score in scores.items()},
    }
    write_text(out / "scores.json", json.dumps(content, indent=2) + "\n")
    if skipped:
        print(f"{skipped} images that are {to.name.lower()} already are left out.")
    print(f"{out}: {len(scores)} images, sheet.png with {len(sheet)} of them, scores.json.")
    for sentence in _said(mean, to, scores):
        print(sentence)
    return mean


def _said(
    mean: TranslationScore, to: Modality, scores: dict[str, TranslationScore]
) -> Iterator[str]:
    light = to.name.lower()
    if mean.psnr is not None:
        yield "                       drawn   plain gray input     (against the true image)"
        for name, own, plain in (
            ("PSNR, dB", mean.psnr, mean.plain_psnr),
            ("SSIM", mean.ssim, mean.plain_ssim),
            ("correlation", mean.truth_correlation, mean.plain_correlation),
            ("  on the person", mean.person_correlation, mean.plain_person_correlation),
        ):
            yield f"{name:<20}{own:>8.3f}   {plain:>16.3f}"
    likeness = mean.gray_correlation
    yield f"Correlation of the drawn {light} with the plain gray input: {likeness:.3f}."
    count = sum(is_only_gray(score) for score in scores.values())
    if is_only_gray(mean):
        copy = "an inverted copy" if likeness < 0 else "a copy"
        yield (
            f"Warning: the drawn {light} is only {copy} of the gray input: nothing about {light} "
            "light has been learnt; train the image level longer."
        )
    elif count:
        yield f"{count} of {len(scores)} images are only gray copies of their input."


def _inputs(images: Path, to: Modality, worlds: Worlds) -> tuple[list[Path], int]:
    """The images to translate, sorted; and how many of Promenade's are in that light already."""
    left = PassedOver()
    if images.is_file():
        found = [images]
    elif images.is_dir():
        found = images_below(images, passed_over=left)
        if left.count:
            print(f"{left.told()}.")
    else:
        raise DataError(f"There is no {images}; give --images a folder of images, or one image.")
    wanted = [path for path in found if not worlds.is_in(path, to)]
    if not wanted:
        raise DataError(
            f"{images} holds no image to translate to {to.name.lower()} ({len(found)} images in "
            "all); give another folder as --images."
        )
    return wanted, len(found) - len(wanted)


def _name(path: Path, images: Path) -> str:
    inside = path.relative_to(images) if images.is_dir() else Path(path.name)
    return inside.with_suffix("").as_posix()
