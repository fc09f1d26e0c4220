"""Axes and type of every figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from crosslight.report.colours import GRID, INK, MUTED

GOLDEN = 0.618033988749895
BRIGHTNESS = np.array([0.2126, 0.7152, 0.0722])


LUMINANCES = (0.16, 0.29, 0.21)
"""Of people's colours: each is told from white paper and from a dark page (WCAG: 3 to 1)."""


def people_colours(count: int) -> list[str]:
    """Colours for many people: neighbours in the list lie far apart in hue and brightness."""
    hue = (np.arange(count) * GOLDEN) % 1.0
    saturation = np.array([0.85, 0.7, 0.95])[np.arange(count) % 3]
    full: NDArray[np.float64] = hsv_to_rgb(np.stack([hue, saturation, np.ones(count)], axis=1))
    linear = _linear(full)
    wanted = np.array(LUMINANCES)[np.arange(count) % 3]
    return [to_hex(colour) for colour in _encoded(_as_bright(linear, wanted))]


def luminance(colour: str) -> float:
    """Relative luminance of a colour, from 0 for black to 1 for white."""
    return float(_linear(np.array(to_rgb(colour))) @ BRIGHTNESS)


def contrast(one: str, other: str) -> float:
    """From 1 for equal colours to 21 for black and white (WCAG 2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _linear(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amounts of light, of values of sRGB."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _encoded(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of sRGB, of amounts of light."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _as_bright(linear: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) linear light, darkened or mixed with white to these luminances."""
    has = linear @ BRIGHTNESS
    white = np.clip((wanted - has) / (1 - has), 0, 1)[:, None]
    mixed = linear * (1 - white) + white
    found: NDArray[np.float64] = mixed * np.minimum(1, wanted / has)[:, None]
    return found


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
    axes.set_facecolor("none")


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
