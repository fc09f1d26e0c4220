from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from crosslight.data.batch import Batch
from crosslight.types import Modality

MakeBatch = Callable[..., Batch]


@pytest.fixture(scope="session")
def make_batch() -> MakeBatch:
    """Batches of people whose images have something in common: a coarse pattern each.

    Order as in training: all visible images, then all infrared ones, by person; with
    `views=2` every visible image comes twice, as under channel exchange.
    """
    return _make_batch


def _make_batch(
    *, ids: int = 4, per_modality: int = 2, height: int = 64, width: int = 32, views: int = 1
) -> Batch:
    generator = torch.Generator().manual_seed(5)
    patterns = torch.rand(ids, 3, 4, 2, generator=generator)
    people = torch.arange(ids).repeat_interleave(per_modality)

    def photograph(gray: bool) -> Tensor:
        images = torch.nn.functional.interpolate(patterns[people], (height, width))
        if gray:
            images = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        noise = 0.1 * torch.randn(images.shape, generator=generator)
        return (images + (noise[:, :1] if gray else noise)).clamp(0, 1)

    visible = [photograph(gray=False) for _ in range(views)]
    images = torch.cat([*visible, photograph(gray=True)])
    labels = people.repeat(views + 1)
    modality = torch.full((len(labels),), int(Modality.VISIBLE))
    modality[len(people) * views :] = int(Modality.INFRARED)
    return Batch(
        images=images,
        labels=labels,
        cams=torch.full((len(labels),), -1),
        modality=modality,
        rows=torch.arange(len(labels)),
    )
