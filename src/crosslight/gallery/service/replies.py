"""What the API answers; these classes are its published description."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from crosslight.gallery.search import Answer, Result
from crosslight.types import Distance, Light, Modality


def light_of(modality: int) -> Light:
    """The name of a `Modality`."""
    return "infrared" if modality == Modality.INFRARED else "visible"


class ErrorReply(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="One sentence: what was found, what was expected.")


class HealthReply(BaseModel):
    """The service runs and its store answers."""

    status: Literal["ok"] = "ok"


class CameraReply(BaseModel):
    """A camera of the gallery."""

    cam: int = Field(description="Its number; -1 where unknown.")
    rows: int


class LightReply(BaseModel):
    """A kind of light of the gallery."""

    modality: Light
    rows: int


class GalleryReply(BaseModel):
    """What is in the gallery and what may be asked of it."""

    name: str
    kind: str = Field(description="Kind of its store: exact, lance or milvus.")
    version: str = Field(description="Of crosslight.")
    method: str
    model: str = Field(description="Fingerprint of the model that filled it.")
    weights: str | None = Field(description="Their name, if they ship with crosslight.")
    rows: int
    people: int = Field(description="People whose number is known.")
    cams: list[CameraReply]
    modalities: list[LightReply]
    earliest: float | None = Field(description="Smallest time, in seconds.")
    latest: float | None
    distance: Distance
    calibrated: bool = Field(description="Whether results carry probabilities.")
    false_match_rate: float | None = Field(description="For which the threshold was chosen.")
    translates: bool = Field(description="Whether the model draws people in the other light.")
    swaps: bool = Field(description="Whether it draws people's clothes on others' bodies.")
    upload_bytes: int = Field(description="Largest request.")
    upload_pixels: int = Field(description="Largest image.")


class RowReply(BaseModel):
    """An image of the gallery."""

    id: str
    pid: int | None = Field(description="Person, where known.")
    cam: int = Field(description="-1 where unknown.")
    modality: Light
    time: float | None = Field(description="Seconds, where known.")
    track: str | None
    name: str = Field(description="Name of the file it came from.")


class RowsReply(BaseModel):
    """Some images of the gallery."""

    rows: list[RowReply]
    total: int = Field(description="Images that fit the filter.")


class QueryReply(BaseModel):
    """The image that was searched for."""

    row: str | None = Field(description="Where it is an image of the gallery.")
    modality: Light
    guessed: bool = Field(description="Whether the light was guessed from the colours.")
    sha256: str | None = Field(description="Of the file that was sent.")
    picture: str | None = Field(description="Small JPEG as a data URI.")


class ResultReply(RowReply):
    """A line of the ranked list."""

    rank: int
    distance: float = Field(description="Smaller is nearer.")
    probability: float | None = Field(
        description="That it is the query's person, in [0, 1]; null without a calibration."
    )
    accepted: bool | None = Field(description="Whether it is within the threshold.")


class SearchReply(BaseModel):
    """The ranked list."""

    query: QueryReply
    results: list[ResultReply]
    searched: int = Field(description="Images that fit the filter.")
    verdict: Literal["in-gallery", "not-in-gallery", "unknown"]
    false_match_rate: float | None
    seconds: float = Field(description="Of the model and the search.")


class DrawnReply(BaseModel):
    """A picture that the model drew."""

    kind: Literal["translation", "swap"]
    modality: Light = Field(description="In which light the person is drawn.")
    picture: str = Field(description="JPEG as a data URI.")
    seconds: float


def result_reply(result: Result) -> ResultReply:
    """A result as the API says it."""
    hit = result.hit
    return ResultReply(
        id=hit.id,
        pid=hit.pid,
        cam=hit.cam,
        modality=light_of(hit.modality),
        time=hit.time,
        track=hit.track,
        name=file_name(hit.path),
        rank=result.rank,
        distance=hit.distance,
        probability=result.probability,
        accepted=result.accepted,
    )


def search_reply(answer: Answer, query: QueryReply, *, searched: int) -> SearchReply:
    """An answer as the API says it."""
    return SearchReply(
        query=query,
        results=[result_reply(result) for result in answer.results],
        searched=searched,
        verdict=answer.verdict,
        false_match_rate=answer.false_match_rate,
        seconds=answer.seconds,
    )


def file_name(path: str) -> str:
    """The last part of a path: where this machine keeps its files is nobody's business."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]
