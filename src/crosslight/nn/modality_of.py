"""Which light images were taken in, where nobody says."""

from __future__ import annotations

import torch
from torch import Tensor

from crosslight.types import Modality


def modality_of(images: Tensor, *, tolerance: float = 0.02) -> Tensor:
    """(B,) `Modality` of images (B, 3, H, W) in [0, 1]: three nearly equal channels are infrared.

    Args:
        images: Images.
        tolerance: Largest mean difference of two channels of a gray image; JPEG leaves some.
    """
    spread = (images.amax(dim=1) - images.amin(dim=1)).mean(dim=(1, 2))
    gray = spread < tolerance
    return torch.where(gray, int(Modality.INFRARED), int(Modality.VISIBLE))
