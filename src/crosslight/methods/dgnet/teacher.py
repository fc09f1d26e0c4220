"""DG-Net's teacher: a plain classifier whose soft labels of generated images the student follows.

Letters: B batch, H and W image size, D length of its embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosslight.nn.backbones import Backbone
from crosslight.nn.bottleneck_head import BottleneckHead
from crosslight.nn.freezing import frozen
from crosslight.nn.precision import full_precision


class Teacher(nn.Module):
    """The plain classifier whose soft labels DG-Net's primary features follow.

    Attributes:
        head: Its bottleneck and classifier.
    """

    def __init__(self, backbone: Backbone, dim: int, num_ids: int, *, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = BottleneckHead(backbone.channels, dim, num_ids, dropout=dropout)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, num_ids) logits."""
        vectors = self._vectors(images)
        with full_precision(vectors):
            logits: Tensor = self.head(vectors)
        return logits

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) → (B, D)."""
        vectors = self._vectors(images)
        with full_precision(vectors):
            return self.head.embed(vectors)

    def _vectors(self, images: Tensor) -> Tensor:
        maps: Tensor = self.backbone(images)
        return maps.mean(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


def knows(teacher: Teacher, images: Tensor, labels: Tensor) -> Tensor:
    """How many of the images it names right, outside training: a whole number."""
    with torch.no_grad(), frozen(teacher, statistics="running"):
        right: Tensor = teacher(images).argmax(dim=1) == labels
    return right.sum()


def verdict(accuracy: float, asked: int, floor: float) -> str:
    """What to tell a person about a teacher.

    Args:
        accuracy: Part of the images that it named right.
        asked: How many these were.
        floor: Below it the sentence is a warning.
    """
    said = f"The teacher names {accuracy:.1%} of {asked} training images right"
    if accuracy >= floor:
        return f"{said}."
    return (
        f"Warning: {said.lower()}, less than {floor:.0%}: its soft labels will mislead the joint "
        "training; train it longer (config.teacher_iterations) or give a better one "
        "(config.teacher_weights)."
    )
