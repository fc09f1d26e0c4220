"""The commands for the people of a gallery; see `crosslight.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from crosslight.cli.flat import Flat
from crosslight.cli.gallery import StoreArgument, WhereOrWhoFlags, gallery_app
from crosslight.gallery.options import Proposing
from crosslight.ranges import in_range

PersonArgument = Positional[Annotated[str, arg(metavar="PERSON")]]
Ids = Annotated[tuple[str, ...], arg(name="id", metavar="ROW")]
Tracks = Annotated[tuple[str, ...], arg(metavar="TRACK")]


@gallery_app.command(name="people")
def people(store: StoreArgument, *, json: bool = False) -> None:
    """List the people of a store: number, name, images, cameras, when they were seen, notes.

    Args:
        store: A store.
        json: Print JSON.
    """
    from crosslight.commands.gallery.people import people as run

    run(store, as_json=json)


@gallery_app.command(name="label")
def label(
    store: StoreArgument,
    person: PersonArgument,
    *,
    ids: Ids = (),
    track: Tracks = (),
    where: Flat[WhereOrWhoFlags],
) -> None:
    """Say who is on rows of a store; a new name is a new person.

    Args:
        store: A store.
        person: Number or name of a person.
        ids: Rows with these ids, as `list` prints them.
        track: Rows of these tracks.
        where: Which of these, or which at all.
    """
    from crosslight.commands.gallery.people import label as run

    run(store, person, ids=ids, tracks=track, meant=where)


@gallery_app.command(name="person")
def person(
    store: StoreArgument,
    person: PersonArgument,
    *,
    name: str | None = None,
    note: str | None = None,
) -> None:
    """Name a person or keep a note, or show what is known.

    Args:
        store: A store.
        person: Number or name of a person.
        name: The name; an empty one takes it away.
        note: What is to be known; an empty one takes it away.
    """
    from crosslight.commands.gallery.people import person as run

    run(store, person, name=name, note=note)


@gallery_app.command(name="camera")
def camera(
    store: StoreArgument,
    camera: Positional[Annotated[str, arg(metavar="CAM")]],
    *,
    name: str,
) -> None:
    """Name a camera.

    Args:
        store: A store.
        camera: Number or name of a camera.
        name: The name; an empty one takes it away.
    """
    from crosslight.commands.gallery.people import camera as run

    run(store, camera, name=name)


@gallery_app.command(name="merge")
def merge(
    store: StoreArgument,
    people: Positional[Annotated[tuple[str, ...], arg(metavar="PERSON")]],
) -> None:
    """Make several people or tracks one person; refused where two were seen in one frame.

    Args:
        store: A store.
        people: Numbers or names of people, or names of tracks.
    """
    from crosslight.commands.gallery.people import merge as run

    run(store, people)


@gallery_app.command(name="split")
def split(
    store: StoreArgument,
    person: PersonArgument,
    *,
    ids: Ids = (),
    track: Tracks = (),
    to: str | None = None,
) -> None:
    """Take rows away from a person: they show somebody else.

    Args:
        store: A store.
        person: Number or name of a person.
        ids: Rows with these ids, as `list` prints them.
        track: Rows of these tracks.
        to: Number or name of the person on them. None: a new one without a name.
    """
    from crosslight.commands.gallery.people import split as run

    run(store, person, ids=ids, tracks=track, to=to)


@gallery_app.command(name="propose")
@in_range
def propose(
    store: StoreArgument,
    *,
    where: Flat[WhereOrWhoFlags],
    proposing: Flat[Proposing],
    json: bool = False,
) -> None:
    """List tracks that may be of one person; none that were in view of one camera at one time.

    Args:
        store: A store.
        where: Which rows count.
        proposing: Which pairs.
        json: Print JSON.
    """
    from crosslight.commands.gallery.propose import propose as run

    run(store, where, proposing, as_json=json)


@gallery_app.command(name="mark")
def mark(
    store: StoreArgument,
    query: Positional[Annotated[str, arg(metavar="QUERY")]],
    row: Positional[Annotated[str, arg(metavar="ROW")]],
    judgement: Positional[Annotated[Literal["right", "wrong", "none"], arg(name="mark")]],
) -> None:
    """Keep whether a result shows whom was searched for.

    Args:
        store: A store.
        query: What was searched for: an image file, or the id of a row.
        row: Id of the result.
        judgement: Whether it does; none takes a mark away.
    """
    from crosslight.commands.gallery.marks import mark as run

    run(store, query, row, None if judgement == "none" else judgement)


@gallery_app.command(name="marks")
def marks(
    store: StoreArgument,
    *,
    csv: Path | None = None,
    json: bool = False,
    audit: Path | None = None,
) -> None:
    """List the marks of a store.

    Args:
        store: A store.
        csv: Write them to this file.
        json: Print JSON.
        audit: File to which a line of JSON about this is added.
    """
    from crosslight.commands.gallery.marks import marks as run

    run(store, csv=csv, as_json=json, audit=audit)


@gallery_app.command(name="apart")
def apart(
    store: StoreArgument,
    first: Positional[Annotated[str, arg(metavar="PERSON")]],
    second: Positional[Annotated[str, arg(metavar="PERSON")]],
) -> None:
    """Keep that two are different people, so that they are not proposed for merging.

    Args:
        store: A store.
        first: A person or a track.
        second: Another one.
    """
    from crosslight.commands.gallery.people import apart as run

    run(store, first, second)
