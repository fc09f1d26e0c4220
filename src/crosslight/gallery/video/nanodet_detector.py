"""People found by the detector that comes with crosslight, NanoDet-g."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from crosslight.gallery.video.boxes import Box, most_likely
from crosslight.nn.nanodet import BINS, MEAN, STD, STRIDES, NanoDet
from crosslight.shipped import shipped_detector

SIDE_PX = 416
"""Longest side of what the network is shown; it learnt at that size."""

SHRUNK_AT_MOST = 2
"""Pixels of a picture, along a side, that become one at most: beyond, it is looked at in tiles."""

SHARED_PX = 128
"""Width of what two tiles have in common: most people who are small lie whole in one of them."""

_MULTIPLE = STRIDES[-1]
_CUT_PX = 8.0
"""So near to the side of a tile, a box is taken to be cut by it."""

_PART = 0.7
"""Share of a box that lies in another one, from which it is a part of the same person."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A part of a picture, in pixels.

    Attributes:
        left: From the left edge.
        top: From the upper edge.
        right: From the left edge.
        bottom: From the upper edge.
    """

    left: int
    top: int
    right: int
    bottom: int


class NanoDetDetector:
    """See the module's docstring.

    Args:
        threshold: Smallest score that counts.

    Raises:
        CheckpointError: The weights are not in this installation, or were changed.
    """

    def __init__(self, threshold: float) -> None:
        self._place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = NanoDet().eval().to(self._place)
        network.load_state_dict(
            {name: value.float() for name, value in load_file(shipped_detector()).items()}
        )
        # Half again as fast on a CPU.
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._threshold = threshold

    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The people in a frame."""
        whole, *tiles = views_of(image.width, image.height)
        boxes, scores, _ = self._people(image, whole)
        for views in tiles:
            found, sure, view = self._people(image, views)
            sides = np.array([_sides(views[n]) for n in view]).reshape(-1, 4)
            part = _cut(found, sides, image.width, image.height) | _parts_of(found, sides, boxes)
            boxes = np.concatenate([boxes, found[~part]])
            scores = np.concatenate([scores, sure[~part]])
        kept = most_likely(boxes, scores)
        return [
            Box(left=left, top=top, right=right, bottom=bottom, score=score)
            for (left, top, right, bottom), score in zip(
                boxes[kept].tolist(), scores[kept].tolist(), strict=True
            )
        ]

    @torch.inference_mode()
    def _people(
        self, image: Image.Image, views: Sequence[View]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Boxes in the picture, scores, and the view of each."""
        width, height = views[0].right - views[0].left, views[0].bottom - views[0].top
        scale = min(1.0, SIDE_PX / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        shown = np.stack([_shown(image, view, size) for view in views])
        pixels = torch.from_numpy(shown).to(self._place).permute(0, 3, 1, 2)
        boxes, scores, view = decode(self._network(_padded(pixels)), self._threshold)
        corner = np.array([_sides(v)[:2] * 2 for v in views], dtype=np.float64)
        stretch = np.array([width / size[0], height / size[1]] * 2)
        return boxes * stretch + corner[view], scores, view


def views_of(width: int, height: int) -> list[list[View]]:
    """What is looked at, in lists of views of one size: the picture, and tiles of a large one."""
    whole = [View(left=0, top=0, right=width, bottom=height)]
    rows, columns = _parts(height), _parts(width)
    tiles = [
        View(left=left, top=top, right=right, bottom=bottom)
        for top, bottom in rows
        for left, right in columns
    ]
    return [whole, tiles] if len(tiles) > 1 else [whole]


def _parts(length: int) -> list[tuple[int, int]]:
    """Begin and end of equal parts of a side that have `SHARED_PX` in common."""
    longest = SIDE_PX * SHRUNK_AT_MOST
    if length <= longest:
        return [(0, length)]
    count = ceil((length - SHARED_PX) / (longest - SHARED_PX))
    part = ceil((length + (count - 1) * SHARED_PX) / count)
    begins = [round(n * (length - part) / (count - 1)) for n in range(count)]
    return [(begin, begin + part) for begin in begins]


def decode(
    grids: Sequence[Tensor], threshold: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Boxes (N, 4) in pixels of the input, their scores, and of which picture of the batch.

    Args:
        grids: As `NanoDet` gives them.
        threshold: Smallest score that counts.
    """
    boxes, scores, pictures = [], [], []
    for stride, grid in zip(STRIDES, grids, strict=True):
        sure = grid[:, 0].sigmoid()
        picture, row, column = (sure >= threshold).nonzero(as_tuple=True)
        bins = grid[picture, 1:, row, column].unflatten(1, (4, BINS)).softmax(dim=2)
        distances = stride * (bins @ torch.arange(BINS, dtype=bins.dtype, device=bins.device))
        x, y = stride * (column + 0.5), stride * (row + 0.5)
        left, top, right, bottom = distances.T
        boxes.append(torch.stack([x - left, y - top, x + right, y + bottom], dim=1))
        scores.append(sure[picture, row, column])
        pictures.append(picture)
    return (
        torch.cat(boxes).double().cpu().numpy(),
        torch.cat(scores).double().cpu().numpy(),
        torch.cat(pictures).cpu().numpy(),
    )


def _shown(image: Image.Image, view: View, size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 3) normalised, blue first."""
    part = (view.left, view.top, view.right, view.bottom)
    resized = image.resize(size, Image.Resampling.BILINEAR, box=part)
    mean, sd = np.array(MEAN, dtype=np.float32), np.array(STD, dtype=np.float32)
    pixels: NDArray[np.float32] = (np.asarray(resized, dtype=np.float32) - mean) / sd
    return pixels[..., ::-1]


def _padded(pixels: Tensor) -> Tensor:
    """Black at the right and below, up to what the coarsest grid divides."""
    height, width = (ceil(n / _MULTIPLE) * _MULTIPLE for n in pixels.shape[-2:])
    black = torch.tensor([-mean / sd for mean, sd in zip(MEAN, STD, strict=True)][::-1])
    padded = black.to(pixels)[None, :, None, None].repeat(len(pixels), 1, height, width)
    padded[..., : pixels.shape[-2], : pixels.shape[-1]] = pixels
    return padded.contiguous(memory_format=torch.channels_last)


def _sides(view: View) -> list[int]:
    return [view.left, view.top, view.right, view.bottom]


def _cut(
    boxes: NDArray[np.float64], sides: NDArray[np.int64], width: int, height: int
) -> NDArray[np.bool_]:
    """Which boxes end where their tile does and the picture does not."""
    inner = sides != np.array([0, 0, width, height])
    cut: NDArray[np.bool_] = (inner & (np.abs(boxes - sides) < _CUT_PX)).any(axis=1)
    return cut


def _parts_of(
    boxes: NDArray[np.float64], sides: NDArray[np.int64], people: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which boxes lie in that of a person, seen in the whole picture, whom their tile cuts."""
    wide, high = (
        np.minimum(boxes[:, None, n + 2], people[:, n + 2])
        - np.maximum(boxes[:, None, n], people[:, n])
        for n in (0, 1)
    )
    shared = np.maximum(wide, 0) * np.maximum(high, 0)
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)[:, None]
    begins, ends = people[:, :2] < sides[:, None, :2], people[:, 2:] > sides[:, None, 2:]
    sticks_out = (begins | ends).any(axis=2)
    parts: NDArray[np.bool_] = (sticks_out & (shared > _PART * area)).any(axis=1)
    return parts
