"""The API: search, draw, list, pictures, health, metrics."""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, File, Form, HTTPException, Query, Request, UploadFile
from fastapi.responses import PlainTextResponse, Response
from PIL import Image
from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from crosslight.data.images import guess_modality
from crosslight.gallery.audit import filter_told
from crosslight.gallery.legibility import fault_of
from crosslight.gallery.options import Asking, Comparing
from crosslight.gallery.same import compared
from crosslight.gallery.service import metrics
from crosslight.gallery.service.access import Access, shown_session
from crosslight.gallery.service.desk import Desk
from crosslight.gallery.service.fields import KNOWN_FIELDS_ONLY
from crosslight.gallery.service.noting import NoteOf
from crosslight.gallery.service.pictures import JPEG, PICTURE_KEPT_S, as_uri
from crosslight.gallery.service.replies import (
    BoxesReply,
    BoxReply,
    DrawnReply,
    ErrorReply,
    GalleryReply,
    HealthReply,
    QueryReply,
    RemovedReply,
    RowsReply,
    SameReply,
    SearchReply,
    VisitorReply,
    light_of,
    same_reply,
)
from crosslight.gallery.service.roles import VisitorOf, needs
from crosslight.gallery.service.users import Role
from crosslight.gallery.stores.rows import Filter
from crosslight.times import require_meant
from crosslight.types import LIGHTS, Light, Modality

MOST_RESULTS = 200

_REFUSED = {
    400: "Not a request that can be read.",
    401: "The token is missing or wrong.",
    403: "Asked by a page of another site, or by a user whose role does not reach.",
    408: "The request took too long to arrive.",
    413: "The request is too large.",
    421: "Asked under a name that is not this machine's.",
    422: "A value or an image that cannot be used.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "The store does not answer.",
}
_Responses = dict[int | str, dict[str, Any]]
MISSING: _Responses = {
    404: {"model": ErrorReply, "description": "There is no such row or picture."}
}

RESPONSES: _Responses = {
    status: {"model": ErrorReply, "description": text} for status, text in _REFUSED.items()
}
"""What every call may be answered."""

router = APIRouter(responses=RESPONSES, dependencies=[KNOWN_FIELDS_ONLY])

StoreNumber = Annotated[int, Field(ge=-1, le=2**31 - 1)]
PersonNumber = Annotated[int, Field(ge=0, lt=2**63)]


def _meant(given: Any, read: ValidatorFunctionWrapHandler) -> float:
    """A time, as long as it was meant in seconds."""
    seconds: float = read(given)
    try:
        require_meant(str(given), seconds)
    except ValueError as error:
        told = str(error).removesuffix(".")  # whoever answers ends the sentence
        raise PydanticCustomError("time", "{told}", {"told": told}) from error
    return seconds


Seconds = Annotated[float, Field(allow_inf_nan=False), WrapValidator(_meant)]
RowIdText = Annotated[str, Field(min_length=1, max_length=1024)]
RowId = Annotated[str, Query(min_length=1, max_length=1024)]


def desk_of(request: Request) -> Desk:
    """The desk that the application was made with."""
    desk: Desk = request.app.state.desk
    return desk


DeskOf = Annotated[Desk, Depends(desk_of)]


@router.post("/api/search", responses=MISSING, tags=["search"])
async def search(
    desk: DeskOf,
    visitor: VisitorOf,
    note: NoteOf,
    image: Annotated[UploadFile | None, File(description="The person to look for.")] = None,
    row: Annotated[
        str | None,
        Form(min_length=1, max_length=1024, description="Or an image of the gallery, by its id."),
    ] = None,
    modality: Annotated[
        Literal["auto"] | Light,
        Form(description="Light of the image; auto guesses it from the colours."),
    ] = "auto",
    top: Annotated[int, Form(ge=1, le=MOST_RESULTS, description="Results at most.")] = Asking.top,
    cam: Annotated[
        list[StoreNumber] | None,
        Form(max_length=256, description="Only these cameras; repeatable."),
    ] = None,
    light: Annotated[
        list[Light] | None, Form(max_length=2, description="Only this light; repeatable.")
    ] = None,
    since: Annotated[Seconds | None, Form(description="Earliest time in seconds.")] = None,
    until: Annotated[Seconds | None, Form(description="Latest time in seconds.")] = None,
    false_alarms: Annotated[
        float | None,
        Form(
            gt=0,
            lt=1,
            description="In how many searches for somebody who is not in the gallery the verdict "
            "may be in-gallery; usually 0.01, or the smallest share that the calibration can show.",
        ),
    ] = None,
) -> SearchReply:
    """The images of the gallery that are most likely of the same person, nearest first.

    Give either `image` or `row`. Nothing that is sent is kept.
    """
    content = await _one_of(image, row)
    where = _filter(cam, light, since, until)
    given = None if modality == "auto" else int(LIGHTS[modality])

    def work() -> SearchReply:
        searcher = desk.searcher
        if row is None:
            picture, digest = desk.read(content), hashlib.sha256(content).hexdigest()
            answer = searcher.search(
                picture, k=top, where=where, modality=given, false_alarms=false_alarms
            )
        elif desk.has(row):
            picture, digest = None, None
            answer = searcher.search_like(row, k=top, where=where, false_alarms=false_alarms)
        else:
            raise HTTPException(404, "There is no such row in the gallery.")
        query = QueryReply(
            row=row,
            modality=light_of(answer.modality),
            guessed=row is None and given is None,
            sha256=digest,
            picture=None if picture is None else as_uri(picture),
        )
        what = {"sha256": digest} if row is None else {"row": row}
        note("search", {**what, **filter_told(where)}, rows=len(answer.results))
        return desk.reply(answer, query, visitor, None if picture is None else fault_of(picture))

    return await desk.with_model(work)


