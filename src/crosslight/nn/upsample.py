"""Twice the size and a 5x5 convolution, at 9 instead of 25 multiplications per weight and pixel.

Letters: B batch, C channels, h and w the small map's height and width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crosslight.nn.padding import replicated

# Which of the 5 taps of a kernel fall on the small map's pixel before, at and after a pixel, for
# the first and the second of the two large pixels that the small one becomes.
_FIRST = ((1, 1, 0, 0, 0), (0, 0, 1, 1, 0), (0, 0, 0, 0, 1))
_SECOND = ((1, 0, 0, 0, 0), (0, 1, 1, 0, 0), (0, 0, 0, 1, 1))


class UpsampleConv(nn.Module):
    """Nearest neighbour to twice the size, reflection padding by 2, 5x5 convolution with bias.

    Computed on the small map: nearest neighbours repeat, so for each of the four positions inside
    a doubled pixel the 25 taps fall on only 3x3 different small pixels, and their weights can be
    added up first. Reflection differs from that only in the outermost row and column of the
    result, where the tap furthest outside sees the second pixel instead of the first; the
    difference is added to these borders.

    Args:
        in_channels: C.
        out_channels: Channels that go out.
    """

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 5)
        self.register_buffer("taps", torch.tensor([_FIRST, _SECOND]).float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, h, w) → (B, out_channels, 2 * h, 2 * w)."""
        weight, bias = self.conv.weight, self.conv.bias
        taps = self.taps.to(weight.dtype)
        # Output channel, then phase of row and column: the order of pixel_shuffle.
        small = torch.einsum("prs,qtu,ocsu->opqcrt", taps, taps, weight).flatten(0, 2)
        small = small.contiguous(memory_format=torch.channels_last)
        maps, rows, columns = _with_edges(maps)
        shuffled = F.conv2d(
            replicated(maps, 1), small, bias.repeat_interleave(4) if bias is not None else None
        )
        large = F.pixel_shuffle(shuffled, 2)
        terms = _border_terms(rows, columns, weight)
        if torch.compiler.is_compiling():
            return _add_to_borders(large, *terms)
        framed: Tensor = _Borders.apply(large, *terms)  # type: ignore[no-untyped-call]
        return framed


def _with_edges(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The maps, their first, second, last but one and last rows, and the same columns."""
    if torch.compiler.is_compiling():
        return maps, _edges(maps, 2), _edges(maps, 3)
    found: tuple[Tensor, Tensor, Tensor] = _Edges.apply(maps)  # type: ignore[no-untyped-call]
    return found


def _edges(maps: Tensor, dim: int) -> Tensor:
    length = maps.shape[dim]
    return torch.cat([maps.narrow(dim, 0, 2), maps.narrow(dim, length - 2, 2)], dim=dim)


def _border_terms(
    rows: Tensor, columns: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What reflection adds to the top, bottom, left and right border: (B, out, 2w) or (B, out, 2h).

    The corners belong to top and bottom in the reflected columns and to left and right in the
    replicated rows, so that the two sums make up for both.
    """
    first, second, last_but_one, last = rows.repeat_interleave(2, dim=3).unbind(2)
    top, bottom = (
        F.conv1d(_continued(line, (2, 1, -2, -3)), weight[:, :, place])
        for line, place in ((second - first, 0), (last_but_one - last, -1))
    )
    first, second, last_but_one, last = columns.repeat_interleave(2, dim=2).unbind(3)
    left, right = (
        F.conv1d(_continued(line, (0, 0, -1, -1)), weight[..., place])
        for line, place in ((second - first, 0), (last_but_one - last, -1))
    )
    return top, bottom, left, right


def _continued(line: Tensor, places: tuple[int, int, int, int]) -> Tensor:
    """(B, C, n) → (B, C, n + 4): values of these places two before and two after."""
    before, after = ([line[..., place, None] for place in two] for two in (places[:2], places[2:]))
    return torch.cat([*before, line, *after], dim=2)


class _Edges(torch.autograd.Function):
    """Autograd would fill and add a whole map for the gradient of each row and column."""

    @staticmethod
    def forward(_: Any, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return maps.view_as(maps), _edges(maps, 2), _edges(maps, 3)

    @staticmethod
    def backward(_: Any, maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        total = maps.clone()
        total[:, :, :2] += rows[:, :, :2]
        total[:, :, -2:] += rows[:, :, 2:]
        total[..., :2] += columns[..., :2]
        total[..., -2:] += columns[..., 2:]
        return total


def _add_to_borders(
    maps: Tensor, top: Tensor, bottom: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    maps[:, :, 0] += top
    maps[:, :, -1] += bottom
    maps[..., 0] += left
    maps[..., -1] += right
    return maps


class _Borders(torch.autograd.Function):
    """Adds to borders in place; its gradient is read, where autograd would copy it four times."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, *terms: Tensor) -> Tensor:
        ctx.mark_dirty(maps)
        return _add_to_borders(maps, *terms)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        borders = (gradient[:, :, 0], gradient[:, :, -1], gradient[..., 0], gradient[..., -1])
        return gradient, *(border.clone() for border in borders)
