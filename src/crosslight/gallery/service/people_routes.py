"""The API's part about people: names, notes, labels, merging, splitting, marks."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import polars as pl
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Form, HTTPException, Query
from fastapi.responses import Response
from pydantic import Field

from crosslight.gallery.options import Proposing
from crosslight.gallery.people import marks, people
from crosslight.gallery.people.marks import Found
from crosslight.gallery.people.names import (
    LONGEST_NAME,
    LONGEST_NOTE,
    number_of,
    number_or_name,
    place_of,
)
from crosslight.gallery.people.people import Changed, Somebody, find
from crosslight.gallery.people.proposals import propose
from crosslight.gallery.service.desk import Desk
from crosslight.gallery.service.fields import KNOWN_FIELDS_ONLY
from crosslight.gallery.service.noting import NoteOf
from crosslight.gallery.service.replies import (
    ChangedReply,
    MarksReply,
    PeopleReply,
    PersonReply,
    ProposalReply,
    ProposalsReply,
    SomebodyReply,
    WhoReply,
    person_reply,
)
from crosslight.gallery.service.roles import VisitorOf, needs
from crosslight.gallery.service.routes import (
    MISSING,
    MOST_RESULTS,
    RESPONSES,
    DeskOf,
    RowId,
    RowIdText,
    StoreNumber,
)
from crosslight.gallery.service.users import Role
from crosslight.gallery.spreadsheet import as_csv
from crosslight.gallery.stores.rows import Filter
from crosslight.types import Light

CSV = "text/csv"

people_router = APIRouter(responses=RESPONSES, dependencies=[KNOWN_FIELDS_ONLY])

_LABEL = [needs(Role.LABEL)]
_proposing = CapacityLimiter(1)

WhoText = Annotated[str, Field(min_length=1, max_length=1100)]
Who = Annotated[str, Form(min_length=1, max_length=1100, description="Number or name of a person.")]
Somebodies = Annotated[
    list[WhoText],
    Form(
        min_length=2,
        max_length=100,
        description="Numbers or names of people, or names of tracks after track: ; repeatable.",
    ),
]
RowForm = Annotated[
    list[RowIdText], Form(min_length=1, max_length=MOST_RESULTS, description="Repeatable.")
]
WholeTrack = Annotated[
    bool, Form(description="Also all other images of the tracks of these, of the same person.")
]


@people_router.get("/api/people", tags=["people"])
async def list_people(
    desk: DeskOf,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> PeopleReply:
    """The people who have a number, those with a name first."""
    store = desk.searcher.store

    def work() -> PeopleReply:
        found = people.list_people(store)
        unknown = store.count() - sum(one.rows for one in found)
        part = [person_reply(one) for one in found[offset : offset + limit]]
        return PeopleReply(people=part, total=len(found), unknown=unknown)

    return await run_sync(work)


@people_router.get("/api/who", responses=MISSING, tags=["people"])
async def who(desk: DeskOf, row: RowId) -> WhoReply:
    """Who is on an image, and how many others are of its track."""
    store = desk.searcher.store

    def work() -> WhoReply:
        found = store.labels([row])
        if not len(found):
            raise HTTPException(404, "There is no such row in the gallery.")
        (known,) = found.to_dicts()
        track = known["track"]
        return WhoReply(
            row=row,
            person=None if known["pid"] is None else _person(desk, known["pid"]),
            track=track,
            track_rows=0 if track is None else len(_with_tracks(desk, [row])),
        )

    return await run_sync(work)


@people_router.put("/api/person", tags=["people"], dependencies=_LABEL)
async def describe(
    desk: DeskOf,
    person: Who,
    name: Annotated[
        str | None, Form(max_length=LONGEST_NAME, description="An empty one takes it away.")
    ] = None,
    note: Annotated[
        str | None, Form(max_length=LONGEST_NOTE, description="An empty one takes it away.")
    ] = None,
) -> PersonReply:
    """Gives a person a name or a note. Needs the role `label`."""
    store = desk.searcher.store

    def work() -> PersonReply:
        pid = number_of(store, number_or_name(person, "person"), "person")
        people.describe(store, pid, name=name, note=note)
        return _person(desk, pid)

    return await desk.changing(work)


@people_router.put(
    "/api/camera", tags=["people"], status_code=204, response_class=Response, dependencies=_LABEL
)
async def name_camera(
    desk: DeskOf,
    cam: Annotated[StoreNumber, Form()],
    name: Annotated[str, Form(max_length=LONGEST_NAME, description="An empty one takes it away.")],
) -> Response:
    """Gives a camera a name. Needs the role `label`."""
    await desk.changing(lambda: people.name_camera(desk.searcher.store, cam, name))
    return Response(status_code=204)


@people_router.post("/api/label", tags=["people"], dependencies=_LABEL)
async def label(
    desk: DeskOf, row: RowForm, person: Who, whole_track: WholeTrack = False
) -> ChangedReply:
    """Says who is on images; a new name is a new person. Needs the role `label`.

    Refused where somebody would be two people who were seen in one frame.
    """
    store = desk.searcher.store

    def work() -> ChangedReply:
        ids = _with_tracks(desk, row) if whole_track else row
        return _changed(desk, people.label(store, ids, number_or_name(person, "person")))

    return await desk.changing(work)


@people_router.post("/api/merge", tags=["people"], dependencies=_LABEL)
async def merge(desk: DeskOf, person: Somebodies) -> ChangedReply:
    """Makes people and tracks one person, the first who has a number. Needs the role `label`.

    Refused where two of them were seen in one frame.
    """
    store = desk.searcher.store
    return await desk.changing(
        lambda: _changed(desk, people.merge(store, [find(store, one) for one in person]))
    )


@people_router.post("/api/split", tags=["people"], dependencies=_LABEL)
async def split(
    desk: DeskOf,
    person: Who,
    row: RowForm,
    to: Annotated[
        str | None,
        Form(min_length=1, max_length=1100, description="Who is on them; else somebody new."),
    ] = None,
    whole_track: WholeTrack = False,
) -> ChangedReply:
    """Takes images away from a person: they show somebody else. Needs the role `label`."""
    store = desk.searcher.store

    def work() -> ChangedReply:
        pid = number_of(store, number_or_name(person, "person"), "person")
        ids = _with_tracks(desk, row) if whole_track else row
        goal = None if to is None else number_or_name(to, "person")
        return _changed(desk, people.split(store, pid, ids, goal))

    return await desk.changing(work)


@people_router.get("/api/proposals", tags=["people"])
async def proposals(
    desk: DeskOf,
    top: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = Proposing.top,
    least: Annotated[float, Query(ge=0, le=1)] = Proposing.least,
) -> ProposalsReply:
    """Tracks that may be of one person; none that were in view of one camera at one time."""
    store = desk.searcher.store

    def somebody(one: Somebody, row: str) -> SomebodyReply:
        return SomebodyReply(who=one.written, told=one.told, row=row)

    def work() -> ProposalsReply:
        found = [
            ProposalReply(
                first=somebody(pair.first, pair.rows[0]),
                second=somebody(pair.second, pair.rows[1]),
                distance=pair.distance,
                probability=pair.probability,
            )
            for pair in propose(store, top=top, least=least)
        ]
        return ProposalsReply(proposals=found)

    return await run_sync(work, limiter=_proposing)


@people_router.post(
    "/api/apart", tags=["people"], status_code=204, response_class=Response, dependencies=_LABEL
)
async def apart(desk: DeskOf, person: Somebodies) -> Response:
    """Keeps that two are two people, so that they are not proposed. Needs the role `label`."""
    store = desk.searcher.store

    def work() -> None:
        if len(person) != 2:
            raise HTTPException(422, f"{len(person)} people were named; name two.")
        people.say_apart(store, *(find(store, one) for one in person))

    await desk.changing(work)
    return Response(status_code=204)


@people_router.put("/api/mark", tags=["marks"], dependencies=_LABEL)
async def mark(
    desk: DeskOf,
    visitor: VisitorOf,
    row: Annotated[str, Form(min_length=1, max_length=1024, description="The result.")],
    mark: Annotated[
        Literal["right", "wrong", "none"],
        Form(description="Whether it shows whom was searched for; none takes a mark away."),
    ],
    query_row: Annotated[
        str | None, Form(min_length=1, max_length=1024, description="The query, if a row.")
    ] = None,
    query_sha256: Annotated[
        str | None, Form(pattern="^[0-9a-f]{64}$", description="Or the SHA-256 of its file.")
    ] = None,
    query_file: Annotated[str | None, Form(max_length=1024, description="Its name.")] = None,
    query_modality: Annotated[Light | None, Form(description="Its light.")] = None,
    rank: Annotated[int | None, Form(ge=1, le=2**31 - 1)] = None,
    distance: Annotated[float | None, Form(allow_inf_nan=False)] = None,
    probability: Annotated[float | None, Form(ge=0, le=1)] = None,
) -> MarksReply:
    """Keeps whether a result shows whom was searched for. Needs the role `label`."""
    store = desk.searcher.store
    query = marks.Query(
        row=query_row, sha256=query_sha256, file=query_file, modality=query_modality
    )
    found = Found(rank=rank, distance=distance, probability=probability)

    def work() -> MarksReply:
        judgement = None if mark == "none" else mark
        marks.keep_mark(store, query, row, judgement, found=found, by=visitor.name)
        return MarksReply(**marks.count_marks(store))

    return await desk.changing(work)


@people_router.post("/api/marks/clear", tags=["marks"], dependencies=_LABEL)
async def clear_marks(desk: DeskOf, visitor: VisitorOf) -> MarksReply:
    """Takes away the marks of whoever asks. Needs the role `label`."""
    store = desk.searcher.store

    def work() -> MarksReply:
        marks.clear_marks(store, visitor.name)
        return MarksReply(**marks.count_marks(store))

    return await desk.changing(work)


@people_router.get(
    "/api/marks.csv",
    response_class=Response,
    responses={200: {"content": {CSV: {}}, "description": "A table."}},
    tags=["marks"],
)
async def export_marks(desk: DeskOf, note: NoteOf) -> Response:
    """All marks as a table."""
    store = desk.searcher.store

    def work() -> str:
        found = marks.every_mark(store)
        note("export", {"marks": True}, rows=len(found))
        return as_csv(marks.COLUMNS, found)

    name = re.sub(r"[^\w.-]", "_", place_of(store), flags=re.ASCII)
    headers = {"content-disposition": f'attachment; filename="marks-{name}.csv"'}
    return Response(await run_sync(work), media_type=f"{CSV}; charset=utf-8", headers=headers)


def _person(desk: Desk, pid: int) -> PersonReply:
    found = people.list_people(desk.searcher.store, Filter(pids=frozenset({pid})))
    if not found:
        raise HTTPException(404, f"The gallery has no image of person {pid}.")
    return person_reply(found[0])


def _changed(desk: Desk, changed: Changed) -> ChangedReply:
    return ChangedReply(
        person=_person(desk, changed.pid), rows=changed.rows, said=list(changed.said)
    )


def _with_tracks(desk: Desk, rows: list[str]) -> list[str]:
    """These rows, and those of their tracks that are of the same person, or of nobody known."""
    store = desk.searcher.store
    given = store.labels(rows).select("track", "pid").filter(pl.col("track").is_not_null())
    if not len(given):
        return rows
    frame = store.frame(columns=("id", "track", "pid"))
    others = frame.join(given.unique(), on=["track", "pid"], how="semi", nulls_equal=True)
    return list(dict.fromkeys([*rows, *others["id"].to_list()]))
