"""Curves: the CMC of every protocol beside chance, and how training went."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from crosslight.report.colours import MUTED, SERIES, series_colour
from crosslight.report.palette import label, legend_below, new_axes, whole_numbers
from crosslight.report.training_log import Series, TrainingLog

MAX_RANK = 50
MAX_POINTS = 400
MOST_CURVES = len(SERIES)
"""In one panel: as many as there are colours."""

NARROW_NAME = 16
"""Characters of a name of which two stand beside each other below a panel."""

MOST_DECADES = 1e6
"""Beyond this factor the small values share a linear part of the axis, which begins at 0."""

LONGEST_LINE = 38
"""Characters of a name in one line."""

TITLE_LINE = 30
"""Characters of a title in one line."""

DASHES = ("-", (0, (6, 3)), (0, (2, 2)), (0, (6, 2, 1, 2)))
COINCIDING = ("Learning rate", "Loss weights")
"""Curves that often lie on each other: dashed, each can be seen."""

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
    legend_below(figure, columns=columns)
    return figure


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Some curves of a training.

    Attributes:
        title: What they are.
        curves: By name.
        figure: The drawing.
        note: What is left out, in a sentence; empty where nothing is.
    """

    title: str
    curves: Mapping[str, Series]
    figure: Figure
    note: str = ""


def training_panels(log: TrainingLog) -> list[Panel]:
    """What the log holds of losses, their weights, learning rates and validation; maybe nothing.

    No panel holds more curves than there are colours: many losses are parted by the stage in which
    they begin, then in the log's order.
    """
    made = []
    for kind, group in (
        ("Losses and figures", log.losses),
        ("Learning rate", log.learning_rates),
        ("Validation", log.validation),
    ):
        for title, curves in _parted(kind, group, log):
            made.append(Panel(title=title, curves=curves, figure=_panel(kind, title, curves, log)))
        if kind == "Losses and figures":
            made += _weight_panels(log)
    return made


def _weight_panels(log: TrainingLog) -> Iterator[Panel]:
    """A panel per stage with the weights that move or are not 1, if there are any."""
    starts = list(log.stage_starts.values()) or [0.0]
    ends = [*starts[1:], np.inf]
    for stage, start, end in zip(log.stage_starts or {"": 0.0}, starts, ends, strict=True):
        own = {name: _between(series, start, end) for name, series in log.weights.items()}
        told = {name: part for name, part in own.items() if np.any(part.values != 1)}
        parts = -(-len(told) // MOST_CURVES)
        for number, names in enumerate(np.array_split(np.array([*told], dtype=object), parts or 1)):
            if not len(names):
                continue
            title = f"Loss weights, {stage}" if len(starts) > 1 else "Loss weights"
            if parts > 1:
                title += f" ({number + 1} of {parts})"
            curves = {name: told[name] for name in names}
            ones = [name for name, part in own.items() if part.values.size and name not in told]
            yield Panel(
                title=title,
                curves=curves,
                figure=_panel("Loss weights", title, curves, TrainingLog()),
                note=f"Weight 1 throughout: {', '.join(ones)}." if ones else "",
            )


def _between(series: Series, start: float, end: float) -> Series:
    """The part of one stage: iteration n belongs to the stage that began before it was done."""
    inside = (series.iterations > start) & (series.iterations <= end)
    return Series(iterations=series.iterations[inside], values=series.values[inside])


def _parted(
    kind: str, group: Mapping[str, Series], log: TrainingLog
) -> Iterator[tuple[str, Mapping[str, Series]]]:
    if len(group) <= MOST_CURVES:
        if group:
            yield kind, group
        return
    starts = list(log.stage_starts.values())
    stages = {
        name: max(1, int(np.searchsorted(starts, series.iterations[0], "left")))
        for name, series in group.items()
    }
    several = len(set(stages.values())) > 1
    for number, stage in enumerate(list(log.stage_starts) or [""], start=1):
        own = [name for name in group if stages[name] == number]
        parts = -(-len(own) // MOST_CURVES)
        for part, names in enumerate(np.array_split(np.array(own, dtype=object), max(1, parts)), 1):
            if len(names):
                title = f"Losses, {stage}" if several else kind
                yield (
                    f"{title} ({part} of {parts})" if parts > 1 else title,
                    {name: group[name] for name in names},
                )


def _panel(kind: str, title: str, group: Mapping[str, Series], log: TrainingLog) -> Figure:
    columns = 2 if max(len(name) for name in group) <= NARROW_NAME else 1
    rows = -(-sum(_broken(name).count("\n") + 1 for name in group) // columns)
    figure, axes = new_axes(3.5, 2.8 + 0.2 * rows)
    for index, (name, series) in enumerate(group.items()):
        for number, part in enumerate(_by_stage(series, log)):
            iterations, values = _thinned(part)
            axes.plot(iterations, values, color=series_colour(index), linewidth=1.7, markersize=3.5,
                      marker="o" if iterations.size <= 30 else "",
                      linestyle=DASHES[index % len(DASHES)] if kind in COINCIDING else "-",
                      label=_broken(name) if number == 0 else None)  # fmt: skip
    if kind == "Validation":
        if all(s.values.min() >= 0 and s.values.max() <= 1 for s in group.values()):
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            axes.set_ylim(bottom=0)
    elif kind == "Loss weights":
        _weigh(axes, group)
    elif (spread := _spread(list(group.values()))) > MOST_DECADES:
        # A loss that has all but vanished must not press the others into a line.
        largest = max(float(series.values.max()) for series in group.values())
        axes.set_yscale("symlog", linthresh=largest / LOGARITHMIC_FROM**2)
        axes.set_ylim(bottom=0)
    elif spread > LOGARITHMIC_FROM:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if kind == "Learning rate" and axes.get_yscale() == "linear":
        axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    for start in list(log.stage_starts.values())[1:]:
        axes.axvline(start, color=MUTED, linewidth=1, linestyle=":")
    label(axes, x="iteration", title=textwrap.fill(title, TITLE_LINE))
    whole_numbers(axes, bins=5)
    legend_below(figure, columns=columns)
    return figure


def _weigh(axes: Axes, group: Mapping[str, Series]) -> None:
    """An axis for weights, which may begin at 0, be negative, or lie decades apart."""
    peaks = [float(np.abs(series.values).max()) for series in group.values()]
    small = min((peak for peak in peaks if peak > 0), default=1.0)
    if max(peaks) > LOGARITHMIC_FROM * small:
        linear = max(small, max(peaks) / LOGARITHMIC_FROM**2)
        axes.set_yscale("symlog", linthresh=10 ** np.ceil(np.log10(linear)))
    if all(series.values.min() >= 0 for series in group.values()):
        axes.set_ylim(bottom=0)


def _broken(name: str) -> str:
    """A name that fits below a panel, in several lines where it must."""
    lines = textwrap.wrap(name.replace("_", "_ "), LONGEST_LINE)
    return "\n".join(line.replace("_ ", "_") for line in lines)


def _by_stage(series: Series, log: TrainingLog) -> list[Series]:
    """Parts that no line should join: a stage begins anew, or what rested works again."""
    starts = list(log.stage_starts.values())[1:]
    # Iteration n belongs to the stage that began before it was done.
    cuts = np.unique(np.searchsorted(series.iterations, starts, side="right"))
    parts = zip(np.split(series.iterations, cuts), np.split(series.values, cuts), strict=True)
    return [Series(iterations=i, values=v) for i, v in parts if i.size]


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
