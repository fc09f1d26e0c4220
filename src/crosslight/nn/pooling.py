"""A feature map to one vector: average, maximum and generalised mean, whole or in stripes.

Letters: B batch, C channels, h and w the map's height and width, S stripes.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.errors import ConfigError

FLOOR = 1e-6


def stripe_maximum(maps: Tensor, stripes: int) -> Tensor:
    """(B, C, h, w) → (B, C, stripes): the largest value of each; stripes overlap to share h rows.

    torch's adaptive pooling, but for its gradient on a GPU, which does not repeat itself.
    """
    if not maps.is_cuda:
        return F.adaptive_max_pool2d(maps, (stripes, 1))[..., 0]
    return split_maximum(maps, stripes)


def split_maximum(maps: Tensor, stripes: int) -> Tensor:
    """`stripe_maximum`, stripe by stripe."""
    return torch.stack([part.max(dim=2).values for part in _stripes(maps, stripes)], dim=2)


def stripe_average(maps: Tensor, stripes: int) -> Tensor:
    """(B, C, h, w) → (B, C, stripes): the mean of each; stripes overlap to share h rows."""
    return torch.stack([part.mean(dim=2) for part in _stripes(maps, stripes)], dim=2)


def _stripes(maps: Tensor, stripes: int) -> list[Tensor]:
    rows = maps.shape[2]
    bounds = [(i * rows // stripes, -(-(i + 1) * rows // stripes)) for i in range(stripes)]
    return [maps[:, :, first:last].flatten(2) for first, last in bounds]


PoolingName = Literal["avg", "gem", "max"]


class StripePool(nn.Module):
    """Pools S horizontal stripes and concatenates them: (B, C, h, w) → (B, S * C).

    Subclasses say how a stripe is pooled. Computed in float32 at least, whatever comes in.

    Args:
        stripes: S; 1 pools the whole map.
    """

    def __init__(self, stripes: int = 1) -> None:
        super().__init__()
        self.stripes = stripes

    def forward(self, maps: Tensor) -> Tensor:
        """Pools feature maps.

        Raises:
            ConfigError: The map has fewer rows than stripes.
        """
        if maps.shape[2] < self.stripes:
            raise ConfigError(
                f"The feature map has {maps.shape[2]} rows, too few for {self.stripes} stripes; "
                f"use fewer parts or a larger image."
            )
        wide = maps.to(torch.promote_types(maps.dtype, torch.float32))
        parts = wide.tensor_split(self.stripes, dim=2)
        return torch.cat([self.pool(part.flatten(2)) for part in parts], dim=1)

    def pool(self, values: Tensor) -> Tensor:
        """(B, C, h * w) → (B, C)."""
        raise NotImplementedError


class AveragePool(StripePool):
    """The mean of each channel."""

    def pool(self, values: Tensor) -> Tensor:
        """(B, C, h * w) → (B, C)."""
        return values.mean(dim=2)


class MaxPool(StripePool):
    """The largest value of each channel."""

    def pool(self, values: Tensor) -> Tensor:
        """(B, C, h * w) → (B, C)."""
        return values.max(dim=2).values


class GeM(StripePool):
    """Generalised mean (mean of x^p)^(1/p) of each channel (Radenović et al., TPAMI 2019).

    Negative values count as nothing, so it wants a backbone that ends in a ReLU. Each channel is
    divided by its largest value first: the result is the same, and no power over- or underflows.

    Args:
        p: 1 is the mean, infinity the maximum; AGW fixes 3.
        learnable: Whether p is trained.
        stripes: See `StripePool`.
    """

    p: Tensor

    def __init__(self, p: float, *, learnable: bool, stripes: int) -> None:
        super().__init__(stripes)
        if learnable:
            self.p = nn.Parameter(torch.tensor(float(p)))
        else:
            self.register_buffer("p", torch.tensor(float(p)))

    def pool(self, values: Tensor) -> Tensor:
        """(B, C, h * w) → (B, C)."""
        p = self.p.to(values.dtype)
        values = values.clamp(min=FLOOR)
        largest = values.detach().amax(dim=2, keepdim=True)
        return largest.squeeze(2) * (values / largest).pow(p).mean(dim=2).pow(1.0 / p)


def make_pool(
    kind: PoolingName, *, p: float = 3.0, learnable: bool = False, stripes: int = 1
) -> StripePool:
    """The pooling that a recipe names."""
    if kind == "gem":
        return GeM(p, learnable=learnable, stripes=stripes)
    return MaxPool(stripes) if kind == "max" else AveragePool(stripes)
