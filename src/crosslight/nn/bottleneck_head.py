"""A classifier of people behind a bottleneck, whose normalised values are the embedding."""

from __future__ import annotations

from torch import Tensor, nn


class BottleneckHead(nn.Module):
    """Linear, batch norm, dropout, linear: no activation, both linear layers with bias.

    Args:
        channels: Length of the vectors that come in.
        dim: D, length of the embedding.
        num_ids: Number of training people.
        dropout: Probability that a value of the embedding is dropped before the classifier.
    """

    def __init__(self, channels: int, dim: int, num_ids: int, *, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, dim)
        self.norm = nn.BatchNorm1d(dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, num_ids)
        nn.init.kaiming_normal_(self.linear.weight, mode="fan_out")
        nn.init.zeros_(self.linear.bias)
        nn.init.normal_(self.classifier.weight, std=0.001)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, channels) → (B, num_ids) logits."""
        logits: Tensor = self.classifier(self.dropout(self.embed(vectors)))
        return logits

    def embed(self, vectors: Tensor) -> Tensor:
        """(B, channels) → (B, D)."""
        embedding: Tensor = self.norm(self.linear(vectors))
        return embedding
