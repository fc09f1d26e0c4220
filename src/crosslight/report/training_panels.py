"""How training went: a small panel for each loss, for each stage's learning rates, and the rest."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)
from numpy.typing import NDArray

from crosslight.methods.terms import Term
from crosslight.report.colours import GRID, INK, MUTED, PLAIN, WEIGHTED, series_colour
from crosslight.report.palette import quiet, whole_numbers
from crosslight.report.symbols import mathtext
from crosslight.report.training_log import Series, TrainingLog

MAX_POINTS = 200
FEW_POINTS = 30
"""Up to so many are marked, and the line goes through them."""
SMOOTHED_OVER = 15
"""The line is the mean over so many parts of a stage's points."""

WIDTH_IN, HEIGHT_IN = 3.3, 1.9
STRIP = 0.28
"""Height of the strip that shows a weight, over that of the losses above it."""

LOGARITHMIC_FROM = 30.0
"""Losses whose largest and smallest value differ by more than this factor get a log axis."""

MOST_DECADES = 1e6
"""Beyond this factor the small values share a linear part of the axis, which begins at 0."""

NAME_LINE = 34
"""Characters of a name in one line above a panel."""

PT_PER_LETTER = 4.4
"""Of a stage's name, about."""

Kind = Literal["loss", "figure", "learning rate", "validation"]


