"""Networks that see each modality by itself: two of them, or one that both go through in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from crosslight.types import Modality

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The images of a batch that were taken in one light.

    Attributes:
        light: Which.
        at: (K,) where they stand in the batch; None: it holds no others.
    """

    light: Modality
    at: Tensor | None

    def of(self, tensor: Tensor) -> Tensor:
        """Their rows of (B, ...)."""
        return tensor if self.at is None else tensor[self.at]


class SeesLights:
    """Something that treats the lights of a batch differently.

    Attributes:
        only: The one light of all images, where that is known beforehand, as of an exported graph:
            `modality` is then not read. None: it says.
    """

    only: Modality | None = None

    def rows_of(self, modality: Tensor) -> list[Rows]:
        """The images of each light that a batch holds, by the number of the light."""
        if self.only is not None:
            return [Rows(light=self.only, at=None)]
        rows = [(light, torch.nonzero(modality == light).squeeze(1)) for light in Modality]
        return [Rows(light=light, at=at) for light, at in rows if len(at)]


def as_they_came(parts: Sequence[Tensor], rows: Sequence[Rows]) -> Tensor:
    """What was made of the rows of each light, (K, ...) each, in the order of the batch."""
    return restored(torch.cat(list(parts)), rows)


def restored(joined: Tensor, rows: Sequence[Rows]) -> Tensor:
    """(B, ...), light after light, in the order of the batch."""
    places = [part.at for part in rows if part.at is not None]
    return joined[torch.cat(places).argsort()] if places else joined


class PerModality(SeesLights, nn.Module, Generic[M]):
    """Sends each sample of a batch through the network of its modality.

    Args:
        build: Makes one network; called once for each `Modality`.

    Attributes:
        networks: By the number of the `Modality`.
    """

    def __init__(self, build: Callable[[], M]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(build() for _ in Modality)

    def forward(self, *inputs: Tensor, modality: Tensor, **named: Tensor) -> Tensor:
        """Gives what the networks make of a batch.

        Args:
            inputs: Each (B, ...), for the networks.
            modality: (B,) `Modality`; a batch may hold one of them only.
            named: Likewise, by keyword.

        Returns:
            (B, ...) in the order of the batch.
        """
        # Statistics of a network's batch normalisation are those of its own modality.
        rows = self.rows_of(modality)
        parts = [
            self.networks[int(part.light)](
                *(part.of(x) for x in inputs), **{name: part.of(x) for name, x in named.items()}
            )
            for part in rows
        ]
        return as_they_came(parts, rows)


def one_by_one(network: Callable[[Tensor], Tensor], inputs: Tensor, modality: Tensor) -> Tensor:
    """Sends each modality of a batch through one network in a pass of its own.

    So batch normalisation never mixes the lights, though both share its weights.

    Args:
        network: Keeps rows apart but for its batch statistics.
        inputs: (B, ...).
        modality: (B,) `Modality`; a batch may hold one of them only.

    Returns:
        (B, ...) in the order of the batch.
    """
    rows = SeesLights().rows_of(modality)
    return as_they_came([network(part.of(inputs)) for part in rows], rows)
