"""How much of an image with more than 8 bits is left of it in 256 gray levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.types import DeepRange

FEW_LEVELS = 64
"""Fewer gray levels than this, of 256, and an image is nearly flat."""

_NEARLY_ALL = (0.5, 99.5)
"""Percentiles: one dead or glowing pixel says nothing about the range of a camera."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """What became of the values of an image.

    Attributes:
        low: Nearly all values are at least this.
        high: Nearly all values are at most this.
        black: The value that became 0.
        white: The value that became 255.
        levels: Gray levels between those of `low` and `high`, of 256.
        in_colour: Whether it has several channels of 16 bits, of which only the upper 8 can be
            read, so that no range can be applied to it.
    """

    low: float
    high: float
    black: float
    white: float
    levels: int
    in_colour: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether the image is nearly flat although its values differ."""
        return self.levels < FEW_LEVELS and self.high > self.low


def depth_of(
    values: NDArray[np.floating[Any]], black: float, white: float, *, in_colour: bool = False
) -> Depth:
    """Measures values of which `black` became 0 and `white` 255."""
    low, high = (float(value) for value in np.nanpercentile(values, _NEARLY_ALL))
    inside = min(high, white) - max(low, black)
    levels = 1 + max(0, round(inside * 255 / (white - black)))
    return Depth(low=low, high=high, black=black, white=white, levels=levels, in_colour=in_colour)


class DepthTally:
    """Looks for narrow ranges over many images.

    Attributes:
        deep: Images with more than 8 bits.
        narrow: Those of them that became nearly flat.
    """

    def __init__(self) -> None:
        self.deep = 0
        self.narrow = 0
        self._low, self._high = math.inf, -math.inf
        self._read: DeepRange = (0.0, 0.0)
        self._levels = 0
        self._in_colour = False

    def add(self, depth: Depth | None) -> None:
        """Counts an image; None for one of 8 bits."""
        if depth is None:
            return
        self.deep += 1
        if not depth.is_narrow:
            return
        self.narrow += 1
        self._low, self._high = min(self._low, depth.low), max(self._high, depth.high)
        self._read = (depth.black, depth.white)
        self._levels = max(self._levels, depth.levels)
        self._in_colour |= depth.in_colour

    @property
    def range(self) -> DeepRange:
        """A range that holds nearly all values of the narrow images, its ends round numbers."""
        step = 10.0 ** (math.floor(math.log10(self._high - self._low)) - 1)
        ends = math.floor(self._low / step) * step, math.ceil(self._high / step) * step
        low, high = (round(end, 6) for end in ends)
        return low, high

    def told(self) -> str:
        """One sentence about the narrow images; empty where there are none."""
        if not self.narrow:
            return ""
        black, white = self._read
        low, high = self.range
        images = "image" if self.deep == 1 else "images"
        return (
            f"{self.narrow} of {self.deep} {images} with more than 8 bits "
            f"{'keeps' if self.narrow == 1 else 'keep'} at most {self._levels} of 256 gray levels: "
            f"{black:.10g} is read as black and {white:.10g} as white, nearly all values lie "
            f"between {low:.10g} and {high:.10g}."
        )

    def remedy(self, how: str) -> str:
        """What to do about it.

        Args:
            how: With `{0}` and `{1}` for the ends of the range to state.
        """
        if self._in_colour:
            return (
                "Save them with one channel of 16 bits in place of three, of which only the "
                "upper 8 bits can be read; then state the range of their values."
            )
        low, high = self.range
        return how.format(f"{low:.10g}", f"{high:.10g}")
