"""An exported model at hand: embeds images with numpy, Pillow and one runtime alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.data.given import GivenImages, GivenLights, lights_given, listed, pictures_of
from crosslight.data.images import guess_modality
from crosslight.data.resizing import resized
from crosslight.errors import CheckpointError
from crosslight.exporting.card import ExportCard, read_card, require_untouched
from crosslight.exporting.runtimes import Arithmetic, Embeds, open_graph
from crosslight.types import Modality

_AT_ONCE = 64


class Exported:
    """An exported model, on one device; safe to use from several threads.

    Args:
        path: Folder, the `--out` of `crosslight export`.
        device: `cpu` or `cuda` of ONNX Runtime, a device of OpenVINO; None: the CPU.
        arithmetic: `bf16` lets OpenVINO compute in bfloat16; None: float32.
        threads: Of the processor; None: as many as the runtime takes.

    Attributes:
        path: Folder.
        card: What it is, and what it was compared with.

    Raises:
        CheckpointError: It is damaged, or was changed since it was exported.
        ConfigError: The runtime has no such device or arithmetic.
        MissingPartError: The runtime is not installed.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        device: str | None = None,
        arithmetic: Arithmetic | None = None,
        threads: int | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self.card: ExportCard = read_card(self.path)
        require_untouched(self.path, self.card)
        opened: dict[str, Embeds] = {}
        for name in self.card.graphs.values():
            if name not in opened:
                opened[name] = open_graph(
                    self.path / name,
                    self.card.format,
                    device=device,
                    arithmetic=arithmetic or "f32",
                    threads=threads,
                )
        self._graphs: Mapping[int, Embeds] = {
            int(light): opened[self.card.graphs[light.name.lower()]] for light in Modality
        }

    def __repr__(self) -> str:
        card = self.card
        return (
            f"Exported({str(self.path)!r}: {card.method}, {card.height} x {card.width}, "
            f"{card.format} {card.precision})"
        )

    def embed(self, images: GivenImages, *, modality: GivenLights = None) -> NDArray[np.float32]:
        """Embeddings, (N, D), to be compared as `card.distance` says.

        Args:
            images: Paths, PIL images, arrays or tensors, one or N of them; see `pictures_of`.
            modality: 'visible' or 'infrared', for all or for each; None: images without colour
                are infrared.

        Raises:
            DataError: An image cannot be read, or lights and images differ in number.
        """
        given = listed(images)
        lights = lights_given(modality, len(given))
        parts = []
        for start in range(0, max(1, len(given)), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            pictures = pictures_of(given[part], deep_range=self.card.deep_range, first=start)
            shown = lights[part] if lights is not None else list(map(guess_modality, pictures))
            parts.append(self.embed_pictures(pictures, shown))
        return np.concatenate(parts)

    def embed_pictures(
        self, pictures: Sequence[Image.Image], modality: Sequence[int]
    ) -> NDArray[np.float32]:
        """Embeddings, (N, D), of N images in mode RGB and the `Modality` of each, all at once.

        Raises:
            DataError: Lights and images differ in number, or a number is no light.
        """
        card, lights = self.card, np.asarray(lights_given(modality, len(pictures)))
        pixels = np.stack(
            [resized(one, card.height, card.width, card.interpolation) for one in pictures]
        )
        found = np.empty((len(pixels), card.dim), dtype=np.float32)
        # Images of lights that go through one graph may go together.
        for graph in dict.fromkeys(self._graphs.values()):
            mine = [light for light, own in self._graphs.items() if own is graph]
            rows = np.flatnonzero(np.isin(lights, mine))
            if len(rows):
                embedded = graph(pixels[rows])
                if embedded.shape != (len(rows), card.dim):
                    raise CheckpointError(
                        f"{self.path} made {embedded.shape} of {len(rows)} images, but its card "
                        f"says {card.dim} numbers each; export the run again."
                    )
                found[rows] = embedded
        return found
