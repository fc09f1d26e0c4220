"""What a method receives in one training iteration."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B samples. Letters: B batch, H height, W width, D length of a stored code.

    Attributes:
        images: (B, 3, H, W) float32 in [0, 1], not normalised: each method normalises inside.
            Infrared images have three equal channels. (B, 3, 0, 0) where `feats` stand for them.
        labels: (B,) int64 training labels, contiguous from 0.
        cams: (B,) int64 cameras, -1 where unknown.
        modality: (B,) int64 `Modality`.
        rows: (B,) int64 row of each sample in the table that was loaded.
        pids: (B,) int64 the data set's own person ids; None in batches made by hand.
        feats: (B, D) float32 in a stage that learns from a stored code; None in every other.
    """

    images: Tensor
    labels: Tensor
    cams: Tensor
    modality: Tensor
    rows: Tensor
    pids: Tensor | None = None
    feats: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: t.to(device, non_blocking=True) for name, t in held.items() if t is not None}
        return Batch(**moved)
