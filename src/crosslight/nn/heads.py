"""From an embedding to identities."""

from __future__ import annotations

from torch import Tensor, nn


class IdentityHead(nn.Module):
    """BNNeck and classifier (Luo et al., CVPR Workshops 2019, "Bag of Tricks", section 3.5).

    The metric loss sees the embedding before the batch normalisation, the identity loss and the
    matching see it after. The normalisation does not shift and the classifier has no bias, so
    the identities' hyperplanes go through the origin.

    Args:
        dim: Length D of the embedding.
        num_ids: Number of training people.
    """

    def __init__(self, dim: int, num_ids: int) -> None:
        super().__init__()
        self.neck = nn.BatchNorm1d(dim)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(dim, num_ids, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, D) before the neck → (B, num_ids) logits."""
        logits: Tensor = self.classifier(self.neck(embeddings))
        return logits
