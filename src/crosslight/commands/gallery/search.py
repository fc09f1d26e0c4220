"""Asks a store for the people in images: lists, JSON, a table, or a picture."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from PIL import Image

from crosslight.commands.gallery.filter import filter_from, light_named
from crosslight.commands.gallery.stores import described, named, place_of
from crosslight.config import require_range
from crosslight.data.depth import DepthTally
from crosslight.data.folders import images_below
from crosslight.data.images import read_with_depth
from crosslight.drawing.pictures import write_png
from crosslight.errors import ConfigError, DataError
from crosslight.experiments.embedder import embedder_for
from crosslight.files import printable, require_place, sha256_of, write_text
from crosslight.gallery.audit import COMMAND, audit_of, filter_told, this_user
from crosslight.gallery.enrolment import THUMBNAIL_PX
from crosslight.gallery.legibility import fault_of
from crosslight.gallery.options import Asking, Where
from crosslight.gallery.people.names import Names, names_of
from crosslight.gallery.search import Answer, Searcher
from crosslight.gallery.spreadsheet import as_csv
from crosslight.gallery.stores.opening import open_store
from crosslight.gallery.stores.store import Store
from crosslight.report.grid import Cell, Verdict, image_grid
from crosslight.types import DeepRange, Modality

TELLING = 0.5
"""Share of enrolled people's images that is found, below which "nobody is near" says little."""

COLUMNS = (
    *("query", "rank", "distance", "probability", "id", "path"),
    *("pid", "person", "cam", "camera", "modality", "time", "track"),
)
"""Of the table of results."""


def search(
    store: str,
    images: Sequence[Path],
    asking: Asking,
    meant: Where,
    *,
    model: Path | None,
    as_json: bool,
    sheet: Path | None,
    csv: Path | None = None,
    deep_range: DeepRange | None,
    audit: Path | None = None,
) -> None:
    """Prints the ranked list of each image, in the order of their names within a folder."""
    _require(deep_range, sheet, csv)
    log = audit_of(audit)
    queries = _queries(images)
    depths, unread = DepthTally(), list[str]()
    shown: list[tuple[Image.Image, str, Answer]] = []
    table: list[dict[str, object]] = []
    with open_store(store) as opened:
        where = filter_from(meant, opened)
        searcher = Searcher(opened, embedder_for(opened.info, model))
        is_empty = not opened.count()
        stated = deep_range or opened.info.deep_range
        for image, picture in _pictures(queries, stated, depths, unread):
            answer = searcher.search(
                picture,
                k=asking.top,
                where=where,
                modality=light_named(asking.query_modality),
                exact=asking.exact,
                false_alarms=asking.false_alarms,
            )
            if log is not None:
                what = {"store": printable(store), "sha256": sha256_of(image), **filter_told(where)}
                log.write(
                    "search", who=this_user(), origin=COMMAND, what=what, rows=len(answer.results)
                )
            names = names_of(opened, [result.hit.pid for result in answer.results])
            fault = fault_of(picture)
            if as_json:
                print(json.dumps(to_json(image, answer, names, fault)))
            else:
                _print(image, answer, names, fault)
                print(_nobody_there(store) if is_empty else verdict_of(answer, store))
            if csv is not None:
                table += [{"query": printable(image), **one} for one in _results(answer, names)]
            if sheet is not None:
                picture.thumbnail(THUMBNAIL_PX, Image.Resampling.LANCZOS)
                shown.append((picture, printable(image.name), answer))
        _keep(opened, sheet, shown, csv, table)
    if unread:
        print(f"{len(unread)} of {len(queries)} images were not read:", file=sys.stderr)
        for sentence in unread:
            print(f"  {sentence}", file=sys.stderr)
    if not as_json:
        _print_end(depths, sheet, csv)


def _require(deep_range: DeepRange | None, sheet: Path | None, csv: Path | None) -> None:
    require_range(deep_range, "--deep-range")
    for place in (sheet, csv):
        if place is not None:
            require_place(place)


def _queries(images: Sequence[Path]) -> list[Path]:
    """The images, and those of the folders among them."""
    if not images:
        raise ConfigError(
            "No query was given; name images of the people to look for, or folders of them."
        )
    found: list[Path] = []
    for place in images:
        if not place.is_dir():
            found.append(place)
            continue
        inside = images_below(place)
        if not inside:
            raise DataError(f"The folder {place} holds no image; give another one, or an image.")
        found += inside
    return found