@router.post("/api/boxes", tags=["search"])
async def boxes(
    desk: DeskOf,
    image: Annotated[UploadFile, File(description="Any picture, of a street for one.")],
) -> BoxesReply:
    """Where people are in a picture, by the detector that ships with crosslight.

    A search takes a picture of one person: cut one out first. Nothing that is sent is kept.
    """
    content = await image.read()

    def work() -> BoxesReply:
        picture = desk.read(content)
        found = [box.inside(*picture.size) for box in desk.detector.find(0, picture)]
        return BoxesReply(
            width=picture.width,
            height=picture.height,
            boxes=[
                BoxReply(**asdict(box))
                for box in sorted(found, key=lambda box: box.centre)
                if box.area
            ],
        )

    return await desk.with_model(work)


@router.post("/api/same", tags=["search"])
async def same(
    desk: DeskOf,
    note: NoteOf,
    first: Annotated[UploadFile, File(description="A person.")],
    second: Annotated[UploadFile, File(description="The same person, or another one.")],
    first_modality: Annotated[
        Literal["auto"] | Light,
        Form(description="Light of the first; auto guesses it from the colours."),
    ] = "auto",
    second_modality: Annotated[
        Literal["auto"] | Light, Form(description="Light of the second.")
    ] = "auto",
    prior: Annotated[
        float, Form(gt=0, lt=1, description="Probability beforehand that they are the same person.")
    ] = Comparing.prior,
) -> SameReply:
    """Whether two pictures show the same person, and how sure that is.

    The store's model and calibration answer; its people take no part. Nothing that is sent is kept.
    """
    contents = [await first.read(), await second.read()]
    given = [
        None if name == "auto" else int(LIGHTS[name]) for name in (first_modality, second_modality)
    ]

    def work() -> SameReply:
        searcher = desk.searcher
        pictures = desk.read(contents[0]), desk.read(contents[1])
        digests = [hashlib.sha256(content).hexdigest() for content in contents]
        note("compare", {"sha256": digests}, rows=None)
        return same_reply(
            compared(
                searcher.store.info, searcher.embedder, pictures, modalities=given, prior=prior
            ),
            [fault_of(picture) for picture in pictures],
        )

    return await desk.with_model(work)


@router.post("/api/draw", responses=MISSING, tags=["search"])
async def draw(
    desk: DeskOf,
    kind: Annotated[
        Literal["translation", "swap"],
        Form(description="The person in the other light, or the person's looks on another body."),
    ],
    image: Annotated[UploadFile | None, File(description="The person to draw.")] = None,
    row: Annotated[
        str | None,
        Form(min_length=1, max_length=1024, description="Or an image of the gallery, by its id."),
    ] = None,
    modality: Annotated[Literal["auto"] | Light, Form(description="Light of the image.")] = "auto",
    body: Annotated[
        str | None,
        Form(min_length=1, max_length=1024, description="For a swap: the row whose body stays."),
    ] = None,
) -> DrawnReply:
    """Draws the person in the other light, or on the body and pose of another image.

    For models that can (`translates` and `swaps` of `/api/gallery`). Nothing that is sent is kept.
    """
    content = await _one_of(image, row)

    def work() -> DrawnReply:
        start = time.perf_counter()
        picture, light = _person(desk, content, row, modality)
        embedder = desk.searcher.embedder
        if kind == "translation":
            if embedder.translate is None:
                raise HTTPException(404, f"The method {embedder.method} does not translate.")
            target = Modality.VISIBLE if light == Modality.INFRARED else Modality.INFRARED
            drawn = embedder.translate(picture, light, target)
        else:
            if embedder.swap is None:
                raise HTTPException(404, f"The method {embedder.method} does not swap.")
            if body is None:
                raise HTTPException(422, "A swap needs body, the id of the row whose body stays.")
            structure, target = _stored(desk, body)
            drawn = embedder.swap(picture, structure)
        seconds = time.perf_counter() - start
        return DrawnReply(
            kind=kind, modality=light_of(target), picture=as_uri(drawn), seconds=seconds
        )

    return await desk.with_model(work)


