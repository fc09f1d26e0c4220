"""Curves: the CMC of every protocol beside chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from crosslight.report.colours import series_colour
from crosslight.report.palette import label, legend_below, new_axes

MAX_RANK = 50


def cmc_figure(
    curves: Mapping[str, NDArray[np.floating[Any]]],
    chance: Mapping[str, NDArray[np.floating[Any]]],
) -> Figure:
    """Share of queries answered within the first k, for every protocol; chance is dashed.

    Args:
        curves: Protocol → (K,) fractions at rank 1, 2, ...
        chance: The same for a gallery in random order.
    """
    columns = 2 if max(len(name) for name in curves) <= 20 else 1
    lines = len(curves) * 2 // columns
    figure, axes = new_axes(4.8, 3.2 + 0.21 * lines)
    for index, (name, curve) in enumerate(curves.items()):
        colour = series_colour(index)
        shown = curve[:MAX_RANK]
        ranks = np.arange(1, shown.size + 1)
        marks = "o" if shown.size <= 25 else ""
        axes.plot(ranks, shown, color=colour, linewidth=2, marker=marks, markersize=3.5, label=name)
        if name in chance:
            # Shifted dashes: chance levels often coincide, and each should be seen.
            guess = chance[name][:MAX_RANK]
            axes.plot(np.arange(1, guess.size + 1), guess, color=colour, linewidth=1.4,
                      linestyle=(5 * index, (3, 7)), label=f"{name}, chance")  # fmt: skip
    label(axes, x="rank k", y="queries answered within the first k")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0, 1.02)
    axes.set_xlim(left=0.5)
    longest = max(curve[:MAX_RANK].size for curve in curves.values())
    step = 5 if longest <= 30 else 10
    axes.set_xticks([1, *range(step, longest + 1, step)])
    legend_below(figure, columns=columns)
    return figure
