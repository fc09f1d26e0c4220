"""A trained run at hand: embeds images, names their codes, draws where its method can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crosslight.config import Recipe
from crosslight.data.given import (
    GivenImages,
    GivenLight,
    GivenLights,
    light_given,
    lights_given,
    listed,
    pictures_of,
)
from crosslight.data.images import guess_modality
from crosslight.data.transforms import InferenceTransform
from crosslight.drawing.grids import Grid
from crosslight.drawing.swapping import Sitter, draw_swaps, labels_of, looks_of
from crosslight.drawing.translating import draw_translations
from crosslight.errors import ConfigError
from crosslight.evaluation.reranking import Refinement
from crosslight.experiments.evaluation import Evaluation, evaluate_run
from crosslight.experiments.options import Evaluating
from crosslight.methods.contract import Disentangles, Method
from crosslight.training.devices import device_named
from crosslight.training.embedding import arithmetic
from crosslight.training.run import RunFolder
from crosslight.types import Doing, Modality

_AT_ONCE = 64


class Run:
    """A trained run, on one device and in eval mode.

    Args:
        path: Run folder, the `--out` of a training.
        device: Where to compute; None: the first CUDA device, or the CPU.

    Attributes:
        path: Run folder.
        recipe: What was trained, and how.
        method: The trained method.
        untrained: What imported weights are not enough for; see `ModelCard.untrained`.

    Raises:
        ConfigError: No such run, or a damaged configuration.
        CheckpointError: No weights yet, or damaged ones.
    """

    def __init__(self, path: Path | str, *, device: torch.device | str | None = None) -> None:
        self._folder = folder = RunFolder.open(Path(path))
        self.path: Path = folder.path
        self.recipe: Recipe = folder.load_config()
        place = device_named(device)
        self.method: Method = folder.load_method().to(place)
        self.untrained: frozenset[str] = frozenset(folder.load_card().untrained)

    def __repr__(self) -> str:
        data = self.recipe.data
        return f"Run({str(self.path)!r}: {self.recipe.method}, {data.height} x {data.width})"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.method.parameters()).device

    @cached_property
    def transform(self) -> InferenceTransform:
        """From a picture to what the method sees, (3, H, W) in [0, 1]."""
        data = self.recipe.data
        return InferenceTransform(data.height, data.width, data.interpolation)

    def embed(self, images: GivenImages, *, modality: GivenLights = None) -> NDArray[np.float32]:
        """Embeddings, (N, D), to be compared by the cosine, or as `run.method.distance` says.

        Args:
            images: Paths, PIL images, arrays or tensors, one or N of them; see `pictures_of`.
            modality: 'visible' or 'infrared', for all or for each; None: images without colour
                are infrared.

        Raises:
            CheckpointError: Imported weights that are not enough for it.
            DataError: An image cannot be read, or lights and images differ in number.
        """
        self._refuse_untrained("embedding")
        parts = []
        for pixels, lights in self._batches(images, modality):
            with self._inference():
                parts.append(self.method.embed(pixels, lights).float().cpu().numpy())
        return np.concatenate(parts)

    def codes(
        self, images: GivenImages, *, modality: GivenLights = None
    ) -> dict[str, NDArray[np.float32]]:
        """The method's codes by name, each (N, D); the arguments are those of `embed`.

        Raises:
            ConfigError: The method has no codes.
            DataError: As `embed`.
        """
        if not isinstance(self.method, Disentangles):
            raise ConfigError(
                f"The method {self.recipe.method} of {self.path} has no codes; take embed()."
            )
        self._refuse_untrained("embedding")
        parts: dict[str, list[NDArray[np.float32]]] = {}
        for pixels, lights in self._batches(images, modality):
            with self._inference():
                for name, code in self.method.codes(pixels, lights).items():
                    if f"code {name}" in self.untrained:
                        continue
                    parts.setdefault(name, []).append(code.flatten(1).float().cpu().numpy())
        return {name: np.concatenate(found) for name, found in parts.items()}

    def swap(self, *, appearance: GivenImages, structure: GivenImages, steps: int = 0) -> Grid:
        """People in other people's clothes: every appearance (columns) on every structure (rows).

        Args:
            appearance: Whose clothes are put on, in any form that `embed` takes.
            structure: Whose body, pose and background stay.
            steps: Pictures to draw between the clothes of each two neighbouring columns.

        Raises:
            ConfigError: The method cannot.
            DataError: An image cannot be read.
        """
        self._refuse_untrained("swapping")
        clothes, bodies = self._sitters(appearance), self._sitters(structure)
        return draw_swaps(self.method, looks_of(clothes, steps), bodies)

    def translate(self, images: GivenImages, *, to: GivenLight) -> Grid:
        """The same people in the other light: a row of each image and what was drawn of it.

        Args:
            images: Of the other light, in any form that `embed` takes.
            to: 'visible' or 'infrared'.

        Raises:
            ConfigError: The method cannot.
            DataError: An image cannot be read.
        """
        self._refuse_untrained("translating")
        return draw_translations(self.method, self._sitters(images), to=Modality(light_given(to)))

    def evaluate(
        self,
        data: str,
        *,
        refinements: Sequence[Refinement] = (),
        out: Path | None = None,
        **options: Any,
    ) -> Evaluation:
        """Scores the run on a data set and keeps the result in its folder; see `evaluate_run`.

        Args:
            data: `LAYOUT:ROOT`.
            refinements: Re-ranking or query expansion, each scored beside the plain ranking.
            out: Another folder for the result, in place of the run's.
            options: Those of `Evaluating`.
        """
        named = options.get("protocols", ())
        protocols = (named,) if isinstance(named, str) else tuple(named)
        how = Evaluating(**{**options, "protocols": protocols})
        return evaluate_run(self.path, data, how, refinements=refinements, out=out)

    def _refuse_untrained(self, doing: Doing) -> None:
        if doing in self.untrained:
            self._folder.refuse_untrained(doing)

    def _sitters(self, images: GivenImages) -> list[Sitter]:
        given = listed(images)
        pictures = pictures_of(given, deep_range=self.recipe.data.deep_range)
        files = {n: Path(one) for n, one in enumerate(given) if isinstance(one, str | PathLike)}
        labels = labels_of(list(files.values()))
        return [
            Sitter(
                name=files[number].stem if number in files else f"image-{number}",
                label=labels[files[number]] if number in files else (f"image {number}",),
                pixels=self.transform(picture),
            )
            for number, picture in enumerate(pictures)
        ]

    def _batches(
        self, images: GivenImages, modality: GivenLights
    ) -> Iterator[tuple[Tensor, Tensor]]:
        pictures = pictures_of(images, deep_range=self.recipe.data.deep_range)
        lights = lights_given(modality, len(pictures)) or list(map(guess_modality, pictures))
        for start in range(0, len(pictures), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pixels = torch.stack([self.transform(picture) for picture in pictures[part]])
            light = torch.tensor(lights[part], dtype=torch.int64)
            yield pixels.to(self.device), light.to(self.device)

    @contextmanager
    def _inference(self) -> Iterator[None]:
        """Around a call of the method, and never around a `yield`.

        A traceback that a notebook keeps holds a generator, and with it whatever that has entered.
        """
        with torch.inference_mode(), arithmetic(self.recipe.training.precision, self.device):
            yield