def _pictures(
    queries: Sequence[Path], deep_range: DeepRange | None, depths: DepthTally, unread: list[str]
) -> Iterator[tuple[Path, Image.Image]]:
    """The queries that can be read; why others cannot is added to `unread`.

    Raises:
        DataError: None can.
    """
    for image in queries:
        try:
            picture, depth = read_with_depth(image, deep_range=deep_range)
        except DataError as error:
            if len(queries) == 1:
                raise
            unread.append(str(error))
        else:
            depths.add(depth)
            yield image, picture
    if len(unread) == len(queries):
        raise DataError(f"None of {len(queries)} images can be read; the first: {unread[0]}")


def _keep(
    store: Store,
    sheet: Path | None,
    shown: list[tuple[Image.Image, str, Answer]],
    csv: Path | None,
    table: list[dict[str, object]],
) -> None:
    if sheet is not None:
        write_png(sheet_of(store, shown), sheet)
    if csv is not None:
        write_text(csv, as_csv(COLUMNS, table))


def _print(image: Path, answer: Answer, names: Names, fault: str | None) -> None:
    if fault:
        print(f"Warning: {image} {fault}; the list means nothing.")
    print(f"{image}: {Modality(answer.modality).name.lower()}, {1000 * answer.seconds:.0f} ms")
    for result in answer.results:
        chance = "" if result.probability is None else f"  {result.probability:6.1%}"
        print(
            f"{result.rank:4}  {result.hit.distance:.3f}{chance}  "
            f"{described(asdict(result.hit), names)}  {result.hit.path}"
        )


def _print_end(depths: DepthTally, sheet: Path | None, csv: Path | None) -> None:
    if depths.narrow:
        remedy = depths.remedy("Search again with --deep-range {0} {1}.")
        print(f"Warning: {depths.told()} {remedy}")
    for word, place in (("Sheet", sheet), ("Table", csv)):
        if place is not None:
            print(f"{word}: {place}")


def verdict_of(answer: Answer, store: str) -> str:
    """Whether the person is in the gallery, in words, and what that rests on."""
    if not answer.results:
        return "No row fits the filters."
    if answer.false_alarms is None or answer.alarm is None or answer.verdict == "unknown":
        return (
            "Whether this person is in the gallery is unknown: what strangers find there was not "
            f"measured; say: crosslight gallery calibrate {store} --data LAYOUT:ROOT"
        )
    inside = answer.verdict == "in-gallery"
    finds = ""
    if answer.share_found is not None:
        little = ", so this says little" if not inside and answer.share_found < TELLING else ""
        finds = (
            f" At {_share(answer.false_alarms)} false alarms about {answer.share_found:.0%} of the "
            f"images of people who are in it are found{little}."
        )
    return (
        f"{'In the gallery, it seems' if inside else 'Nobody in the gallery is near enough'}: "
        f"people who are not in it find somebody as near in {_share(answer.alarm)} of their "
        f"searches of {answer.searched:,} rows.{finds}"
    )


def _nobody_there(store: str) -> str:
    return f"The store is empty; enrol people first: crosslight gallery add {store} FOLDER"


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 0.995 else "nearly all"


def to_json(image: Path, answer: Answer, names: Names, fault: str | None) -> dict[str, object]:
    """The answer as plain values, with a sentence about what `fault_of` finds."""
    return {
        "query": printable(image),
        "modality": Modality(answer.modality).name.lower(),
        "verdict": answer.verdict,
        "false_alarms": answer.false_alarms,
        "alarm": answer.alarm,
        "share_found": answer.share_found,
        "searched": answer.searched,
        "seconds": answer.seconds,
        "results": _results(answer, names),
        "warning": None if fault is None else f"{printable(image)} {fault}.",
    }


def _results(answer: Answer, names: Names) -> list[dict[str, object]]:
    return [
        {
            "rank": result.rank,
            "probability": result.probability,
            "accepted": result.accepted,
            **asdict(result.hit),
            "modality": Modality(result.hit.modality).name.lower(),
            **named(asdict(result.hit), names),
        }
        for result in answer.results
    ]


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
    names = names_of(store, [result.hit.pid for *_, answer in answers for result in answer.results])
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
                place_of(result.hit.cam, result.hit.modality, names),
                f"{result.hit.distance:.3f}{chance}",
            )
            content = thumbnails.get(result.hit.id)
            image = Image.open(io.BytesIO(content)) if content else None
            row.append(Cell(image=image, verdict=verdict, lines=lines))
        rows.append(row)
    return image_grid(rows, cell_width=80, cell_height=160)
