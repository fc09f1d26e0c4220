"""The report: one HTML file that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from crosslight.data.images import read_image
from crosslight.data.table import SampleTable, junk
from crosslight.errors import ConfigError
from crosslight.files import write_text
from crosslight.report.curves import cmc_figure
from crosslight.report.distances import PairHistogram, distance_figures, pair_histograms
from crosslight.report.embedded import Chart, Picture, as_chart, as_jpeg, colour_variables
from crosslight.report.embedding_map import map_embeddings, map_figures
from crosslight.report.inputs import ReportInputs
from crosslight.report.probe import probe_figures
from crosslight.report.ranked_lists import Answer, RankedList, place_of, ranked_lists, thumbnail
from crosslight.report.reliability import reliability_figure
from crosslight.report.symbols import as_html
from crosslight.report.training_log import read_log
from crosslight.report.training_panels import Panel, training_panels
from crosslight.report.verdict import (
    HEADINGS,
    percent,
    score_row,
    verdict_sentences,
)

__all__ = ["ReportInputs", "build_report", "render_report"]

PREVIEWS = 6
SHEET_WIDTH_PX = 1600
SHEET_HEIGHT_PX = 2400


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """A picture and the line below it."""

    picture: Picture | Chart
    caption: str


@dataclass(frozen=True, kw_only=True)
class Tile:
    """An answer of a ranked list as it stands on the page."""

    picture: Picture
    right: bool
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PrintedList:
    """A ranked list as it stands on the page."""

    group: str
    query: Picture
    query_lines: tuple[str, ...]
    heading: str
    answers: tuple[Tile, ...]
    first: Tile | None


def build_report(inputs: ReportInputs, out: Path) -> Path:
    """Writes the report, replacing an older one only when the new one is complete.

    Args:
        inputs: What happened.
        out: The HTML file; its folder is made.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` cannot be written.
    """
    page = render_report(inputs)
    try:
        write_text(out, page)
    except OSError as error:
        raise ConfigError(
            f"The report cannot be written to {out} ({error.strerror}); give another file that "
            f"can be written, on a disk with {len(page) // 2**20 + 1} MB of space."
        ) from error
    return out


def render_report(inputs: ReportInputs) -> str:
    """The whole page as text."""
    table, pids = inputs.table, inputs.known_pids
    people = np.unique(pids[~junk(pids)]).size
    histograms = pair_histograms(inputs.features, pids, table.cams, table.modality)
    rows = [
        score_row(name, result, inputs.chance[name], inputs.start.get(name))
        for name, result in inputs.results.items()
    ]
    lead = next(iter(inputs.results.values()))
    training = _training_charts(inputs)
    environment = Environment(
        loader=PackageLoader("crosslight.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        inputs=inputs,
        people=people,
        verdict=verdict_sentences(rows[0], lead, table, people, histograms),
        headings=HEADINGS,
        rows=rows,
        cmc=_cmc_picture(inputs),
        reliability=_reliability_picture(inputs),
        search_sheet=_search_picture(inputs),
        training=training,
        weighed=any(panel.weight and panel.counts for panel, _ in training),
        symbol=as_html,
        light_colours=colour_variables(dark=False),
        dark_colours=colour_variables(dark=True),
        lists=_printed_lists(inputs),
        distances=_distance_pictures(histograms),
        distance_names=sorted({result.distance for result in inputs.results.values()}),
        map=_map_pictures(inputs),
        probe=_probe_pictures(inputs),
        probe_sheets=_probe_sheets(inputs.probe_sheets),
        sheet=_sheet_picture(inputs),
        previews=_preview_pictures(inputs.previews),
        config=yaml.safe_dump(_plain(inputs.config), sort_keys=False, allow_unicode=True),
    )


def _cmc_picture(inputs: ReportInputs) -> Chart:
    figure = cmc_figure(
        {name: result.cmc for name, result in inputs.results.items()},
        {name: inputs.chance[name].cmc for name in inputs.results},
    )
    said = "; ".join(
        f"{name}: {percent(result.cmc[0])} % at rank 1, {percent(result.cmc[-1])} % at rank "
        f"{len(result.cmc)}"
        for name, result in inputs.results.items()
    )
    return as_chart(figure, f"CMC curves on {inputs.data_name}. {said}.")


def _training_charts(inputs: ReportInputs) -> list[tuple[Panel, Chart]]:
    made = []
    for panel in training_panels(read_log(inputs.log), inputs.terms):
        what = f"{panel.name} {panel.counts}".strip()
        made.append((panel, as_chart(panel.figure(), f"{what} over training: {panel.ends}.")))
    return made


def _distance_pictures(histograms: list[PairHistogram]) -> list[Captioned]:
    if not histograms:
        return []
    made = []
    for histogram, figure in zip(histograms, distance_figures(histograms), strict=True):
        if histogram.auc is None or histogram.overlap is None:
            said = "only one kind of pairs exists"
        else:
            said = f"overlap {percent(histogram.overlap)} %, AUC {histogram.auc:.3f}"
        alt = f"Distances of same-person and different-person pairs {histogram.name}: {said}."
        made.append(Captioned(picture=as_chart(figure, alt), caption=f"{said}; {histogram.rule}."))
    return made


def _map_pictures(inputs: ReportInputs) -> list[Captioned]:
    pids, modality = inputs.known_pids, inputs.table.modality
    found = map_embeddings(inputs.features, pids, modality)
    if found is None:
        return []
    what = f"{found.rows.size:,} images of {found.people} of {found.people_in_all} people"
    figures = map_figures(found, pids, modality)
    captions = (
        f"Coloured by person; the number is the person's id. {what}.",
        "The same map, coloured by modality: where the two mix, the model sees through the light.",
    )
    return [
        Captioned(picture=as_chart(figure, f"Map of the embeddings. {caption}"), caption=caption)
        for figure, caption in zip(figures, captions, strict=False)
    ]


def _probe_pictures(inputs: ReportInputs) -> list[Captioned]:
    if not inputs.probe:
        return []
    return [
        Captioned(picture=as_chart(figure, title), caption=f"{title}.")
        for title, figure in probe_figures(inputs.probe).items()
    ]


def _probe_sheets(paths: Sequence[Path]) -> list[Captioned]:
    made = []
    for path in paths:
        said = f"{path.stem.replace('-', ' ').capitalize()}, and the truth."
        picture = as_jpeg(
            read_image(path), said, max_width=SHEET_WIDTH_PX, max_height=SHEET_HEIGHT_PX
        )
        made.append(Captioned(picture=picture, caption=said))
    return made


def _reliability_picture(inputs: ReportInputs) -> Captioned | None:
    if not inputs.calibration:
        return None
    said = ". ".join(f"{name}: {c.sentence}" for name, c in inputs.calibration.items()) + "."
    figure = reliability_figure(inputs.calibration)
    return Captioned(picture=as_chart(figure, f"Calibration. {said}"), caption=said)


def _search_picture(inputs: ReportInputs) -> Picture | None:
    if inputs.search_sheet is None:
        return None
    return as_jpeg(
        inputs.search_sheet,
        "Infrared queries on the left, the nearest enrolled people to the right of them",
        max_width=SHEET_WIDTH_PX,
        max_height=SHEET_HEIGHT_PX,
    )


def _sheet_picture(inputs: ReportInputs) -> Picture | None:
    if inputs.contact_sheet is None:
        return None
    return as_jpeg(
        inputs.contact_sheet,
        f"Contact sheet of {inputs.data_name}",
        max_width=SHEET_WIDTH_PX,
        max_height=SHEET_HEIGHT_PX,
    )


def _preview_pictures(paths: Sequence[Path]) -> list[Captioned]:
    """At most `PREVIEWS` of them, spread evenly, the last one among them."""
    count = min(PREVIEWS, len(paths))
    chosen = [paths[(n + 1) * len(paths) // count - 1] for n in range(count)]
    made = []
    for path in chosen:
        said = f"After {int(path.stem):,} iterations."
        picture = as_jpeg(
            read_image(path),
            f"Preview. {said}",
            max_width=SHEET_WIDTH_PX,
            max_height=SHEET_HEIGHT_PX,
        )
        made.append(Captioned(picture=picture, caption=said))
    return made


def _printed_lists(inputs: ReportInputs) -> dict[str, list[PrintedList]]:
    """Protocol → its lists; the leading protocol gets more of them than the others."""
    printed = {}
    for number, (name, result) in enumerate(inputs.results.items()):
        if result.per_query is None:
            continue
        sizes = (4, 3, 4) if number == 0 else (2, 1, 2)
        best, middle, worst = sizes
        chosen = ranked_lists(
            result.per_query, inputs.table.pids, best=best, middle=middle, worst=worst
        )
        printed[name] = [_printed(ranked, inputs.table) for ranked in chosen]
    return printed


def _printed(ranked: RankedList, table: SampleTable) -> PrintedList:
    pid, place = int(table.pids[ranked.row]), place_of(table, ranked.row)
    # The first right answer takes the place of the last one, so that all of it is in sight.
    shown = ranked.answers if ranked.first is None else ranked.answers[:-1]
    return PrintedList(
        group=ranked.group,
        query=thumbnail(table, ranked.row, f"Query: person {pid}, {place}"),
        query_lines=("query", *place.split(", "), f"person {pid}"),
        heading=f"AP {percent(ranked.average_precision)} % · first right answer at rank "
        f"{ranked.first_rank}",
        answers=tuple(_tile(answer, table, f"Rank {rank}") for rank, answer in enumerate(shown, 1)),
        first=None
        if ranked.first is None
        else _tile(ranked.first, table, f"Rank {ranked.first_rank}", is_far=True),
    )


def _tile(answer: Answer, table: SampleTable, rank: str, *, is_far: bool = False) -> Tile:
    place = place_of(table, answer.row)
    verdict = "right" if answer.right else "wrong"
    alt = f"{rank}, {verdict}: person {table.pids[answer.row]}, {place}"
    return Tile(
        picture=thumbnail(table, answer.row, alt),
        right=answer.right,
        lines=(*((rank.lower(),) if is_far else ()), *place.split(", "), f"{answer.distance:.3f}"),
    )


def _plain(value: Any) -> Any:
    """Values that YAML can write: tuples and paths are the usual strangers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