@router.get("/api/gallery", tags=["gallery"])
async def gallery(desk: DeskOf) -> GalleryReply:
    """What is in the gallery and what may be asked of it."""
    return await run_sync(desk.facts)


@router.get("/api/rows", tags=["gallery"])
async def rows(
    desk: DeskOf,
    cam: Annotated[list[StoreNumber] | None, Query(max_length=256)] = None,
    light: Annotated[list[Light] | None, Query(max_length=2)] = None,
    since: Seconds | None = None,
    until: Seconds | None = None,
    pid: Annotated[list[PersonNumber] | None, Query(max_length=256)] = None,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 48,
) -> RowsReply:
    """Images of the gallery, in an order that stays while nobody adds any."""
    where = replace(
        _filter(cam, light, since, until), pids=frozenset(pid) if pid is not None else None
    )
    store = desk.searcher.store

    def work() -> RowsReply:
        return RowsReply(
            rows=desk.rows(where, offset=offset, limit=limit), total=store.count(where)
        )

    return await run_sync(work)


@router.delete("/api/rows", responses=MISSING, tags=["gallery"], dependencies=[needs(Role.REMOVE)])
async def remove(
    desk: DeskOf,
    note: NoteOf,
    row: Annotated[list[RowIdText], Query(min_length=1, max_length=MOST_RESULTS)],
) -> RemovedReply:
    """Removes images from the gallery, for good: nothing of them stays in the store's files.

    Needs the role `remove`. Rows that are not there are left out of the count.
    """

    def work() -> int:
        return desk.remove(row, lambda there: note("remove", {"ids": row}, rows=there))

    return RemovedReply(removed=await desk.changing(work))


@router.get(
    "/api/picture",
    response_class=Response,
    responses={200: {"content": {JPEG: {}}, "description": "A small JPEG."}, **MISSING},
    tags=["gallery"],
)
async def picture(desk: DeskOf, row: RowId) -> Response:
    """The picture of an image of the gallery, encoded anew."""
    found = await run_sync(desk.picture, row)
    if found is None:
        raise HTTPException(404, "There is no such row, or it has no picture.")
    kept = {"cache-control": f"private, max-age={PICTURE_KEPT_S}"}
    return Response(found, media_type=JPEG, headers=kept)


@router.get("/api/session", tags=["service"])
async def visitor(visitor: VisitorOf) -> VisitorReply:
    """Who asks, and what this visitor may do."""
    return VisitorReply(name=visitor.name, role=visitor.role.spoken)


@router.post("/api/session", status_code=204, response_class=Response, tags=["service"])
async def session(request: Request) -> Response:
    """Exchanges the token of the `Authorization` header for a cookie, as pictures need one."""
    access: Access = request.app.state.access
    reply = Response(status_code=204)
    value = shown_session(request.headers) if access.needs_token else None
    if value is not None:
        reply.set_cookie(
            access.cookie_name,
            value,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path=request.scope.get("root_path") or "/",
        )
    return reply


@router.get("/health", tags=["service"])
async def health(desk: DeskOf) -> HealthReply:
    """Answers while the service runs and its store does; needs no token."""
    await run_sync(desk.searcher.store.check)
    return HealthReply()


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}},
    tags=["service"],
)
async def metrics_text(request: Request, desk: DeskOf) -> Response:
    """Counts and times of requests for Prometheus."""
    counts: metrics.Metrics = request.app.state.metrics
    rows = await run_sync(desk.searcher.store.count)
    return Response(counts.text(rows=rows), media_type=metrics.CONTENT_TYPE)


async def _one_of(image: UploadFile | None, row: str | None) -> bytes:
    """The content of the image, empty where a row was given.

    Raises:
        HTTPException: Both were given, or none.
    """
    if (image is None) == (row is None):
        found = "Neither image nor row was" if row is None else "Both image and row were"
        raise HTTPException(422, f"{found} given; give one of them.")
    return b"" if image is None else await image.read()


def _filter(
    cam: list[int] | None, light: list[Light] | None, since: float | None, until: float | None
) -> Filter:
    return Filter(
        cams=frozenset(cam) if cam else None,
        modalities=frozenset(int(LIGHTS[name]) for name in light) if light else None,
        since=since,
        until=until,
    )


def _person(
    desk: Desk, content: bytes, row: str | None, modality: str
) -> tuple[Image.Image, Modality]:
    if row is not None:
        return _stored(desk, row)
    image = desk.read(content)
    given = guess_modality(image) if modality == "auto" else LIGHTS[modality]
    return image, Modality(given)


def _stored(desk: Desk, row: str) -> tuple[Image.Image, Modality]:
    found = desk.stored(row)
    if found is None:
        raise HTTPException(404, "There is no such row, or it has no picture.")
    return found
