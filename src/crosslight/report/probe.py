"""What a probe of a run measured, from `probe.json`: heat maps and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crosslight.report.colours import INK, ON_DARK, ON_LIGHT
from crosslight.report.tables import spread, table

Content = Mapping[str, Any]
_MAP = "BuPu"
_DARK = 0.55
_WORDS = {"psnr": "PSNR", "ssim": "SSIM", "l1": "L1"}


def probe_figures(content: Content) -> dict[str, Figure]:
    """Title → heat map: what moves each code, in each light; what is read out of each."""
    found: dict[str, Figure] = {}
    parts = content["parts"]
    for light, codes in parts.get("movements", {}).items():
        means = {code: _means(row) for code, row in codes.items()}
        title = f"How far each code of {light} images moves when one factor changes"
        found[title] = _heat_map(means)
    if leakage := parts.get("leakage"):
        found["What a linear probe reads out of each code"] = _heat_map(leakage["known"]["linear"])
    return found


def probe_markdown(content: Content) -> str:
    """Every part as tables, mean ± sd over the draws, and why a part is missing."""
    settings, parts = content["settings"], content["parts"]
    lines = [f"# What {settings['method']} knows, and how true its pictures are", ""]
    lines += [f"{settings['layout']}:{settings['root']}; {_told(settings)}", ""]
    if movements := parts.get("movements"):
        for light, codes in movements.items():
            lines += [f"## What moves a code: {light} images", ""]
            lines += ["0: not at all; 1: as far as the image of somebody else.", ""]
            lines += _table("factor", _turned(codes))
    if leakage := parts.get("leakage"):
        lines += _leakage_lines(leakage)
    if use := parts.get("use"):
        lines += [f"## Finding people by codes ({use['protocol']}), percent", ""]
        lines += _table("compared", use["scores"], digits=1)
    for light, pair in parts.get("swaps", {}).items():
        lines += [f"## Swaps, {light}", "", *_likeness_lines(pair)]
        lines += ["Whom the network that ships takes the pictures for, percent:", ""]
        lines += _table("asked", {"pictures": pair["judged"]}, digits=1)
    for light, place in parts.get("translations", {}).items():
        lines += [f"## Translations to {light}", "", *_likeness_lines(place)]
        lines += ["Rank-1 of the pictures as queries, percent:", ""]
        lines += _table("asked", {"pictures": place["rank1"]}, digits=1)
    if realism := parts.get("realism"):
        lines += ["## Realism", "", *_table("pictures", realism, digits=3)]
    if inception := parts.get("inception"):
        lines += [f"## Realism to Inception, weights {settings['inception'][:8]}", ""]
        lines += _table("pictures", inception, digits=3)
    for part, reason in content["missing"].items():
        lines += [f"{part.capitalize()}: not measured. {reason}", ""]
    return "\n".join(lines)


def _leakage_lines(leakage: Content) -> list[str]:
    lines = ["## What is read out of a code", ""]
    lines += [
        "Balanced accuracy of classes, R2 of numbers, of people the probe has not learnt from.",
        "",
    ]
    scores = leakage["scores"]
    for probe in ("linear", "mlp"):
        having = {
            code: {factor: by[probe] for factor, by in row.items() if probe in by}
            for code, row in scores.items()
        }
        rows = _turned({code: row for code, row in having.items() if row})
        for factor, row in rows.items():
            row["chance"] = [leakage["chance"][factor]]
        lines += [f"### {'Linear probes' if probe == 'linear' else 'Small networks'}", ""]
        lines += _table("factor", rows)
    sizes = ", ".join(f"{code} {size:,}" for code, size in leakage["sizes"].items())
    lines += [f"Numbers in a code: {sizes}.", ""]
    for word, text in (
        ("disentanglement", "knows one factor only"),
        ("completeness", "is known by one code only"),
    ):
        shares = ", ".join(f"{name} {share:.2f}" for name, share in leakage[word].items())
        lines += [f"{word.capitalize()} (1: {text}): {shares}.", ""]
    return lines


def _likeness_lines(place: Content) -> list[str]:
    rows = {
        name: {_measure(key): values for key, values in row.items()}
        for name, row in place.items()
        if name not in ("judged", "rank1")
    }
    rows["0 best floor, 1 taken again"] = rows.pop("scaled")
    return _table("pictures", rows)


def _measure(key: str) -> str:
    word, place = key.split(" ")
    return f"{_WORDS[word]} {'on the person' if place == 'person' else 'around'}"


def _table(
    corner: str, rows: Mapping[str, Mapping[str, Sequence[float]]], *, digits: int = 2
) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    cells = (
        [name, *(spread(row.get(column), digits) for column in columns)]
        for name, row in rows.items()
    )
    return [*table([corner, *columns], cells), ""]


def _told(settings: Content) -> str:
    return (
        f"{settings['people']} people, {settings['draws']} draws of {settings['pairs']} pairs and "
        f"{settings['changed']} changed images, from seed {settings['seed']}. Mean ± sd over draws."
    )


def _turned(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    turned: dict[str, dict[str, Any]] = {}
    for name, row in rows.items():
        for column, value in row.items():
            turned.setdefault(column, {})[name] = value
    return turned


def _means(row: Mapping[str, Iterable[float]]) -> dict[str, float]:
    return {name: fmean(values) for name, values in row.items()}


def _heat_map(rows: Mapping[str, Mapping[str, float]]) -> Figure:
    """Codes down, factors across, each cell with its number, coloured from 0 to 1."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    values: NDArray[np.float64] = np.array(
        [[row.get(column, np.nan) for column in columns] for row in rows.values()]
    )
    longest = max(len(name) for name in rows)
    figure = Figure(
        figsize=(0.9 + 0.085 * longest + 0.62 * len(columns), 1.7 + 0.34 * len(rows)),
        layout="constrained",
        facecolor="white",
    )
    axes = figure.add_subplot()
    axes.imshow(np.clip(values, 0, 1), cmap=_MAP, vmin=0, vmax=1, aspect="auto")
    for place, value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = ON_DARK if value > _DARK else ON_LIGHT
            axes.text(
                place[1],
                place[0],
                f"{value:.2f}",
                color=colour,
                fontsize=9,
                ha="center",
                va="center",
            )
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.tick_params(colors=INK, labelsize=9.5, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
