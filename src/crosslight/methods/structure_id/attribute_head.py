"""Predicting what is known of people besides who they are, where it is known.

Letters: B batch, C length of the vectors, A attributes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.data.attributes import Attributes, read_attributes
from crosslight.data.batch import Batch
from crosslight.errors import ConfigError
from crosslight.nn.precision import full_precision


class AttributeHead(nn.Module):
    """A linear answer to each attribute, against a table by person.

    Args:
        channels: C.
        names: The attributes; see `crosslight.data.attributes`.
        file: The table; read when the first batch comes, so that a trained head needs none.
    """

    def __init__(self, channels: int, names: tuple[str, ...], file: str) -> None:
        super().__init__()
        self.answers = nn.Linear(channels, len(names))
        self._names, self._file = names, Path(file)
        self._known: Attributes | None = None

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, C) → (B, A) logits."""
        logits: Tensor = self.answers(vectors)
        return logits

    def loss(self, vectors: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """Binary cross entropy, the mean over what is known; 0 where nothing is.

        Args:
            vectors: (B, C).
            labels: (B,) training labels of the people in the vectors, all of them in `batch`.
            batch: Says which person of the data set has which training label.

        Raises:
            ConfigError: The batch does not say that.
            DataError: The table cannot be read.
        """
        if batch.pids is None:
            raise ConfigError(
                "config.attributes are known by person, but this batch does not say which person "
                "an image shows; fill Batch.pids, or leave config.attributes out."
            )
        if self._known is None:
            self._known = read_attributes(self._file.expanduser(), self._names)
        pid_of = torch.zeros(int(batch.labels.max()) + 1, dtype=torch.int64)
        pid_of[batch.labels.cpu()] = batch.pids.cpu()
        wanted = torch.from_numpy(self._known.of(pid_of[labels.cpu()].numpy())).to(vectors.device)
        known = wanted.isfinite()
        with full_precision(vectors):
            logits = self(vectors)
            terms = F.binary_cross_entropy_with_logits(
                logits, wanted.nan_to_num().to(logits.dtype), reduction="none"
            )
            return (terms * known).sum() / known.sum().clamp(min=1)
