"""The branches behind SDL's two streams.

Letters: B batch, C channels of the pooled vectors, D length of x, u and v, K training people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.per_modality import PerModality

SLOPE = 0.1
"""Of the leaky ReLU before a classifier (code)."""
GAIN_STD = 0.01
"""Deviation around 1 of the gains of the batch norms at the start (code)."""


class Branch(nn.Module):
    """Linear and batch norm: (B, C) → (B, D)."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, dim)
        self.norm = nn.BatchNorm1d(dim)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out")
        nn.init.zeros_(self.linear.bias)
        nn.init.normal_(self.norm.weight, mean=1.0, std=GAIN_STD)

    def forward(self, vectors: Tensor) -> Tensor:
        """Gives the branch's values."""
        values: Tensor = self.norm(self.linear(vectors))
        return values


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What the branches see of a batch.

    Attributes:
        branched: (B, C) for u and v.
        embedded: (B, C) for x.
    """

    branched: Tensor
    embedded: Tensor


class Branches(nn.Module):
    """F_x and C_x, F_u and C_1, F_v of each light; all but v are shared by the lights.

    Args:
        channels: C.
        dim: D.
        num_ids: K.
        dropout: Probability that a value is dropped before a classifier.
        branching: See `SDLConfig`.

    Attributes:
        first: The layer of each light's own that the figure has, or None.
        x: F_x and C_x.
        u: F_u and C_1.
        v: F_v of each light.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        num_ids: int,
        *,
        dropout: float,
        branching: Literal["pooled", "figure"],
    ) -> None:
        super().__init__()
        self.dropout = dropout
        is_figure = branching == "figure"
        self.first = PerModality(lambda: Branch(channels, dim)) if is_figure else None
        seen = dim if is_figure else channels
        build = partial(
            BottleneckHead, seen, dim, num_ids, dropout=dropout, slope=SLOPE, gain_std=GAIN_STD
        )
        self.x, self.u = build(norm=not is_figure), build()  # the figure's FC2 has none
        self.v = PerModality(lambda: Branch(seen, dim))

    def trunk(self, vectors: Tensor, modality: Tensor) -> Trunk:
        """(B, C) pooled vectors → what the branches see."""
        if self.first is None:
            return Trunk(branched=vectors, embedded=vectors)
        values = self.first(vectors, modality=modality)
        active = F.dropout(F.relu(values), self.dropout, self.training)
        return Trunk(branched=values, embedded=active)
