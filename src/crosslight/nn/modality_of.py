"""Which light images were taken in, where nobody says."""

from __future__ import annotations

import torch
from torch import Tensor

from crosslight.data.images import GRAY_TOLERANCE
from crosslight.types import Modality


def modality_of(images: Tensor, *, tolerance: float = GRAY_TOLERANCE / 255) -> Tensor:
    """(B,) `Modality` of images (B, 3, H, W) in [0, 1]: three nearly equal channels are infrared.

    Args:
        images: Images.
        tolerance: Largest mean spread of the channels of a gray image, as `guess_modality` has it;
            JPEG leaves some.
    """
    spread = (images.amax(dim=1) - images.amin(dim=1)).mean(dim=(1, 2))
    gray = spread <= tolerance
    return torch.where(gray, int(Modality.INFRARED), int(Modality.VISIBLE))
