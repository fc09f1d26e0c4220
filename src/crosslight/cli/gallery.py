"""The commands of the gallery, and `serve`: names, flags and help; see `crosslight.cli`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from crosslight.cli.flat import Flat
from crosslight.cli.shares import ShareFlag
from crosslight.gallery.options import (
    Asking,
    Calibrating,
    Comparing,
    Labels,
    Live,
    Watching,
    Where,
    WhereOrWho,
)
from crosslight.gallery.service.settings import Address, Allowed
from crosslight.ranges import Count, Range, Workers, in_range

gallery_app = SubcommandApp()

StoreArgument = Positional[
    Annotated[
        str,
        arg(metavar="STORE", help="Folder such as gallery.lance, or milvus://host:port/name."),
    ]
]
Cameras = Annotated[tuple[str, ...], arg(metavar="CAM")]
People = Annotated[tuple[str, ...], arg(metavar="PERSON")]
Time = Annotated[str | None, arg(metavar="TIME")]

_LONGEST_DAYS = 36_500


@dataclass(frozen=True, kw_only=True)
class _Where(Where):
    camera: Cameras = Where.camera
    since: Time = Where.since
    until: Time = Where.until


@dataclass(frozen=True, kw_only=True)
class WhereOrWhoFlags(WhereOrWho):
    """`WhereOrWho` as help shows it."""

    person: People = WhereOrWho.person
    camera: Cameras = Where.camera
    since: Time = Where.since
    until: Time = Where.until


@dataclass(frozen=True, kw_only=True)
class _Asking(Asking):
    false_alarms: ShareFlag | None = Asking.false_alarms


@dataclass(frozen=True, kw_only=True)
class _Comparing(Comparing):
    prior: ShareFlag = Comparing.prior


@dataclass(frozen=True, kw_only=True)
class _Calibrating(Calibrating):
    false_match_rate: ShareFlag = Calibrating.false_match_rate
    prior: ShareFlag | None = Calibrating.prior


@gallery_app.command(name="create")
def create(
    store: StoreArgument,
    *,
    model: Path | None = None,
    deep_range: tuple[float, float] | None = None,
) -> None:
    """Make an empty store for the people that a trained run embeds.

    Args:
        store: A folder: NAME.lance, or NAME.exact to keep all vectors in memory; or
            milvus://host:port/name.
        model: Run folder. None: the weights that come with crosslight, promenade.
        deep_range: Black and white of images of one channel with more than 8 bits (thermal
            cameras). None: as the run was trained.
    """
    from crosslight.commands.gallery.add import create as run

    run(store, model=model, deep_range=deep_range)


@gallery_app.command(name="add")
@in_range
def add(
    store: StoreArgument,
    sources: Positional[tuple[str, ...]],
    *,
    split: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    labels: Flat[Labels],
    model: Path | None = None,
    workers: Workers = 2,
    watching: Flat[Watching],
    deep_range: tuple[float, float] | None = None,
) -> None:
    """Enrol people; the same command again skips what is there and renews its labels.

    Args:
        store: A store.
        sources: Folders of images, images, tables (CSV, Parquet), LAYOUT:ROOT, or one video.
        split: Only these splits of a table or layout.
        columns: Columns that a table calls otherwise, like path=File camera=Kamera.
        model: Run folder, where the one that the store remembers has moved.
        workers: Threads that decode images.
        deep_range: Black and white of images of one channel with more than 8 bits. None: the
            store's; a store without one keeps it.
        labels: What is known of all images.
        watching: How a video is watched.
    """
    from crosslight.commands.gallery.flags import require_adding

    require_adding(sources, deep_range)
    from crosslight.gallery.sources import is_video

    if len(sources) == 1 and is_video(sources[0]) and not columns:
        from crosslight.commands.gallery.video import add_video

        add_video(store, Path(sources[0]), labels, watching, model=model, workers=workers)
        return
    from crosslight.commands.gallery.add import add as run

    run(
        store,
        sources,
        labels,
        model=model,
        splits=split,
        columns=columns,
        workers=workers,
        deep_range=deep_range,
    )


@gallery_app.command(name="watch")
@in_range
def watch(
    store: StoreArgument,
    source: Positional[str],
    *,
    live: Flat[Live],
    model: Path | None = None,
) -> None:
    """Enrol the people whom a camera sees, until Ctrl-C; one command for each camera.

    Args:
        store: A store.
        source: rtsp://..., http://..., the number of a webcam, or a video file to try it with.
        model: Run folder, where the one that the store remembers has moved.
        live: How it is watched.
    """
    from crosslight.commands.gallery.watch import watch as run

    run(store, source, live, model=model)


@gallery_app.command(name="search")
@in_range
def search(
    store: StoreArgument,
    images: Positional[tuple[Path, ...]],
    *,
    asking: Flat[_Asking],
    where: Flat[_Where],
    model: Path | None = None,
    json: bool = False,
    sheet: Path | None = None,
    csv: Path | None = None,
    deep_range: tuple[float, float] | None = None,
    audit: Path | None = None,
) -> None:
    """Rank the people of a store by how near they are to the one on an image, or on each.

    Args:
        store: A store.
        images: The queries, of either light: images, or folders of them.
        where: Which may be found.
        model: Run folder, where the one that the store remembers has moved.
        json: Print JSON, a line for each query.
        sheet: Also draw the results into this PNG file, a row for each query.
        csv: Also write them into this table, a row for each result.
        deep_range: Black and white of images of one channel with more than 8 bits. None: the
            store's.
        audit: File to which a line of JSON about this is added.
        asking: How.
    """
    from crosslight.commands.gallery.search import search as run

    run(
        store,
        images,
        asking,
        where,
        model=model,
        as_json=json,
        sheet=sheet,
        csv=csv,
        deep_range=deep_range,
        audit=audit,
    )


@gallery_app.command(name="same")
@in_range
def same(
    store: StoreArgument,
    first: Positional[Path],
    second: Positional[Path],
    *,
    comparing: Flat[_Comparing],
    model: Path | None = None,
    json: bool = False,
    deep_range: tuple[float, float] | None = None,
    audit: Path | None = None,
) -> None:
    """Say whether two images show the same person, and how sure that is.

    Args:
        store: A store, whose model and calibration answer; its people take no part.
        first: An image, of either light.
        second: Another one.
        comparing: How.
        model: Run folder, where the one that the store remembers has moved.
        json: Print JSON.
        deep_range: Black and white of images of one channel with more than 8 bits. None: the
            store's.
        audit: File to which a line of JSON about this is added.
    """
    from crosslight.commands.gallery.same import same as run

    run(
        store,
        (first, second),
        comparing,
        model=model,
        as_json=json,
        deep_range=deep_range,
        audit=audit,
    )


@gallery_app.command(name="list")
@in_range
def list_rows(
    store: StoreArgument,
    *,
    where: Flat[WhereOrWhoFlags],
    offset: Annotated[int, Range(0)] = 0,
    limit: Count = 50,
    json: bool = False,
) -> None:
    """List rows of a store.

    Args:
        store: A store.
        where: Which.
        offset: Rows to leave out first.
        limit: Rows to list at most.
        json: Print JSON.
    """
    from crosslight.commands.gallery.stores import list_rows as run

    run(store, where, offset=offset, limit=limit, as_json=json)


@gallery_app.command(name="remove")
def remove(
    store: StoreArgument,
    *,
    ids: Annotated[tuple[str, ...], arg(name="id")] = (),
    where: Flat[WhereOrWhoFlags],
    everything: Annotated[bool, arg(name="all")] = False,
    dry_run: bool = False,
    yes: bool = False,
    audit: Path | None = None,
) -> None:
    """Remove rows from a store, for good: nothing of them stays in its files.

    Args:
        store: A store.
        ids: Rows with these ids, as `list` prints them.
        where: Which.
        everything: Every row.
        dry_run: List what would go, and remove nothing.
        yes: Do not ask, however many people go.
        audit: File to which a line of JSON about this is added.
    """
    from crosslight.commands.gallery.remove import remove as run

    run(store, where, ids=ids, everything=everything, dry_run=dry_run, yes=yes, audit=audit)


@gallery_app.command(name="retain")
@in_range
def retain(
    store: StoreArgument,
    *,
    days: Annotated[int, Range(1, _LONGEST_DAYS)],
    dry_run: bool = False,
    audit: Path | None = None,
) -> None:
    """Keep what was taken in the last days and remove what is older, for good; for a scheduler.

    Args:
        store: A store.
        days: How many. Rows without a time of capture are kept.
        dry_run: List what would go, and remove nothing.
        audit: File to which a line of JSON about this is added.
    """
    from crosslight.commands.gallery.remove import retain as run

    run(store, days=days, dry_run=dry_run, audit=audit)


@gallery_app.command(name="stats")
def stats(store: StoreArgument, *, json: bool = False) -> None:
    """Say what a store holds: rows, people, cameras, model, calibration.

    Args:
        store: A store.
        json: Print JSON.
    """
    from crosslight.commands.gallery.stores import stats as run

    run(store, as_json=json)


@gallery_app.command(name="optimize")
def optimize(store: StoreArgument) -> None:
    """Compact a store, index it where that pays, and check or build its quick search.

    Args:
        store: A store.
    """
    from crosslight.commands.gallery.stores import optimize as run

    run(store)


@gallery_app.command(name="copy")
def copy(source: StoreArgument, target: StoreArgument, *, audit: Path | None = None) -> None:
    """Copy all rows to another store, of the same kind or another, and verify them.

    Args:
        source: A store.
        target: A new store, or one that an interrupted copy began.
        audit: File to which a line of JSON about this is added.
    """
    from crosslight.commands.gallery.stores import copy as run

    run(source, target, audit=audit)


@gallery_app.command(name="calibrate")
@in_range
def calibrate(
    store: StoreArgument,
    *,
    data: str,
    calibrating: Flat[_Calibrating],
    model: Path | None = None,
) -> None:
    """Learn what a distance means: the probability of the same person, and a threshold.

    Args:
        store: A store.
        data: LAYOUT:ROOT with people who are neither trained on nor searched for.
        model: Run folder, where the one that the store remembers has moved.
        calibrating: On what and how.
    """
    from crosslight.commands.gallery.calibrate import calibrate as run

    run(store, data, calibrating, model=model)


@in_range
def serve(
    store: Positional[str],
    *,
    model: Path | None = None,
    address: Flat[Address],
    allowed: Flat[Allowed],
) -> None:
    """Open a gallery to browsers and programs: a page and an API.

    Args:
        store: The gallery: a folder, or milvus://HOST:PORT/NAME.
        model: Run folder of the model that filled it; None: where it was then.
        address: Where it listens.
        allowed: What clients may ask for.
    """
    from crosslight.commands.serve import run_serve

    run_serve(store, address, allowed, model=model)
