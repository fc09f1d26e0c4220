"""A classifier of people behind a bottleneck, whose normalised values are the embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class BottleneckHead(nn.Module):
    """Linear, batch norm, dropout, linear, both linear layers with bias; a leaky ReLU on request.

    Args:
        channels: Length of the vectors that come in.
        dim: D, length of the embedding.
        num_ids: Number of training people.
        dropout: Probability that a value of the embedding is dropped before the classifier.
        slope: Of a leaky ReLU between embedding and dropout; 1 leaves it out.
        gain_std: Deviation around 1 of the start of the batch norm's gain.
        norm: Whether there is a batch norm.
    """

    def __init__(
        self,
        channels: int,
        dim: int,
        num_ids: int,
        *,
        dropout: float,
        slope: float = 1.0,
        gain_std: float = 0.0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.slope = slope
        self.linear = nn.Linear(channels, dim)
        self.norm = nn.BatchNorm1d(dim) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, num_ids)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out")
        nn.init.zeros_(self.linear.bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)
        if gain_std and isinstance(self.norm, nn.BatchNorm1d):
            nn.init.normal_(self.norm.weight, mean=1.0, std=gain_std)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, channels) → (B, num_ids) logits."""
        return self.classify(self.embed(vectors))

    def embed(self, vectors: Tensor) -> Tensor:
        """(B, channels) → (B, D)."""
        embedding: Tensor = self.norm(self.linear(vectors))
        return embedding

    def classify(self, embeddings: Tensor) -> Tensor:
        """(B, D) → (B, num_ids) logits."""
        active = embeddings if self.slope == 1 else F.leaky_relu(embeddings, self.slope)
        logits: Tensor = self.classifier(self.dropout(active))
        return logits
