"""Networks that see each modality by itself: two of them, or one that both go through in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from crosslight.types import Modality

M = TypeVar("M", bound=nn.Module)


class PerModality(nn.Module, Generic[M]):
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
        rows = [torch.nonzero(modality == m).squeeze(1) for m in Modality]
        parts = [
            network(*(x[row] for x in inputs), **{name: x[row] for name, x in named.items()})
            for network, row in zip(self.networks, rows, strict=True)
            if len(row)
        ]
        return torch.cat(parts)[torch.cat(rows).argsort()]


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
    rows = [torch.nonzero(modality == m).squeeze(1) for m in Modality]
    return torch.cat([network(inputs[row]) for row in rows if len(row)])[torch.cat(rows).argsort()]
