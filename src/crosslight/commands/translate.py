"""Draws images in the other light; of Promenade's people also the truth, and how near it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosslight.commands.pictures import as_picture, write_png
from crosslight.data.folders import PassedOver, images_below
from crosslight.data.images import read_image
from crosslight.data.promenade.dataset import MadeSet, load_world
from crosslight.data.promenade.factors import Spectrum
from crosslight.data.promenade.recipe import MANIFEST
from crosslight.data.transforms import InferenceTransform
from crosslight.errors import ConfigError, DataError
from crosslight.evaluation.generation.translation import (
    TranslationScore,
    Values,
    is_only_gray,
    mean_score,
    score_translation,
)
from crosslight.files import require_folder, write_text
from crosslight.methods.contract import Method, Translates
from crosslight.report.grid import Cell, Verdict, image_grid, legible
from crosslight.training.run import RunFolder
from crosslight.types import DeepRange, Modality

BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the other camera would have seen.

    Attributes:
        image: (3, H, W) in [0, 1].
        person: (H, W) where the person is.
    """

    image: Tensor
    person: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One image, there and drawn.

    Attributes:
        path: The input.
        source: (3, H, W) in [0, 1].
        drawn: (3, H, W) in [0, 1].
        truth: Of Promenade's people.
        score: See `TranslationScore`.
    """

    path: Path
    source: Tensor
    drawn: Tensor
    truth: Truth | None
    score: TranslationScore


class Worlds:
    """The Promenades that images belong to; each is opened once."""

    def __init__(self) -> None:
        self._opened: dict[Path, MadeSet | None] = {}

    def of(self, path: Path) -> MadeSet | None:
        """The data set around an image, None where it is no Promenade."""
        folder = path.resolve().parent
        if folder not in self._opened:
            roots = (folder, *folder.parents)
            root = next((root for root in roots if (root / MANIFEST).exists()), None)
            self._opened[folder] = None if root is None else self._opened.get(root)
            if root is not None and self._opened[folder] is None:
                self._opened[root] = self._opened[folder] = load_world(root)
        return self._opened[folder]

    def is_in(self, path: Path, light: Modality) -> bool:
        """Whether an image is known to be in a light already."""
        made = self.of(path)
        if made is None:
            return False
        is_visible = made.shot(path).spectrum == Spectrum.VISIBLE
        return is_visible == (light == Modality.VISIBLE)

    def truth(self, path: Path, light: Modality, transform: InferenceTransform) -> Truth | None:
        """What an image would be in the other light, where that is known."""
        made = self.of(path)
        if made is None:
            return None
        spectrum = Spectrum.VISIBLE if light == Modality.VISIBLE else made.recipe.infrared
        if spectrum is None:  # without infrared cameras nobody says which infrared is meant
            return None
        shot = made.shot(path).seen_in(spectrum)
        seen = made.world.picture(shot, made.recipe.height, made.recipe.width)
        mask = transform(Image.fromarray(seen.mask).convert("RGB"))[0].numpy()
        return Truth(image=transform(Image.fromarray(seen.image)), person=mask >= 0.5)


def run_translation(
    run: Path, *, images: Path, to: Modality, out: Path, rows: int = 8
) -> TranslationScore:
    """Writes `images/`, `sheet.png` and `scores.json` into a folder and prints the mean scores.

    Raises:
        ConfigError: The run's method cannot translate.
        DataError: There is no image, or one cannot be read.
    """
    if rows < 1:
        raise ConfigError(f"--rows {rows} makes no sheet; give 1 or more.")
    folder = RunFolder.open(run)
    require_folder(out)
    config = folder.load_config()
    method = folder.load_method().eval()
    if not isinstance(method, Translates):
        raise ConfigError(
            f"The method {config.method} of {run} does not draw people in the other light; give a "
            "run of one that does, such as d2rl."
        )
    worlds = Worlds()
    paths, skipped = _inputs(images, to, worlds)
    shown = {paths[n * len(paths) // min(rows, len(paths))] for n in range(min(rows, len(paths)))}
    data = config.data
    transform = InferenceTransform(data.height, data.width, data.interpolation)
    scores: dict[str, TranslationScore] = {}
    sheet = []
    for found in _translations(method, paths, to, transform, worlds, deep_range=data.deep_range):
        name = _name(found.path, images)
        write_png(as_picture(found.drawn), out / "images" / f"{name}.png")
        scores[name] = found.score
        if found.path in shown:
            sheet.append(_row(found, to))
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


@torch.inference_mode()
def _translations(
    method: Translates,
    paths: Sequence[Path],
    to: Modality,
    transform: InferenceTransform,
    worlds: Worlds,
    *,
    deep_range: DeepRange | None,
) -> Iterator[Translation]:
    source = Modality.VISIBLE if to == Modality.INFRARED else Modality.INFRARED
    place = next(method.parameters()).device if isinstance(method, Method) else None
    for start in range(0, len(paths), BATCH):
        chosen = paths[start : start + BATCH]
        pixels = torch.stack(
            [transform(read_image(path, deep_range=deep_range)) for path in chosen]
        )
        drawn = method.translate(pixels.to(place), source, to).float().cpu()
        for path, before, after in zip(chosen, pixels, drawn, strict=True):
            truth = worlds.truth(path, to, transform)
            score = score_translation(
                _values(before),
                _values(after),
                None if truth is None else _values(truth.image),
                None if truth is None else truth.person,
            )
            yield Translation(path=path, source=before, drawn=after, truth=truth, score=score)


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


def _row(found: Translation, to: Modality) -> list[Cell]:
    light = to.name.lower()
    name = f"{found.path.parent.name}/{found.path.stem}"
    pictures = [(found.source, name, Verdict.QUERY)]
    if to == Modality.INFRARED:
        gray = found.source.permute(1, 2, 0).numpy() @ np.array((0.299, 0.587, 0.114), np.float32)
        pictures.append((torch.from_numpy(gray).expand(3, -1, -1), "plain gray", Verdict.UNJUDGED))
    pictures.append((found.drawn, f"drawn {light}", Verdict.UNJUDGED))
    if found.truth is not None:
        pictures.append((found.truth.image, f"true {light}", Verdict.UNJUDGED))
    return [
        Cell(image=as_picture(pixels), lines=(line,), verdict=verdict)
        for pixels, line, verdict in pictures
    ]


def _values(pixels: Tensor) -> Values:
    return pixels.permute(1, 2, 0).numpy().astype(np.float64)
