"""Curves: the CMC of every protocol beside chance, and how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from crosslight.report.colours import INK, MUTED, series_colour
from crosslight.report.palette import label, new_axes, whole_numbers
from crosslight.report.training_log import Series, TrainingLog

MAX_RANK = 50
MAX_POINTS = 400
LOGARITHMIC_FROM = 30.0
"""Losses whose largest and smallest value differ by more than this factor get a log axis."""


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
    _legend_below(axes, columns=columns)
    return figure


def training_figures(log: TrainingLog) -> list[tuple[str, Figure]]:
    """What the log holds: (caption, figure) of losses, learning rates, validation; maybe none."""
    made = []
    for caption, group in (
        ("Losses and figures", log.losses),
        ("Learning rate", log.learning_rates),
        ("Validation", log.validation),
    ):
        if group:
            made.append((caption, _training_figure(caption, group, log)))
    return made


def _training_figure(caption: str, group: Mapping[str, Series], log: TrainingLog) -> Figure:
    rows = -(-len(group) // 2)
    figure, axes = new_axes(3.5, 3.0 + 0.2 * rows)
    for index, (name, series) in enumerate(group.items()):
        iterations, values = _thinned(series)
        few = iterations.size <= 30
        axes.plot(iterations, values, color=series_colour(index), linewidth=1.7, label=name,
                  linestyle=("-", "--", ":")[index // 8 % 3], marker="o" if few else "",
                  markersize=3.5)  # fmt: skip
    if caption == "Validation":
        if all(s.values.min() >= 0 and s.values.max() <= 1 for s in group.values()):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(bottom=0)
    elif _spread(list(group.values())) > LOGARITHMIC_FROM:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if caption == "Learning rate" and axes.get_yscale() == "linear":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for start in list(log.stage_starts.values())[1:]:
        axes.axvline(start, color=MUTED, linewidth=1, linestyle=":")
    label(axes, x="iteration", title=caption)
    whole_numbers(axes, bins=5)
    _legend_below(axes, columns=2)
    return figure


def _legend_below(axes: Axes, columns: int) -> None:
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=columns, frameon=False,
        fontsize=9.5, labelcolor=INK,
    )  # fmt: skip


def _thinned(series: Series) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most `MAX_POINTS` points, each the mean of its neighbours: keeps the page small."""
    parts = min(MAX_POINTS, series.values.size)
    return (
        np.array([part.mean() for part in np.array_split(series.iterations, parts)]),
        np.array([part.mean() for part in np.array_split(series.values, parts)]),
    )


def _spread(group: Sequence[Series]) -> float:
    values = np.concatenate([series.values for series in group])
    return float(values.max() / values.min()) if values.min() > 0 else 1.0