@dataclass(frozen=True, kw_only=True)
class Weight:
    """What a loss counts in its update, over the training.

    Attributes:
        curve: As it was logged.
        counted: What it made of the loss.
    """

    curve: Series
    counted: Series

    @property
    def moves(self) -> bool:
        """Whether it differs from one time to another."""
        values = self.curve.values
        return bool(np.ptp(values) > 1e-6 * np.abs(values).max())

    @property
    def words(self) -> str:
        """Such as `× 5` and `× 0 → 2`; empty where it is 1 throughout."""
        values = self.curve.values
        first, last, low, high = values[0], values[-1], values.min(), values.max()
        if not self.moves:
            return "" if first == 1 else f"× {first:.3g}"
        if {low, high} == {first, last}:
            return f"× {first:.3g} → {last:.3g}"
        return f"× {low:.3g} to {high:.3g}"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One small chart of a training.

    Attributes:
        kind: What it shows.
        name: Of the loss or figure as it is logged, or of what the curves are.
        curves: By name.
        weight: Of a loss; None where the log does not tell.
        idle: Whether it is a loss that counts in no update.
        term: What its paper calls it.
        span: First and last iteration of the axis.
        stages: Stage → where it begins and ends.
    """

    kind: Kind
    name: str
    curves: Mapping[str, Series]
    span: tuple[float, float]
    stages: Mapping[str, tuple[float, float]]
    weight: Weight | None = None
    idle: bool = False
    term: Term | None = None

    @property
    def counts(self) -> str:
        """What it counts in the sum of its update, in a few signs."""
        if self.idle:
            return "trains nothing"
        return "" if self.weight is None else self.weight.words

    @property
    def ends(self) -> str:
        """First and last value of each curve."""
        told = []
        for name, curve in self.curves.items():
            first, last = curve.values[0], curve.values[-1]
            own = f"{name} " if len(self.curves) > 1 else ""
            if curve.values.size == 1:
                told.append(f"{own}{first:.3g}")
            elif np.ptp(curve.values) == 0:
                told.append(f"{own}{first:.3g} throughout")
            else:
                told.append(f"{own}{first:.3g} → {last:.3g}")
        return "; ".join(told)

    @property
    def legend_rows(self) -> int:
        """Rows of the curves' names above them; 0 where there is one curve, without a name."""
        if self.kind in ("loss", "figure"):
            return 0
        letters = max(len(name) for name in self.curves) + 5
        beside = max(1, min(len(self.curves), 44 // letters))
        return -(-len(self.curves) // beside)

    def figure(self) -> Figure:
        """The chart without a title, for a page that has one above it."""
        strip = self.weight is not None and self.weight.moves
        height = HEIGHT_IN * (1 + STRIP * strip) + 0.17 * self.legend_rows
        figure = Figure(figsize=(WIDTH_IN, height), layout="constrained", facecolor="white")
        self.draw(figure)
        return figure

    def draw(self, place: FigureBase, *, titled: bool = False) -> None:
        """Draws it into a figure or a part of one.

        Args:
            place: Where to.
            titled: With a title of its own.
        """
        if self.legend_rows:
            axes = place.subplots()
            _draw_together(axes, self)
        elif self.weight is not None and self.weight.moves:
            axes, below = place.subplots(
                2, 1, sharex=True, gridspec_kw={"height_ratios": [1, STRIP]}
            )
            _draw_loss(axes, self)
            _draw_weight(below, self)
        else:
            axes = place.subplots()
            _draw_loss(axes, self)
        if titled:
            _title(axes, self)


def training_panels(log: TrainingLog, terms: Mapping[str, Term] | None = None) -> list[Panel]:
    """A panel for each loss and each figure, for the rates of each stage, and for the validation.

    All but those of learning rates, which are of one stage each, share the axis of iterations.

    Args:
        log: Of a run.
        terms: `Method.terms`; without them panels have the names of the log.
    """
    found = [*log.losses.values(), *log.validation.values(), *log.learning_rates.values()]
    if not found:
        return []
    end = max(float(series.iterations[-1]) for series in found)
    starts = log.stage_starts or {"": 0.0}
    ends = [*list(starts.values())[1:], end]
    stages = {name: (start, stop) for (name, start), stop in zip(starts.items(), ends, strict=True)}
    known = terms or {}

    panels = []
    for name, series in log.losses.items():
        weight = _weight_of(name, log, starts.values())
        is_loss = weight is not None or name.startswith("loss")
        panels.append(
            Panel(
                kind="loss" if is_loss else "figure",
                name=name,
                curves={name: series},
                span=(0, end),
                stages=stages,
                weight=weight,
                idle=is_loss and weight is None and bool(log.weights),
                term=known.get(name),
            )
        )
    panels.sort(key=lambda panel: panel.kind != "loss")
    panels += _rates(log, stages)
    if log.validation:
        panels.append(
            Panel(kind="validation", name="validation", curves=log.validation, span=(0, end),
                  stages=stages)
        )  # fmt: skip
    return panels


def training_figure(
    log: TrainingLog, terms: Mapping[str, Term] | None = None, *, columns: int = 3
) -> Figure:
    """All panels as one picture, for a notebook.

    Args:
        log: See `training_panels`.
        terms: See `training_panels`.
        columns: Panels side by side.
    """
    panels = training_panels(log, terms)
    rows = max(1, -(-len(panels) // columns))
    figure = Figure(
        figsize=(columns * WIDTH_IN, rows * (HEIGHT_IN * (1 + STRIP) + 0.5)), layout="constrained"
    )
    places = figure.subfigures(rows, columns, squeeze=False)
    for panel, place in zip(panels, places.flat, strict=False):
        panel.draw(place, titled=True)
    return figure


def _weight_of(name: str, log: TrainingLog, starts: Iterable[float]) -> Weight | None:
    """What a loss counts: 0 from its stage's beginning on, if it moves and began later."""
    if name not in log.weights or name not in log.weighted:
        return None
    weight = Weight(curve=log.weights[name], counted=log.weighted[name])
    first = float(weight.curve.iterations[0])
    begin = max((start for start in starts if start < first), default=0.0)
    others = np.concatenate([series.iterations for series in log.losses.values()])
    before = np.unique(others[(others > begin) & (others < first)])
    if not weight.moves or not before.size:
        return weight
    idle = Series(iterations=before, values=np.zeros(before.size))
    return Weight(curve=_joined(idle, weight.curve), counted=weight.counted)


def _joined(first: Series, second: Series) -> Series:
    return Series(
        iterations=np.concatenate([first.iterations, second.iterations]),
        values=np.concatenate([first.values, second.values]),
    )


def _rates(log: TrainingLog, stages: Mapping[str, tuple[float, float]]) -> Iterator[Panel]:
    """For each stage those of the optimizers at work in it; equal ones are one curve."""
    for stage, (start, end) in stages.items():
        together: dict[bytes, tuple[list[str], Series]] = {}
        for name, series in log.learning_rates.items():
            own = _between(series, start, end)
            if own.values.size:
                key = own.iterations.tobytes() + own.values.tobytes()
                together.setdefault(key, ([], own))[0].append(name)
        if together:
            yield Panel(
                kind="learning rate",
                name=f"learning rate, {stage}" if len(stages) > 1 else "learning rate",
                curves={", ".join(names): own for names, own in together.values()},
                span=(start, end),
                stages={stage: (start, end)},
            )


def _between(series: Series, start: float, end: float) -> Series:
    """The part of one stage: iteration n belongs to the stage that began before it was done."""
    inside = (series.iterations > start) & (series.iterations <= end)
    return Series(iterations=series.iterations[inside], values=series.values[inside])


def _draw_loss(axes: Axes, panel: Panel) -> None:
    _prepare(axes, panel)
    (series,) = panel.curves.values()
    drawn = [series]
    _draw_curve(axes, panel, series, PLAIN)
    weight = panel.weight
    if weight is not None and weight.moves:
        drawn.append(weight.counted)
        _draw_curve(axes, panel, weight.counted, WEIGHTED, is_dashed=True)
    _scale(axes, drawn)
    if weight is not None and not weight.moves:
        _weighted_axis(axes, float(weight.curve.values[0]))


def _draw_weight(axes: Axes, panel: Panel) -> None:
    """The weight over the iterations, in a strip below the loss."""
    assert panel.weight is not None
    _prepare(axes, panel, named=False)
    curve = panel.weight.curve
    for part in _by_stage(curve, panel):
        axes.plot(part.iterations, part.values, color=WEIGHTED, linewidth=1.3)
        axes.fill_between(part.iterations, part.values, color=WEIGHTED, alpha=0.25, linewidth=0)
    low, high = min(0.0, curve.values.min()), max(0.0, curve.values.max())
    room = 0.15 * (high - low)
    axes.set_ylim(low - room * (low < 0), high + room * (high > 0))
    axes.yaxis.set_major_locator(FixedLocator(sorted({low, high})))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.set_ylabel("weight", color=MUTED, fontsize=7)


def _draw_together(axes: Axes, panel: Panel) -> None:
    """Curves that share a unit, with their names above them."""
    _prepare(axes, panel)
    for index, (name, series) in enumerate(panel.curves.items()):
        is_dashed = panel.kind == "learning rate" and index % 2 == 1
        _draw_curve(axes, panel, series, series_colour(index), name=name, is_dashed=is_dashed)
    if panel.kind == "validation" and all(
        curve.values.min() >= 0 and curve.values.max() <= 1 for curve in panel.curves.values()
    ):
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(bottom=0)
    else:
        _scale(axes, list(panel.curves.values()))
        if axes.get_yscale() == "linear":
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0 + 0.1 * (len(panel.stages) > 1)), frameon=False,
        ncols=-(-len(panel.curves) // panel.legend_rows), fontsize=8, labelcolor=INK,
        handlelength=1.6, columnspacing=1.0, borderaxespad=0.2, handletextpad=0.5,
        labelspacing=0.25,
    )  # fmt: skip


def _draw_curve(
    axes: Axes,
    panel: Panel,
    series: Series,
    colour: str,
    *,
    name: str | None = None,
    is_dashed: bool = False,
) -> None:
    """The values, faint where they are many, and the line of their running mean."""
    style = (0, (5, 2)) if is_dashed else "-"
    smooth = panel.kind in ("loss", "figure")
    for part in _by_stage(series, panel):
        iterations, values = _thinned(part)
        few = iterations.size <= FEW_POINTS
        if not few and smooth and not is_dashed:
            axes.plot(iterations, values, color=colour, linewidth=0.8, alpha=0.35)
        line = values if few or not smooth else running_mean(values)
        axes.plot(iterations, line, color=colour, linewidth=1.7, markersize=2.5, label=name,
                  marker="o" if few and not is_dashed else "", linestyle=style)  # fmt: skip
        name = None


def _prepare(axes: Axes, panel: Panel, *, named: bool = True) -> None:
    """Bands for the stages, with their names where they have room."""
    quiet(axes)
    axes.tick_params(labelsize=8)
    start, end = panel.span
    length = (end - start) or 1.0
    axes.set_xlim(start - 0.01 * length, end + 0.02 * length)
    whole_numbers(axes, bins=4)
    if len(panel.stages) < 2:
        return
    for number, (name, (first, last)) in enumerate(panel.stages.items()):
        if number % 2:
            axes.axvspan(first, last, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        room = (last - first) / length * 0.8 * WIDTH_IN * 72
        if named and len(name) * PT_PER_LETTER <= room:
            axes.annotate(
                name, ((first + last) / 2, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
                textcoords="offset points", ha="center", va="bottom", color=MUTED, fontsize=7.5,
            )  # fmt: skip


def _scale(axes: Axes, drawn: list[Series]) -> None:
    """An axis on which all of it can be read."""
    values = np.concatenate([series.values for series in drawn])
    above = values[values > 0]
    spread = float(values.max() / above.min()) if above.size and values.min() >= 0 else 1.0
    if spread > MOST_DECADES or (spread > LOGARITHMIC_FROM and values.min() == 0):
        axes.set_yscale("symlog", linthresh=float(values.max()) / LOGARITHMIC_FROM**2)
        axes.set_ylim(bottom=0)
    elif spread > LOGARITHMIC_FROM:
        axes.set_yscale("log")
    else:
        low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
        room = 0.06 * ((high - low) or 1.0)
        axes.set_ylim(low - room * (low < 0), high + room)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        return
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _weighted_axis(axes: Axes, weight: float) -> None:
    """On the right what the loss is worth in the sum: the same curve, on another scale."""
    if weight <= 0 or weight == 1:
        return

    def counted(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return value * weight

    def plain(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return value / weight

    right = axes.secondary_yaxis("right", functions=cast("Any", (counted, plain)))
    right.tick_params(colors=WEIGHTED, labelsize=8, length=3)
    right.spines["right"].set_color(WEIGHTED)
    if axes.get_yscale() == "linear":
        right.yaxis.set_major_locator(MaxNLocator(4))
    else:
        right.yaxis.set_minor_formatter(NullFormatter())


def _title(axes: Axes, panel: Panel) -> None:
    term, lines = panel.term, textwrap.wrap(panel.name, NAME_LINE, break_on_hyphens=False)
    if term is not None and term.symbol:
        lines = [f"{mathtext(term.symbol)}  {term.place}".rstrip(), *lines]
    pad = 4 + 11 * (len(panel.stages) > 1) + 12 * panel.legend_rows
    axes.set_title("\n".join(lines), loc="left", fontsize=9.5, fontweight="normal", color=INK,
                   pad=pad)  # fmt: skip
    if panel.counts:
        colour = MUTED if panel.idle else WEIGHTED
        axes.set_title(panel.counts, loc="right", fontsize=9, color=colour, pad=pad)


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) → (T,) means over neighbours; fewer of them, as many on both sides, near the ends."""
    reach = max(1, values.size // (2 * SMOOTHED_OVER))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(values.size)
    reached = np.minimum(reach, np.minimum(place, values.size - 1 - place))
    means: NDArray[np.float64] = (sums[place + reached + 1] - sums[place - reached]) / (
        2 * reached + 1
    )
    return means


def _by_stage(series: Series, panel: Panel) -> list[Series]:
    """Parts that no line should join: a stage begins anew, or what rested works again."""
    starts = [first for first, _ in list(panel.stages.values())[1:]]
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
