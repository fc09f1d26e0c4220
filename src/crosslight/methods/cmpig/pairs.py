"""Which images of a cross-modal batch exchange their codes: pairs of one person across lights.

Letters: R pairs.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from crosslight.errors import ConfigError
from crosslight.types import Modality

FEWEST = 2
"""Pairs, for batch normalisation of vectors."""


def paired_rows(labels: Tensor, modality: Tensor, *, people: int, per_light: int) -> Tensor:
    """(2R,) rows of a batch: R visible images, then as many infrared ones of the same people.

    Args:
        labels: (B,).
        modality: (B,).
        people: The first so many are taken, or all there are.
        per_light: So many images of each of them in each light, or as many pairs as there are.

    Raises:
        ConfigError: There are fewer than two pairs.
    """
    seen: dict[int, tuple[list[int], ...]] = defaultdict(lambda: tuple([] for _ in Modality))
    for row, (label, light) in enumerate(zip(labels.tolist(), modality.tolist(), strict=True)):
        seen[label][light].append(row)
    found = [own for own in seen.values() if all(own)][:people]
    visible: list[int] = []
    infrared: list[int] = []
    for own in found:
        for first, second in list(zip(*own, strict=False))[:per_light]:
            visible.append(first)
            infrared.append(second)
    if len(visible) < FEWEST:
        raise ConfigError(
            f"A batch of {len(labels)} images gives {len(visible)} pairs of a visible and an "
            f"infrared image of one person, but cmPIG needs {FEWEST} or more; set data.sampling to "
            "cross-modal, and config.gan_ids or config.gan_per_light to 2 or more."
        )
    return torch.tensor([*visible, *infrared], device=labels.device)
