"""Edges that a gradient can pass through."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from crosslight.nn.padding import replicated

_SMOOTH = (1.0, 2.0, 1.0)
_SLOPE = (-1.0, 0.0, 1.0)


def soft_edges(gray: Tensor) -> Tensor:
    """Strength of the brightness's slope by Sobel's operator, squeezed into [-0.5, 0.5).

    Canny's operator decides for each pixel whether it is an edge, so nothing could be learnt
    through it; here a generated image can be told to have its edges elsewhere. A flat area is
    -0.5; a slope of 1 per two pixels is 0.

    Args:
        gray: (B, 1, H, W), of about unit variance.
    """
    smooth = torch.tensor(_SMOOTH, dtype=gray.dtype, device=gray.device) / 4
    slope = torch.tensor(_SLOPE, dtype=gray.dtype, device=gray.device)
    kernels = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    slopes = F.conv2d(replicated(gray, 1), kernels)
    # The square root has no slope at 0.
    strength = (slopes.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()
    return strength / (1 + strength) - 0.5
