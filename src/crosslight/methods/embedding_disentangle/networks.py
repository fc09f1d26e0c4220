"""The networks of Approach 1 (embedding-level disentangling): all of them linear layers and ReLU.

Letters: B batch, D embedding that is taken apart, d length of the identity part s and of the
identity-free part m.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from crosslight.nn.conv_block import init_kaiming

ENCODER_WIDTHS = (1024, 2048, 512)
DECODER_WIDTHS = (512, 2048)
CLASSIFIER_WIDTH = 512


class Encoder(nn.Sequential):
    """An embedding to one of its parts, (B, D) → (B, d): a ReLU after every layer, the last too.

    Args:
        dim: D.
        code: d.
        widths: Of the layers between.
    """

    def __init__(self, dim: int, code: int, widths: tuple[int, ...] = ENCODER_WIDTHS) -> None:
        super().__init__(*_layers((dim, *widths, code)))
        init_kaiming(self)


class Decoder(nn.Module):
    """Two parallel branches, one for each part, whose sum is the embedding.

    Args:
        code: d.
        dim: D.
        widths: Of the layers between.
        output: `relu` ends each branch in one, as in the slides; `linear` does not.
    """

    def __init__(
        self,
        code: int,
        dim: int,
        widths: tuple[int, ...] = DECODER_WIDTHS,
        output: Literal["relu", "linear"] = "relu",
    ) -> None:
        super().__init__()
        end = None if output == "relu" else -1
        self.from_s = nn.Sequential(*_layers((code, *widths, dim))[:end])
        self.from_m = nn.Sequential(*_layers((code, *widths, dim))[:end])
        init_kaiming(self)

    def forward(self, *, s: Tensor, m: Tensor) -> Tensor:
        """(B, d) twice → (B, D). By keyword only: sources disagree about the order."""
        total: Tensor = self.from_s(s) + self.from_m(m)
        return total


class Classifier(nn.Sequential):
    """An embedding to people, (B, D) → (B, num_ids).

    Args:
        dim: D.
        num_ids: Number of training people.
        width: Of the layer between.
    """

    def __init__(self, dim: int, num_ids: int, width: int) -> None:
        super().__init__(*_layers((dim, width)), nn.Linear(width, num_ids))
        init_kaiming(self)


def _layers(widths: tuple[int, ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for incoming, outgoing in pairwise(widths):
        layers += [nn.Linear(incoming, outgoing), nn.ReLU()]
    return layers
