"""Axes and type of every figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crosslight.report.colours import GRID, INK, MUTED

GOLDEN = 0.618033988749895


def people_colours(count: int) -> list[str]:
    """Colours for many people: neighbours in the list lie far apart in hue and brightness."""
    hue = (np.arange(count) * GOLDEN) % 1.0
    value = np.array([0.85, 0.55, 0.7])[np.arange(count) % 3]
    saturation = np.array([0.8, 0.75, 0.95])[np.arange(count) % 3]
    colours: NDArray[np.float64] = hsv_to_rgb(np.stack([hue, saturation, value], axis=1))
    return [to_hex(colour) for colour in colours]


def new_axes(width_in: float, height_in: float, **kwargs: Any) -> tuple[Figure, Axes]:
    """A white figure with one quiet set of axes; no global state of pyplot is touched."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")
    axes = figure.add_subplot(**kwargs)
    quiet(axes)
    return figure, axes


def quiet(axes: Axes) -> None:
    """Two thin spines, a grid behind everything, small ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=INK, labelsize=10, length=3)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def label(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Writes axis labels and a title in the report's type."""
    axes.set_xlabel(x, color=INK, fontsize=10.5)
    axes.set_ylabel(y, color=INK, fontsize=10.5)
    if title:
        axes.set_title(title, color=INK, fontsize=11.5, loc="left", fontweight="bold")


def legend_below(figure: Figure, *, columns: int) -> None:
    """A legend outside the axes, where it cannot hide what is drawn."""
    figure.legend(
        loc="outside lower center", ncols=columns, frameon=False, fontsize=9.5, labelcolor=INK,
        handlelength=2.4,
    )  # fmt: skip


def whole_numbers(axes: Axes, bins: int = 6) -> None:
    """Ticks of the x axis at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=bins, integer=True))
