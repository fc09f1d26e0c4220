"""Triplets across modalities: an image, its person and somebody else, both in the other light.

Every image of a batch is an anchor once. Letters: B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosslight.errors import ConfigError


def draw_positives(labels: Tensor, modality: Tensor) -> Tensor:
    """(B,) index of a random image of each one's person in the other modality.

    Raises:
        ConfigError: The batch holds none for some image.
    """
    return _drawn(_positives(labels, modality))


def draw_negatives(labels: Tensor, modality: Tensor) -> Tensor:
    """(B,) index of a random image of another person in the other modality.

    Raises:
        ConfigError: The batch holds none for some image.
    """
    return _drawn(_negatives(labels, modality))


def hardest(distances: Tensor, labels: Tensor, modality: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) indices of the furthest positive and of the nearest negative of each image.

    Args:
        distances: (B, B).
        labels: (B,).
        modality: (B,).

    Raises:
        ConfigError: The batch holds none for some image.
    """
    furthest = distances.masked_fill(~_positives(labels, modality), -torch.inf).argmax(dim=1)
    nearest = distances.masked_fill(~_negatives(labels, modality), torch.inf).argmin(dim=1)
    return furthest, nearest


def _positives(labels: Tensor, modality: Tensor) -> Tensor:
    found = (labels[:, None] == labels) & (modality[:, None] != modality)
    return _complete(found, "an image of their person in the other light")


def _negatives(labels: Tensor, modality: Tensor) -> Tensor:
    found = (labels[:, None] != labels) & (modality[:, None] != modality)
    return _complete(found, "an image of another person in the other light")


def _complete(found: Tensor, what: str) -> Tensor:
    lonely = int((~found.any(dim=1)).sum())
    if lonely:
        raise ConfigError(
            f"{lonely} of {len(found)} images of a batch lack {what}; set data.sampling to "
            "cross-modal and data.ids_per_batch to 2 or more."
        )
    return found


def _drawn(choices: Tensor) -> Tensor:
    chances = torch.rand(choices.shape, device=choices.device)
    return chances.masked_fill(~choices, -1).argmax(dim=1)
