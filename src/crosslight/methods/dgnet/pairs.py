"""DG-Net's batch: pairs of one person's images, in two halves that exchange their codes.

Letters: P pairs of a half.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from crosslight.errors import ConfigError
from crosslight.types import Modality


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """A batch as the losses speak of it.

    Attributes:
        images: (2P, 3, H, W) x: those of i, then those of j.
        partners: (2P, 3, H, W) t, another image of each one's person.
        labels: (2P,).
        modality: (4P,) of `all_images`.
    """

    images: Tensor
    partners: Tensor
    labels: Tensor
    modality: Tensor

    @property
    def all_images(self) -> Tensor:
        """(4P, 3, H, W) images, then partners."""
        return torch.cat([self.images, self.partners])

    @property
    def other_labels(self) -> Tensor:
        """(2P,) of j, then of i: whose structure each generated image has."""
        return swapped(self.labels)


def as_pairs(images: Tensor, labels: Tensor, modality: Tensor, *, different_ids: bool) -> Pairs:
    """Takes a batch apart.

    Args:
        images: (4P, 3, H, W), an image and its partner in turn.
        labels: (4P,).
        modality: (4P,).
        different_ids: Turn j's half until no pair meets its own person, or as few as possible do.

    Raises:
        ConfigError: The batch cannot be halved into pairs.
    """
    return _pairs(images, labels, modality, pair_rows(labels, different_ids=different_ids))


def as_light_pairs(images: Tensor, labels: Tensor, modality: Tensor, *, across: bool) -> Pairs:
    """Takes a batch of people in both lights apart so that different people exchange codes.

    As far as the batch allows it, which is everywhere where it holds as many pairs in one light
    as in the other, and at least two people.

    Args:
        images: (4P, 3, H, W), an image and its partner in turn, person after person.
        labels: (4P,).
        modality: (4P,).
        across: Whether those who meet are in different light, or in the same.

    Raises:
        ConfigError: The batch cannot be halved into pairs.
    """
    return _pairs(images, labels, modality, light_pair_rows(labels, modality, across=across))


def pair_rows(labels: Tensor, *, different_ids: bool) -> Tensor:
    """(2P,) rows of the images that `as_pairs` takes; each one's partner is in the next row."""
    rows = _rows_of_pairs(labels)
    return _turned_apart(rows, labels[rows]) if different_ids else rows


def light_pair_rows(labels: Tensor, modality: Tensor, *, across: bool) -> Tensor:
    """(2P,) rows of the images that `as_light_pairs` takes; each partner is in the next row."""
    rows = _rows_of_pairs(labels)
    visible, infrared = (rows[modality[rows] == light] for light in Modality)
    if across:
        rows = torch.cat([visible, infrared])
    else:
        cuts = (len(visible) + 1) // 2, len(infrared) // 2
        rows = torch.cat(
            [visible[: cuts[0]], infrared[: cuts[1]], visible[cuts[0] :], infrared[cuts[1] :]]
        )
    return _turned_apart(rows, labels[rows])


def swapped(rows: Tensor) -> Tensor:
    """The two halves exchanged."""
    return rows.roll(len(rows) // 2, dims=0)


def _pairs(images: Tensor, labels: Tensor, modality: Tensor, rows: Tensor) -> Pairs:
    return Pairs(
        images=images[rows],
        partners=images[rows + 1],
        labels=labels[rows],
        modality=torch.cat([modality[rows], modality[rows + 1]]),
    )


def _rows_of_pairs(labels: Tensor) -> Tensor:
    if len(labels) % 4:
        raise ConfigError(
            f"The batch has {len(labels)} images, but this method needs two halves of pairs; set "
            "data.sampling to pairs and data.ids_per_batch to an even number."
        )
    return torch.arange(0, len(labels), 2, device=labels.device)


def _turned_apart(rows: Tensor, labels: Tensor) -> Tensor:
    half = len(rows) // 2
    places = torch.arange(half, device=rows.device)
    turns = (places[None, :] + places[:, None]) % half  # (turn, place)
    clashes = (labels[half:][turns] == labels[:half]).sum(dim=1)
    return torch.cat([rows[:half], rows[half:][turns[clashes.argmin()]]])
