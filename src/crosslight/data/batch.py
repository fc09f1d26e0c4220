"""What a method receives in one training iteration."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples. Letters: B batch, H height, W width.

    Attributes:
        images: (B, 3, H, W) float32 in [0, 1], not normalised: each method normalises inside.
            Infrared images have three equal channels.
        labels: (B,) int64 training labels, contiguous from 0.
        cams: (B,) int64 cameras, -1 where unknown.
        modality: (B,) int64 `Modality`.
        rows: (B,) int64 row of each sample in the table that was loaded.
        pids: (B,) int64 the data set's own person ids; None in batches made by hand.
    """

    images: Tensor
    labels: Tensor
    cams: Tensor
    modality: Tensor
    rows: Tensor
    pids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        own: dict[str, Tensor | None] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {
            name: tensor if tensor is None else tensor.to(device, non_blocking=True)
            for name, tensor in own.items()
        }
        return Batch(**moved)
