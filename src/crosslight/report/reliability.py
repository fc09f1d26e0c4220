"""Whether probabilities keep what they promise: what was said beside what was true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from crosslight.report.colours import MUTED, series_colour
from crosslight.report.palette import label, legend_below, new_axes


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """How a calibration did on people left out of it.

    Attributes:
        fit: Shape of the curve.
        said: Mean probability of each group of pairs.
        true: Share of each group that shows the same person.
        pairs: Size of each group.
        threshold: Largest distance that counts as a match.
        false_match_rate: What the threshold was chosen for.
        missed: Share of same-person pairs beyond the threshold.
        sure: What became of pairs that were said to be 50 % or more, in words; empty where the
            calibration does not tell.
    """

    fit: str
    said: tuple[float, ...]
    true: tuple[float, ...]
    pairs: tuple[int, ...]
    threshold: float
    false_match_rate: float
    missed: float
    sure: str = ""

    @property
    def error(self) -> float:
        """Mean difference of what was said and what was true, over the pairs."""
        off = np.abs(np.array(self.said) - np.array(self.true))
        return float((off * self.pairs).sum() / max(1, sum(self.pairs)))

    @property
    def sentence(self) -> str:
        """The figures in words."""
        return (
            f"{self.fit} curve; {self.sure + '; ' if self.sure else ''}all "
            f"{sum(self.pairs):,} pairs of people left out are off by {self.error:.1%} on average; "
            f"distances up to {self.threshold:.3f} count as a match, which lets "
            f"{self.false_match_rate:.2%} of different people pass and misses {self.missed:.1%} of "
            "the same"
        )


def reliability_figure(curves: Mapping[str, Reliability]) -> Figure:
    """Said against true, a line per kind of pairs; the diagonal is perfect.

    Args:
        curves: Kind of pairs → how its probabilities did.
    """
    figure, axes = new_axes(4.8, 4.2)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=":", label="perfect")
    for index, (name, curve) in enumerate(curves.items()):
        # The area tells how many pairs stand behind a point, over several powers of ten.
        sizes = 12 + 14 * np.log10(np.maximum(curve.pairs, 1))
        colour = series_colour(index)
        axes.plot(curve.said, curve.true, color=colour, linewidth=1.7, label=name)
        axes.scatter(curve.said, curve.true, s=sizes, color=colour, zorder=3)
    label(axes, x="probability that was said", y="pairs that show the same person")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    legend_below(figure, columns=2)
    return figure
