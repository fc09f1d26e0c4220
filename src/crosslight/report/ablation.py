"""The table and the figure of an ablation: variants of a training beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from crosslight.report.colours import series_colour
from crosslight.report.palette import label, legend_below, new_axes
from crosslight.report.tables import SHOWN, percent, short_name, table

BUDGETS_DIFFER = 0.02
"""Part by which the images seen may differ before the table says so."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One training of one variant.

    Attributes:
        variant: Its name.
        recipe: The recipe that it is a variant of.
        switches: What was changed in it, by name.
        seed: Of the training.
        images: Images seen, over all stages.
        iterations: Over all stages.
        seconds: Training time.
        scores: Protocol → score → fraction, the mean over the protocol's trials.
        chance: The same for a gallery in random order.
        config: The whole configuration, as plain values.
        data: Fingerprint of the training rows.
        layout: Of the data set; None: made before this was kept, as with the next three.
        trial: Split number.
        table: Fingerprint of all rows of the data set.
        code_sha256: Digest of the method's own file; None: it ships.
    """

    variant: str
    recipe: str
    switches: tuple[str, ...]
    seed: int
    images: int
    iterations: int
    seconds: float
    scores: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, Mapping[str, float]]
    config: Mapping[str, Any]
    data: str
    layout: str | None = None
    trial: int | None = None
    table: str | None = None
    code_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A variant over its seeds.

    Attributes:
        variant: Its name.
        finished: Its trainings, by seed.
    """

    variant: str
    finished: tuple[Finished, ...]

    def values(self, protocol: str, score: str) -> list[float]:
        """One fraction per seed; empty where the protocol was not scored."""
        return [f.scores[protocol][score] for f in self.finished if protocol in f.scores]


def as_rows(finished: Sequence[Finished], order: Sequence[str]) -> list[Row]:
    """Trainings by variant, in the given order; others behind it, by name."""
    names = dict.fromkeys([*order, *sorted({one.variant for one in finished})])
    grouped = {n: sorted((f for f in finished if f.variant == n), key=_seed) for n in names}
    return [Row(variant=n, finished=tuple(own)) for n, own in grouped.items() if own]


def ablation_json(rows: Sequence[Row]) -> dict[str, Any]:
    """Every figure of the table, and the trainings behind it."""
    return {
        row.variant: {
            "seeds": [f.seed for f in row.finished],
            "images": [f.images for f in row.finished],
            "seconds": [f.seconds for f in row.finished],
            "scores": {
                protocol: {
                    score: {"mean": fmean(values), "sd": stdev(values) if values[1:] else None}
                    for score in SHOWN
                    if (values := row.values(protocol, score))
                }
                for protocol in _protocols(rows)
            },
            "trainings": [asdict(f) for f in row.finished],
        }
        for row in rows
    }


def ablation_markdown(rows: Sequence[Row], *, title: str) -> str:
    """One table in percent, mean ± sd over seeds, the budget of each variant beside it."""
    protocols = _protocols(rows)
    head = ["variant", "seeds", "images seen", "seconds"]
    head += [f"{short_name(p)} {name}" for p in protocols for name in SHOWN.values()]
    lines: list[list[str]] = []
    for row, name in zip(rows, shown_names(rows), strict=True):
        cells = [name, " ".join(str(f.seed) for f in row.finished)]
        cells.append(f"{fmean(f.images for f in row.finished):,.0f}")
        cells.append(f"{fmean(f.seconds for f in row.finished):.0f}")
        cells += [percent(row.values(p, score)) for p in protocols for score in SHOWN]
        lines.append(cells)
    chance = _chance(rows)
    guessed = [f"{100 * chance[p][score]:.1f}" for p in protocols for score in SHOWN]
    lines.append(["chance", "", "", "", *guessed])
    shown = "\n".join(table(head, lines, words=2))
    return f"# {title}\n\n{shown}\n\n{_remarks(rows)}\n"


def ablation_figure(rows: Sequence[Row]) -> Figure:
    """Rank-1 and mAP of each variant on the first protocol; whiskers are one sd over seeds."""
    protocol = _protocols(rows)[0]
    names = shown_names(rows)
    longest = max(len(name) for name in names)
    figure, axes = new_axes(5.0 + 0.07 * longest, 1.9 + 0.42 * len(rows))
    places = list(range(len(rows)))
    for index, (score, name, marker) in enumerate((("rank1", "rank-1", "o"), ("mAP", "mAP", "D"))):
        colour, shift = series_colour(index), 0.14 * (2 * index - 1)
        for place, row in zip(places, rows, strict=True):
            values = row.values(protocol, score)
            if not values:
                continue
            if values[1:]:
                axes.errorbar(fmean(values), place + shift, xerr=stdev(values), color=colour,
                              linewidth=1.6, capsize=3)  # fmt: skip
                axes.plot(values, [place + shift] * len(values), linestyle="", marker="|",
                          color=colour, markersize=7)  # fmt: skip
            axes.plot(fmean(values), place + shift, marker=marker, color=colour, markersize=6.5,
                      linestyle="", label=name if row is rows[0] else None)  # fmt: skip
        axes.axvline(_chance(rows)[protocol][score], color=colour, linewidth=1.2, linestyle=":")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(left=0)
    label(axes, x="mean and sd over seeds; dotted: chance", title=protocol)
    # Inside there is no corner that no variant may reach.
    legend_below(figure, columns=2)
    return figure


def shown_names(rows: Sequence[Row]) -> list[str]:
    """The variants' names; where each adds a switch to the one before it, only what it adds."""
    names = [row.variant for row in rows]
    added = [
        name.removeprefix(f"{before}+") if name.startswith(f"{before}+") else None
        for before, name in zip(["", *names], names, strict=False)
    ]
    chained = [
        a is not None and (b is not None) for a, b in zip(added, [*added[1:], None], strict=True)
    ]
    shown = []
    for number, name in enumerate(names):
        in_chain = chained[number] or (number > 0 and chained[number - 1])
        shown.append(f"+ {added[number]}" if added[number] and in_chain else name)
    return shown


def _remarks(rows: Sequence[Row]) -> str:
    said = [
        "Percent; each figure is the mean over the protocol's trials, then mean ± sd over seeds "
        "(no sd for one seed). Seconds are those of training."
    ]
    seen = [f.images for row in rows for f in row.finished]
    if max(seen) > (1 + BUDGETS_DIFFER) * min(seen):
        said.append(
            f"The budgets differ: from {min(seen):,} to {max(seen):,} images seen; "
            "`--images` brings them together, as far as each recipe's epochs hold whole batches."
        )
    if len({f.data for row in rows for f in row.finished}) > 1:
        said.append("The variants were not all trained on the same people.")
    return " ".join(said)


def _protocols(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(p for row in rows for f in row.finished for p in f.scores))


def _chance(rows: Sequence[Row]) -> dict[str, Mapping[str, float]]:
    return {p: level for row in rows for f in row.finished for p, level in f.chance.items()}


def _seed(finished: Finished) -> int:
    return finished.seed
