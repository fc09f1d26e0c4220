"""The table, the figures and the picture of a leaderboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, stdev
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from crosslight.evaluation.protocols.bootstrap import COVERAGE, DRAWS
from crosslight.report.ablation import BUDGETS_DIFFER
from crosslight.report.colours import INK, MUTED, series_colour
from crosslight.report.palette import label, quiet
from crosslight.report.standings import (
    DEVIATIONS,
    PAIRED,
    Finished,
    Gap,
    Standing,
    Standings,
    Tried,
    best_rate,
)
from crosslight.report.tables import SHOWN, percent, short_name, table

NOT_TOLD_APART = "="
_ROW_IN = 0.42


def leaderboard_json(
    board: Mapping[str, Any], standings: Sequence[Standings], tried: Sequence[Tried]
) -> dict[str, Any]:
    """Every figure of the table; fractions. The trainings behind them are the board's rows.

    Args:
        board: As plain values.
        standings: Of each data set.
        tried: Learning rates.
    """
    return {
        "board": dict(board),
        "data": {one.data: _standings_json(one) for one in standings},
        "tried": [{k: v for k, v in asdict(one).items() if k != "config"} for one in tried],
    }


def _standings_json(standings: Standings) -> dict[str, Any]:
    start = standings.start
    return {
        "title": standings.title,
        "compared_with": standings.first,
        "chance": {
            p: {score: level[score] for score in SHOWN} for p, level in standings.chance.items()
        },
        "start": None if start is None else {"scores": start.scores, "fault": start.fault},
        "systems": [_standing_json(standings, one) for one in standings.systems],
    }


def _standing_json(standings: Standings, one: Standing) -> dict[str, Any]:
    scores = {
        protocol: {
            score: {
                "mean": fmean(values),
                "sd": stdev(values) if values[1:] else None,
                "trial_sd": fmean(one.values(protocol, f"{score}_sd")),
                "interval": _interval(one, protocol, score),
                "ahead": _gap_json(standings.gap(one, protocol, score)),
            }
            for score in SHOWN
            if (values := one.values(protocol, score))
        }
        for protocol in standings.protocols
    }
    return {
        "system": one.system,
        "seeds": [row.seed for row in one.rows],
        "scores": {protocol: found for protocol, found in scores.items() if found},
        **_costs_json(one),
        "failed": {str(row.seed): row.fault for row in one.failed},
    }


def _costs_json(one: Standing) -> dict[str, Any]:
    """Means over seeds; None where nothing was measured."""
    probes = [row.probes for row in one.rows if row.probes]
    return {
        "images": [row.images for row in one.rows],
        "lr_factors": [row.lr_factor for row in one.rows],
        "training_cpu_s_per_1000_images": _mean(
            row.cost.training_per_1000 for row in one.rows if row.cost
        ),
        "embedding_cpu_s_per_1000_images": _mean(
            row.cost.embedding_per_1000 for row in one.rows if row.cost
        ),
        "parameters": _mean(row.cost.parameters for row in one.rows if row.cost),
        "embedding_parameters": _mean(
            row.cost.embedding_parameters for row in one.rows if row.cost
        ),
        "swap_truth": _mean(probe.swaps for probe in probes),
        "leakage": _mean(probe.leakage for probe in probes),
    }


def _interval(one: Standing, protocol: str, score: str) -> list[float] | None:
    found = one.interval(protocol, score) if score in PAIRED else None
    return None if found is None else [found.low, found.high]


def _gap_json(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    return {**asdict(gap.people), "seeds_sd": gap.seeds_sd, "told_apart": gap.told_apart}


def leaderboard_markdown(
    board: Mapping[str, Any], standings: Sequence[Standings], tried: Sequence[Tried]
) -> str:
    """A page: the budget, the picture, and two tables of each data set, in percent.

    Args:
        board: As plain values.
        standings: Of each data set.
        tried: Learning rates.
    """
    lines = ["# Leaderboard", "", *_budget(board, standings, tried), ""]
    lines += ["![Rank-1 and mAP of every system](leaderboard.png)", ""]
    for one in standings:
        lines += [f"## {one.title}", "", *_scores(one), ""]
        if len(one.systems) > 1:
            alike = f"`{NOT_TOLD_APART}`: rank-1 or mAP cannot be told from that of {one.first}."
            lines += [alike, ""]
        lines += _costs(one, board, tried)
        lines += [f"{whose}: {fault}\n" for whose, fault in _faults(one, tried)]
    lines += [_remarks(standings, rates=bool(board["rates"]))]
    return "\n".join(lines).rstrip() + "\n"


def _budget(
    board: Mapping[str, Any], standings: Sequence[Standings], tried: Sequence[Tried]
) -> list[str]:
    start = f"`{board['backbone']}` with the weights `{board['weights']}`"
    if board["weights"] == "none":
        start = f"a `{board['backbone']}` without weights"
    said = [
        f"Every system begins from {start}, sees {board['images']:,} images of "
        f"{board['height']} x {board['width']} and keeps its last weights; losses, stages, batches "
        f"and optimizers are its own. Arithmetic: {board['precision']}."
    ]
    rows = [row for one in standings for row in _rows(one)]
    noisy = list(dict.fromkeys(row.system for row in rows if row.from_noise))
    if noisy:
        said.append(f"Without a network that could, {', '.join(noisy)} begins from noise.")
    if board["rates"]:
        by = {t.data: f"({t.protocol}) of {t.people}" for t in tried if t.fault is None}
        whom = f"the mAP {' or '.join(by.values())} people" if by else "the mAP of people"
        share = board["try_share"]
        seen = "all images" if share == 1 else f"{share:.0%} of the images"
        said.append(
            f"Learning rates: {len(board['rates'])} tries for each system, "
            f"{', '.join(f'{factor:g}' for factor in board['rates'])} times its recipe's, each "
            f"with {seen}; {whom} who are neither trained on nor tested chose."
        )
        said += _not_as_tried(board, standings, tried)
    else:
        said.append("Learning rates are those of the recipes.")
    if board["set"]:
        said.append(f"Changed in all: {', '.join(f'`{text}`' for text in board['set'])}.")
    data = " ".join(f"{name}:ROOT" for name in board["data"])
    days = sorted({row.made["day"] for row in rows if row.made})
    when = "" if not days else f" Rows of {days[0]}" + (f" to {days[-1]}" if days[1:] else "")
    if board["sha256"]:
        data += " --weights PATH"
    return [
        " ".join(said) + (f"{when}." if when else ""),
        "",
        "The command that continues it:",
        "",
        "```sh",
        f"crosslight leaderboard BOARD --data {data}",
        "```",
    ]


def _not_as_tried(
    board: Mapping[str, Any], standings: Sequence[Standings], tried: Sequence[Tried]
) -> list[str]:
    """Names the rows that are older than the tries, or than their end."""
    left = []
    for one in standings:
        names = []
        for each in one.systems:
            own = [t for t in tried if (t.system, t.data) == (each.system, one.data)]
            known = {t.lr_factor for t in own} >= set(board["rates"])
            best = best_rate(own) if known else None
            if any(row.lr_factor != best for row in each.rows):
                names.append(each.system)
        if names:
            whom = "all" if len(names) == len(one.systems) else ", ".join(names)
            left.append(f"{whom} on {one.title}")
    if not left:
        return []
    return [f"Not yet with a rate chosen so: {'; '.join(left)}."]


def _rows(standings: Standings) -> list[Finished]:
    return [row for one in standings.systems for row in (*one.rows, *one.failed)]


def _scores(standings: Standings) -> list[str]:
    protocols = standings.protocols
    head = ["system", "seeds"]
    head += [f"{short_name(p)} {word}" for p in protocols for word in SHOWN.values()]
    lines: list[list[str]] = []
    for one in standings.systems:
        seeds = " ".join(str(row.seed) for row in one.rows) or "failed"
        cells = [_marked(standings, one, p, score) for p in protocols for score in SHOWN]
        lines.append([one.system, seeds, *cells])
    if standings.start is not None and not standings.start.fault:
        own = standings.start.scores
        shown = [[own[p][score]] if p in own else [] for p in protocols for score in SHOWN]
        cells = [percent(values) for values in shown]
        lines.append(["the start, untrained", "", *cells])
    chance = standings.chance
    lines.append(
        ["chance", "", *(percent([chance[p][score]]) for p in protocols for score in SHOWN)]
    )
    return table(head, lines, words=2)


def _marked(standings: Standings, one: Standing, protocol: str, score: str) -> str:
    text = percent(one.values(protocol, score))
    gap = standings.gap(one, protocol, score)
    return f"{NOT_TOLD_APART} {text}" if gap is not None and not gap.told_apart else text


def _costs(standings: Standings, board: Mapping[str, Any], tried: Sequence[Tried]) -> list[str]:
    head = ["system", "images", "CPU-s per 1,000 trained", "embedded", "parameters, million"]
    head += ["of them to embed", "swap truth", "leakage"]
    if board["rates"]:
        head += [f"mAP at {factor:g}" for factor in board["rates"]]
    lines: list[list[str]] = []
    for one in standings.systems:
        found = _costs_json(one)
        cells = [
            one.system,
            f"{fmean(found['images']):,.0f}" if found["images"] else "–",
            _number(found["training_cpu_s_per_1000_images"], 1),
            _number(found["embedding_cpu_s_per_1000_images"], 1),
            _number(found["parameters"], 2, 1e-6),
            _number(found["embedding_parameters"], 2, 1e-6),
            _number(found["swap_truth"], 2),
            _number(found["leakage"], 2),
        ]
        chosen = set(found["lr_factors"])
        for factor in board["rates"]:
            own = [
                t
                for t in tried
                if (t.system, t.data, t.lr_factor) == (one.system, standings.data, factor)
            ]
            text = (
                "failed" if own and own[0].fault else _number(own[0].score if own else None, 1, 100)
            )
            cells.append(f"**{text}**" if own and factor in chosen else text)
        lines.append(cells)
    return [*table(head, lines), ""]


def _faults(standings: Standings, tried: Sequence[Tried]) -> list[tuple[str, str]]:
    """Whose, and why."""
    start = [] if standings.start is None or not standings.start.fault else [standings.start]
    rows = [*start, *(row for one in standings.systems for row in one.failed)]
    told = [(f"{row.system}, seed {row.seed}", row.fault or "") for row in rows]
    lost = [t for t in tried if t.data == standings.data and t.fault]
    return told + [(f"{t.system}, learning rate x {t.lr_factor:g}", t.fault or "") for t in lost]


def _remarks(standings: Sequence[Standings], *, rates: bool) -> str:
    said = [
        "Percent; each figure is the mean over the protocol's trials, then mean ± sd over seeds "
        "(no sd for one seed).",
        "Two systems cannot be told apart where the interval about their difference that holds "
        f"{COVERAGE:.0%} of {DRAWS:,} paired resamplings of the people who are asked for in the "
        f"first trial holds 0, or the difference is not above {DEVIATIONS} sd over seeds.",
        "CPU-seconds count all cores and the loading processes; of a training that was cut off, "
        "those after that.",
    ]
    if rates:
        said.append("mAP at: of validation people, with each learning rate; bold: the row's own.")
    rows = [row for one in standings for row in _rows(one)]
    seen = [row.images for row in rows if row.images]
    if seen and max(seen) > (1 + BUDGETS_DIFFER) * min(seen):
        said.append(
            f"The budgets differ, from {min(seen):,} to {max(seen):,} images seen: a recipe's "
            "epochs hold whole batches."
        )
    if any(row.probes for row in rows):
        said.append(
            "From `crosslight probe`: swap truth is the SSIM of drawn swaps on the person, 0 the "
            "best floor, 1 the true scene taken again; leakage is 1 minus the codes' mean "
            "disentanglement, 0 where each knows one thing only."
        )
    if len({row.made.get("processor") for row in rows if row.made}) > 1:
        said.append("The rows are of several kinds of processors: CPU-seconds do not compare.")
    return " ".join(said)


def leaderboard_figure(standings: Sequence[Standings]) -> Figure:
    """Rank-1 and mAP by each data set's first protocol: a panel for each.

    Bars are the intervals by resampling people, ticks the seeds; lines the start and chance.
    """
    shown = [one for one in standings if one.protocols]
    longest = max((len(each.system) for one in shown for each in one.systems), default=4)
    rows = [max(1, len(one.systems)) for one in shown]
    # One below the other: side by side, a page of documentation would shrink them.
    heights = [1.3 + _ROW_IN * count for count in rows]
    figure = Figure(
        figsize=(6.0 + 0.075 * longest, 0.4 + sum(heights)),
        layout="constrained",
        facecolor="white",
    )
    grid = figure.add_gridspec(max(1, len(shown)), 1, height_ratios=heights or None)
    for number, one in enumerate(shown):
        _panel(figure.add_subplot(grid[number]), one)
    handles = figure.axes[0].get_legend_handles_labels() if figure.axes else ([], [])
    figure.legend(
        *handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9.5, labelcolor=INK
    )
    return figure


def _panel(axes: Axes, standings: Standings) -> None:
    quiet(axes)
    protocol = standings.protocols[0]
    systems = [one for one in standings.systems if one.values(protocol, "mAP")]
    for index, (score, marker) in enumerate((("rank1", "o"), ("mAP", "D"))):
        colour, shift = series_colour(index), 0.16 * (2 * index - 1)
        for place, one in enumerate(systems):
            _mark(axes, one, protocol, score, place + shift, colour=colour, marker=marker)
        axes.plot([], [], linestyle="", marker=marker, color=colour, label=SHOWN[score])
        start = standings.start
        if start is not None and protocol in start.scores:
            axes.axvline(start.scores[protocol][score], color=colour, linewidth=1.2, linestyle="--")
        axes.axvline(standings.chance[protocol][score], color=colour, linewidth=1.2, linestyle=":")
    axes.plot([], [], color=MUTED, linestyle="--", linewidth=1.2, label="the start, untrained")
    axes.plot([], [], color=MUTED, linestyle=":", linewidth=1.2, label="chance")
    axes.set_yticks(range(len(systems)), [one.system for one in systems])
    axes.set_ylim(max(len(systems), 1) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(left=0)
    label(
        axes,
        x=f"{protocol}\nbars: {COVERAGE:.0%} by resampling people; ticks: seeds",
        title=standings.title.replace(" (", "\n("),
    )


def _mark(
    axes: Axes, one: Standing, protocol: str, score: str, y: float, *, colour: str, marker: str
) -> None:
    values = one.values(protocol, score)
    interval = one.interval(protocol, score)
    if interval is not None:
        axes.plot(
            [interval.low, interval.high],
            [y, y],
            color=colour,
            linewidth=3.2,
            alpha=0.35,
            solid_capstyle="butt",
        )
    if values[1:]:
        axes.plot(values, [y] * len(values), linestyle="", marker="|", color=colour, markersize=8)
    axes.plot(fmean(values), y, marker=marker, color=colour, markersize=6)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _number(value: float | None, digits: int, factor: float = 1.0) -> str:
    return "–" if value is None else f"{factor * value:,.{digits}f}"
