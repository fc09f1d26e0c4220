"""An appearance encoder with AGW's streams, pooling, neck and losses, in place of DG-Net's.

Letters: B batch, A channels of the encoder's map, K stripes of the appearance code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.losses import weighted_regularised_triplet
from crosslight.methods.dgnet.networks import STRIPES, AppearanceEncoder
from crosslight.methods.structure_id.body import in_parts
from crosslight.methods.structure_id.config import Proposed2020Config
from crosslight.nn.backbones import Backbone
from crosslight.nn.distributed import gather_with_gradient
from crosslight.nn.heads import IdentityHead
from crosslight.nn.pooling import make_pool, stripe_maximum
from crosslight.nn.precision import wide
from crosslight.nn.two_stream import split_backbone
from crosslight.types import Modality

PARTS = 2
"""Stripes of the vector, as the weights that ship are pooled."""
COLOURLESS = 0.01
"""An image whose channels differ by less, of 1 and on average, shows no colours."""


class TwoStreamAppearance(AppearanceEncoder):
    """E_a with a stem for each light.

    Args:
        backbone: Of the ResNet family; its weights may have a stem for infrared.

    Attributes:
        channels: A.
        vector_channels: Length of the vector.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        nn.Module.__init__(self)
        self.channels = backbone.channels
        self.vector_channels = PARTS * backbone.channels
        self.streams = split_backbone(backbone)
        self.pool = make_pool("gem", stripes=PARTS)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer(
            "mean", torch.tensor(backbone.mean).view(1, -1, 1, 1), persistent=False
        )

    def forward(self, images: Tensor, modality: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W), normalised → appearance code (B, A, K) and vector (B, 2 A).

        Args:
            images: The images.
            modality: (B,) `Modality`; None: infrared is what shows no colours.
        """
        maps = self.streams(images, self._lights(images) if modality is None else modality)
        vector: Tensor = self.pool(maps)
        return wide(stripe_maximum(maps, STRIPES)), vector

    def _lights(self, images: Tensor) -> Tensor:
        pixels = images * self.std + self.mean
        differ = (pixels.amax(dim=1) - pixels.amin(dim=1)).mean(dim=(1, 2))
        return torch.where(differ < COLOURLESS, int(Modality.INFRARED), int(Modality.VISIBLE))


class NeckHead(nn.Module):
    """A BNNeck and its classifier, asked as `TwoHeads` are.

    Args:
        channels: Length of the vector, which is the embedding.
        num_ids: Number of training people.
    """

    def __init__(self, channels: int, num_ids: int) -> None:
        super().__init__()
        self.primary = IdentityHead(channels, num_ids)

    def embeddings(self, vectors: Tensor, *, parts: int = 1) -> tuple[Tensor, ...]:
        """(B, 2 A) → (B, 2 A) behind the neck, each part normalised by itself."""
        return (in_parts(self.primary.neck, vectors, parts),)

    def logits(self, embeddings: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """(B, 2 A) → (B, num_ids)."""
        return (self.primary.classifier(embeddings[0]),)


def agw_losses(
    config: Proposed2020Config, name: str, vectors: Tensor, logits: Tensor, labels: Tensor
) -> dict[str, Tensor]:
    """AGW's two losses on real images.

    Args:
        config: Smoothing of the identity loss.
        name: Of the code.
        vectors: (4P, 2 A) before the neck, images first, then partners.
        logits: (4P, people).
        labels: (2P,) of the images.
    """
    everybody = labels.repeat(2)
    triplet = weighted_regularised_triplet(
        gather_with_gradient(vectors), gather_with_gradient(everybody), as_released=False
    )
    smoothing = config.label_smoothing
    return {
        f"loss_id_{name}": F.cross_entropy(logits, everybody, label_smoothing=smoothing),
        f"loss_triplet_{name}": triplet,
    }
