"""Asks a store for the people in an image: a list, JSON, or a picture."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from crosslight.commands.flag_numbers import require_from_to
from crosslight.commands.gallery import described, place_of
from crosslight.commands.gallery_filter import light_named
from crosslight.config import require_range
from crosslight.data.depth import DepthTally
from crosslight.data.images import read_with_depth
from crosslight.experiments.embedder import embedder_for
from crosslight.files import printable, require_place, written_whole
from crosslight.gallery.opening import open_store
from crosslight.gallery.options import Asking
from crosslight.gallery.rows import Filter
from crosslight.gallery.search import Answer, Searcher
from crosslight.gallery.store import Store
from crosslight.report.grid import Cell, Verdict, image_grid
from crosslight.types import DeepRange, Modality

MOST_RESULTS = 100_000

VERDICTS = {
    "in-gallery": "This person seems to be in the gallery.",
    "not-in-gallery": "This person seems not to be in the gallery: nobody is near enough.",
    "unknown": "Whether this person is in the gallery is unknown: calibrate the store first.",
}


def search(
    store: str,
    image: Path,
    asking: Asking,
    where: Filter,
    *,
    model: Path | None,
    as_json: bool,
    sheet: Path | None,
    deep_range: DeepRange | None,
) -> Answer:
    """Prints the ranked list."""
    require_range(deep_range, "--deep-range")
    require_from_to("top", asking.top, 1, MOST_RESULTS)
    if sheet is not None:
        require_place(sheet)
    depths = DepthTally()
    with open_store(store) as opened:
        stated = deep_range or opened.info.deep_range
        picture, depth = read_with_depth(image, deep_range=stated)
        depths.add(depth)
        searcher = Searcher(opened, embedder_for(opened.info, model))
        answer = searcher.search(
            picture,
            k=asking.top,
            where=where,
            modality=light_named(asking.query_modality),
            exact=asking.exact,
        )
        if sheet is not None:
            drawn = sheet_of(opened, [(picture, printable(image.name), answer)])
            with written_whole(sheet) as file:
                drawn.save(file, format="PNG")
    if as_json:
        print(json.dumps(to_json(image, answer)))
        return answer
    if depths.narrow:
        remedy = depths.remedy("Search again with --deep-range {0} {1}.")
        print(f"Warning: {depths.told()} {remedy}")
    print(f"{image}: {Modality(answer.modality).name.lower()}, {1000 * answer.seconds:.0f} ms")
    for result in answer.results:
        chance = "" if result.probability is None else f"  {result.probability:6.1%}"
        print(
            f"{result.rank:4}  {result.hit.distance:.3f}{chance}  "
            f"{described(asdict(result.hit))}  {result.hit.path}"
        )
    print(VERDICTS[answer.verdict] if answer.results else "No row fits the filters.")
    if sheet is not None:
        print(f"Sheet: {sheet}")
    return answer


def to_json(image: Path, answer: Answer) -> dict[str, object]:
    """The answer as plain values."""
    return {
        "query": printable(image),
        "modality": Modality(answer.modality).name.lower(),
        "verdict": answer.verdict,
        "false_match_rate": answer.false_match_rate,
        "seconds": answer.seconds,
        "results": [
            {
                "rank": result.rank,
                "probability": result.probability,
                "accepted": result.accepted,
                **asdict(result.hit),
                "modality": Modality(result.hit.modality).name.lower(),
            }
            for result in answer.results
        ],
    }


def sheet_of(
    store: Store,
    answers: list[tuple[Image.Image, str, Answer]],
    *,
    people: list[int] | None = None,
) -> Image.Image:
    """Draws queries and their results from the store's thumbnails, a row per query.

    Args:
        store: That gave the answers.
        answers: Query, its name, and the answer.
        people: The person of each query where it is known; results are then marked right or wrong.
    """
    rows = []
    for number, (picture, name, answer) in enumerate(answers):
        found = store.get([result.hit.id for result in answer.results])
        thumbnails = dict(zip(found.ids, found.frame["thumbnail"].to_list(), strict=True))
        light = Modality(answer.modality).name.lower()
        row = [Cell(image=picture, verdict=Verdict.QUERY, lines=(name, light))]
        for result in answer.results:
            verdict = Verdict.UNJUDGED
            if people is not None and result.hit.pid is not None:
                right = result.hit.pid == people[number]
                verdict = Verdict.RIGHT if right else Verdict.WRONG
            chance = "" if result.probability is None else f"  {result.probability:.0%}"
            lines = (
                place_of(result.hit.cam, result.hit.modality),
                f"{result.hit.distance:.3f}{chance}",
            )
            content = thumbnails.get(result.hit.id)
            image = Image.open(io.BytesIO(content)) if content else None
            row.append(Cell(image=image, verdict=verdict, lines=lines))
        rows.append(row)
    return image_grid(rows, cell_width=80, cell_height=160)
