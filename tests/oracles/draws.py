"""What a training draws at random, so that an oracle draws the same.

An oracle goes another way than a method: image by image, passes that nobody uses. It cannot draw
from the same generator. Coins, rectangles and noise are therefore recorded from the method's step
and taken by the oracle from the record; and in both, a value decides by itself whether dropout
drops it, and what noise falls on it, whichever pass it comes in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F


def dropout(values: Tensor, rate: float, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops a part of the values: those whose further digits are small."""
    if not training or not rate:
        return values
    digits = (values.detach().abs() * 997).frac()
    return values * (digits >= rate) / (1 - rate)


def noise(values: Tensor) -> Tensor:
    """Normal numbers, each decided by a value, hardly more sensitive to rounding than that is."""
    digits = (values.detach().abs() * 7).frac().clamp(0.05, 0.95)
    return torch.erfinv(2 * digits - 1) * 2**0.5


class Draws:
    """The random numbers of one iteration of a method, in its order.

    Attributes:
        uniform: What `torch.rand` gave.
        normal: What `torch.randn_like` gave.
    """

    def __init__(self) -> None:
        self.uniform: list[Tensor] = []
        self.normal: list[Tensor] = []

    def coin(self) -> float:
        """The next number that was drawn alone."""
        return float(self._next(lambda drawn: drawn.ndim == 0))

    def rectangles(
        self, height: int, width: int, *, probability: float, area: tuple[float, float]
    ) -> Tensor:
        """(B, 4) top, left, height, width of what is erased, 0 where nothing is (Zhong et al.).

        Part of the image and aspect are drawn up to 100 times until the rectangle is smaller than
        the image; then its place; and whether there is one at all.
        """
        part, aspect, down, right, coin = self._next(lambda drawn: drawn.ndim == 3).tolist()
        found = []
        for i in range(len(part)):
            found.append([0, 0, 0, 0])
            for a, r in zip(part[i], aspect[i], strict=True):
                pixels = (area[0] + (area[1] - area[0]) * a) * height * width
                ratio = 0.3 + (1 / 0.3 - 0.3) * r
                h, w = round((pixels * ratio) ** 0.5), round((pixels / ratio) ** 0.5)
                if h < height and w < width:
                    if coin[i][0] < probability:
                        top, left = (
                            int(down[i][0] * (height - h + 1)),
                            right[i][0] * (width - w + 1),
                        )
                        found[-1] = [top, int(left), h, w]
                    break
        return torch.tensor(found)

    def partners(self, labels: Tensor, modality: Tensor, *, same: bool) -> list[int]:
        """Of each image a random one in the other light, of its person or of somebody else."""
        chances = self._next(lambda drawn: drawn.ndim == 2)
        found = []
        for i, row in enumerate(chances.tolist()):
            across = [j for j in range(len(row)) if modality[j] != modality[i]]
            fitting = [j for j in across if bool(labels[j] == labels[i]) == same]
            found.append(max(fitting, key=row.__getitem__))
        return found

    def normal_numbers(self) -> Tensor:
        """The next normal numbers."""
        return self.normal.pop(0)

    def none_left(self) -> bool:
        """Whether the oracle has taken everything."""
        return not self.uniform and not self.normal

    def _next(self, fits: Any) -> Tensor:
        place = next(i for i, drawn in enumerate(self.uniform) if fits(drawn))
        return self.uniform.pop(place)


@contextmanager
def recorded(*, keep_noise: bool) -> Iterator[Draws]:
    """Keeps what is drawn inside, where dropout is `dropout`.

    Args:
        keep_noise: Record normal numbers, for networks that draw twice around one value; or
            let `noise` give them.
    """
    draws, rand, randn_like = Draws(), torch.rand, torch.randn_like

    def record_rand(*args: Any, **options: Any) -> Tensor:
        draws.uniform.append(rand(*args, **options))
        return draws.uniform[-1].clone()

    def record_randn_like(*args: Any, **options: Any) -> Tensor:
        draws.normal.append(randn_like(*args, **options))
        return draws.normal[-1].clone()

    with (
        decided_by_values(),
        mock.patch.object(torch, "rand", record_rand),
        mock.patch.object(torch, "randn_like", record_randn_like if keep_noise else noise),
    ):
        yield draws


@contextmanager
def decided_by_values() -> Iterator[None]:
    """Inside, torch's dropout is `dropout` and its noise `noise`."""
    with mock.patch.object(F, "dropout", dropout), mock.patch.object(torch, "randn_like", noise):
        yield


def erased(images: Tensor, rectangles: Tensor) -> Tensor:
    """Images with the rectangles set to 0."""
    images = images.clone()
    for image, (top, left, height, width) in zip(images, rectangles.tolist(), strict=True):
        image[:, top : top + height, left : left + width] = 0
    return images
