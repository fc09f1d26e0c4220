"""Images in the other light; of Promenade's people also the truth, and how near it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosslight.data.images import read_image
from crosslight.data.luma import LUMA
from crosslight.data.promenade.dataset import MadeSet, load_world
from crosslight.data.promenade.factors import Spectrum
from crosslight.data.record import is_promenade
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.grids import Grid
from crosslight.drawing.pictures import as_picture
from crosslight.drawing.swapping import Sitter, labels_of
from crosslight.errors import ConfigError
from crosslight.evaluation.generation import TranslationScore, Values, score_translation
from crosslight.methods.contract import Method, Translates
from crosslight.report.grid import Cell, Verdict, image_grid, legible
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
            root = next((root for root in roots if is_promenade(root)), None)
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
        dark = made.recipe.infrared_lights
        if not dark and light != Modality.VISIBLE:  # nobody says which infrared is meant
            return None
        shot = made.shot(path).seen_in(Spectrum.VISIBLE if light == Modality.VISIBLE else dark[0])
        seen = made.world.picture(shot, made.recipe.height, made.recipe.width)
        mask = transform(Image.fromarray(seen.mask).convert("RGB"))[0].numpy()
        return Truth(image=transform(Image.fromarray(seen.image)), person=mask >= 0.5)


@torch.inference_mode()
def translations(
    method: Translates,
    paths: Sequence[Path],
    to: Modality,
    transform: InferenceTransform,
    worlds: Worlds,
    *,
    deep_range: DeepRange | None,
) -> Iterator[Translation]:
    """Each image in the light `to`, with its score, and its truth where a Promenade knows it.

    Raises:
        DataError: An image cannot be read.
    """
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


@torch.inference_mode()
def draw_translations(method: Method, images: Sequence[Sitter], *, to: Modality) -> Grid:
    """A row for each image: itself, and as `method` draws it in the light `to`.

    Raises:
        ConfigError: The method cannot translate.
    """
    if not isinstance(method, Translates):
        raise ConfigError(
            "This method does not draw people in the other light; take a run of one that does, "
            "such as d2rl."
        )
    source = Modality.VISIBLE if to == Modality.INFRARED else Modality.INFRARED
    place = next(method.parameters()).device
    rows, drawn = [], []
    for own in images:
        found = method.translate(own.pixels[None].to(place), source, to)[0].float().cpu()
        drawn.append((as_picture(found),))
        before = Cell(image=as_picture(own.pixels), verdict=Verdict.QUERY, lines=own.label)
        rows.append([before, Cell(image=drawn[-1][0], lines=(f"drawn {to.name.lower()}",))])
    height, width = legible(*images[0].pixels.shape[1:])
    sheet = image_grid(rows, cell_height=height, cell_width=width)
    return Grid(drawn=tuple(drawn), sheet=sheet)


def row_of(found: Translation, to: Modality) -> list[Cell]:
    """The row of a sheet: the image, its plain gray, what was drawn, and the truth."""
    light = to.name.lower()
    pictures = [(found.source, labels_of([found.path])[found.path], Verdict.QUERY)]
    if to == Modality.INFRARED:
        gray = found.source.permute(1, 2, 0).numpy() @ np.array(LUMA, np.float32)
        plain = torch.from_numpy(gray).expand(3, -1, -1)
        pictures.append((plain, ("plain gray",), Verdict.UNJUDGED))
    pictures.append((found.drawn, (f"drawn {light}",), Verdict.UNJUDGED))
    if found.truth is not None:
        pictures.append((found.truth.image, (f"true {light}",), Verdict.UNJUDGED))
    return [
        Cell(image=as_picture(pixels), lines=lines, verdict=verdict)
        for pixels, lines, verdict in pictures
    ]


def _values(pixels: Tensor) -> Values:
    return pixels.permute(1, 2, 0).numpy().astype(np.float64)
