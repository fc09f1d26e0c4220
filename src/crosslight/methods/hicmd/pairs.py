"""A batch taken apart: people who are drawn in each other's light, and strangers.

Letters: B batch, N pairs, M negatives of a light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from crosslight.errors import ConfigError
from crosslight.types import Modality


@dataclass(frozen=True, kw_only=True)
class TakenApart:
    """Rows of a batch.

    Attributes:
        pairs: (N,) visible and (N,) infrared images, side by side of the same person.
        negatives: (M,) visible images of people who are in no pair, and (M',) infrared ones.
    """

    pairs: tuple[Tensor, Tensor]
    negatives: tuple[Tensor, Tensor]


def taken_apart(labels: Tensor, modality: Tensor, *, pair_share: float) -> TakenApart:
    """Takes a batch of people in both lights apart, in the order in which they come.

    The first people are the pairs, each image with the next one of its person in the other light;
    the first half of the others are visible negatives, the second half infrared ones, and who is in
    the middle both.

    Args:
        labels: (B,).
        modality: (B,).
        pair_share: Part of the people who are in pairs, rounded up.

    Raises:
        ConfigError: Somebody is there in one light only, or there is one person alone.
    """
    found: dict[int, tuple[list[int], list[int]]] = {}
    for row, (label, light) in enumerate(zip(labels.tolist(), modality.tolist(), strict=True)):
        found.setdefault(label, ([], []))[light].append(row)
    people = list(found.values())
    lonely = sum(not (visible and infrared) for visible, infrared in people)
    if lonely:
        raise ConfigError(
            f"{lonely} of {len(people)} people of a batch are in it in one light only, but Hi-CMD "
            "draws people in both; set data.sampling to cross-modal."
        )
    if len(people) < 2:
        raise ConfigError(
            "A batch holds one person, but Hi-CMD tells people apart; set data.ids_per_batch to 2 "
            "or more."
        )
    # A third of six is two, whatever floating point makes of it.
    count = math.ceil(pair_share * len(people) - 1e-9)
    others = people[count:]
    half = math.ceil(len(others) / 2)
    sides = [pair for person in people[:count] for pair in zip(*person, strict=False)]
    negatives = (
        [row for person in others[:half] for row in person[Modality.VISIBLE]],
        [row for person in others[len(others) - half :] for row in person[Modality.INFRARED]],
    )
    visible, infrared = zip(*sides, strict=True)
    rows = (list(visible), list(infrared), *negatives)
    a, b, not_a, not_b = (torch.tensor(r, dtype=torch.int64, device=labels.device) for r in rows)
    return TakenApart(pairs=(a, b), negatives=(not_a, not_b))
