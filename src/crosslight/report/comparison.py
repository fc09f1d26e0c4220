"""The table and the picture of runs beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from crosslight.evaluation.protocols.bootstrap import COVERAGE, DRAWS
from crosslight.report.colours import series_colour
from crosslight.report.palette import label, legend_below, new_axes
from crosslight.report.tables import SHOWN, percent, table


def comparison_markdown(content: Mapping[str, Any]) -> str:
    """A table a protocol, in percent, the best run first; takes `Comparison.to_json`."""
    lines = [f"# {content['data']}", ""]
    for protocol, best in content["best"].items():
        lines += [f"## {protocol}", ""]
        head = ["run", *SHOWN.values(), f"behind {best}: rank-1", "mAP"]
        rows = []
        for run in sorted(content["runs"], key=lambda run: -run["scores"][protocol]["mAP"]):
            scores = [percent([run["scores"][protocol][key]]) for key in SHOWN]
            behind = run["behind"].get(protocol)
            gaps = [_gap(behind[key]) if behind else "" for key in ("rank1", "mAP")]
            rows.append([run["name"], *scores, *gaps])
        chance = [percent([content["chance"][protocol][key]]) for key in SHOWN]
        lines += [*table(head, [*rows, ["chance", *chance, "", ""]]), ""]
    lines += [
        "Percent, means over the protocol's trials. Behind: the difference, and about it the "
        f"interval that holds {COVERAGE:.0%} of {DRAWS:,} paired resamplings of the people who are "
        "asked for in the first trial; = where it holds 0, so that the two cannot be told apart on "
        "these people. Trainings with other seeds differ more.",
        "",
    ]
    scored = {run["name"]: run["scored"] for run in content["runs"]}
    if len(set(scored.values())) > 1:
        told = "; ".join(f"{name}: {how}" for name, how in scored.items())
        lines += [f"They were scored in different ways, which differ by themselves: {told}.", ""]
    return "\n".join(lines)


def comparison_figure(content: Mapping[str, Any]) -> Figure:
    """MAP and rank-1 of every run by the first protocol."""
    protocol = next(iter(content["best"]))
    runs = sorted(content["runs"], key=lambda run: -run["scores"][protocol]["mAP"])
    longest = max(len(run["name"]) for run in runs)
    figure, axes = new_axes(4.6 + 0.07 * longest, 1.7 + 0.34 * len(runs))
    for index, (key, marker) in enumerate((("rank1", "o"), ("mAP", "D"))):
        values = [run["scores"][protocol][key] for run in runs]
        places, colour = range(len(runs)), series_colour(index)
        axes.plot(values, places, marker=marker, linestyle="", color=colour, label=SHOWN[key])
        axes.axvline(content["chance"][protocol][key], color=colour, linewidth=1.2, linestyle=":")
    axes.set_yticks(range(len(runs)), [run["name"] for run in runs])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(left=0)
    label(axes, x="dotted: chance", title=f"{content['data']}, {protocol}")
    legend_below(figure, columns=2)
    return figure


def _gap(difference: Mapping[str, float]) -> str:
    mean, low, high = (100 * difference[key] for key in ("mean", "low", "high"))
    return f"{'' if difference['told_apart'] else '= '}{mean:.1f} ({low:.1f} to {high:.1f})"
