"""The networks of Approach 0 (image-level disentangling).

The slides show a "modified U-Net" whose figure is lost; these layers are crosslight's own.
Letters: B batch, H and W image size, h and w size of the innermost map (H / 32 and W / 32 with
five stages), S length of the identity part, M channels of the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from crosslight.nn.conv_block import SLOPE, init_kaiming
from crosslight.nn.precision import wide


class Encoder(nn.Module):
    """An image to its identity part, a vector, and the rest, which stays a map.

    Args:
        widths: Channels of the stages; each halves the map.
        identity: S.
        rest: M.
        skips: Whether the maps of the stages before the last go to the decoder too, squeezed to M
            channels each. They are part of the rest: the identity part has none.
    """

    def __init__(self, widths: Sequence[int], identity: int, rest: int, *, skips: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            _convolution(incoming, outgoing, stride=2)
            for incoming, outgoing in pairwise((3, *widths))
        )
        self.to_s = nn.Linear(widths[-1], identity)
        self.to_m = nn.Conv2d(widths[-1], rest, 1)
        squeezed = widths[:-1] if skips else ()
        self.squeeze = nn.ModuleList(nn.Conv2d(width, rest, 1) for width in squeezed)
        init_kaiming(self)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) → s (B, S), m (B, M, h, w), then skips (B, M, ., .), the largest first."""
        found = []
        maps = images
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps)
        skips = [layer(x) for layer, x in zip(self.squeeze, found, strict=False)]
        return self.to_s(maps.mean(dim=(2, 3))), self.to_m(maps), *skips


class Decoder(nn.Module):
    """An identity part and the rest to an image.

    Args:
        widths: As the encoder's.
        identity: S.
        rest: M.
        channels: 3, or 1 for three equal ones.
        skips: As the encoder's.
    """

    def __init__(
        self, widths: Sequence[int], identity: int, rest: int, *, channels: int, skips: bool
    ) -> None:
        super().__init__()
        inward = tuple(reversed(widths))
        more = rest if skips else 0
        self.first = _convolution(identity + rest, inward[0])
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2, mode="nearest"),
                _convolution(incoming + (more if number else 0), outgoing),
            )
            for number, (incoming, outgoing) in enumerate(pairwise((*inward, inward[-1])))
        )
        self.last = nn.Conv2d(inward[-1], channels, 3, padding=1)
        init_kaiming(self)

    def forward(self, *, s: Tensor, m: Tensor, skips: Sequence[Tensor] = ()) -> Tensor:
        """(B, S), (B, M, h, w) and skips → (B, 3, H, W) in [0, 1], float32.

        By keyword only: sources disagree about the order.
        """
        everywhere = s[:, :, None, None].expand(-1, -1, *m.shape[2:])
        maps = self.first(torch.cat([everywhere, m], dim=1))
        for number, stage in enumerate(self.stages):
            if number and skips:
                maps = torch.cat([maps, skips[-number]], dim=1)
            maps = stage(maps)
        pixels = self.last(maps)
        images: Tensor = wide(pixels).sigmoid()
        return images.expand(-1, 3, -1, -1)


def _convolution(incoming: int, outgoing: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outgoing),
        nn.LeakyReLU(SLOPE),
    )
