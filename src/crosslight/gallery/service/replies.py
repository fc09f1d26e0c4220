"""What the API answers; these classes are its published description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from crosslight.files import file_name
from crosslight.gallery.calibration.open_set import Verdict
from crosslight.gallery.people.marks import Judgement
from crosslight.gallery.people.names import Names
from crosslight.gallery.people.people import Person
from crosslight.gallery.same import Comparison, Sameness
from crosslight.gallery.search import Answer, Result
from crosslight.gallery.service.users import RoleName
from crosslight.types import Distance, Light, Modality

ORDER = ("first", "second")


def light_of(modality: int) -> Light:
    """The name of a `Modality`."""
    return "infrared" if modality == Modality.INFRARED else "visible"


class ErrorReply(BaseModel):
    """Why a request was not answered."""

    error: str = Field(description="One sentence: what was found, what was expected.")


class HealthReply(BaseModel):
    """The service runs and its store answers."""

    status: Literal["ok"] = "ok"


class VisitorReply(BaseModel):
    """Who asks."""

    name: str | None = Field(description="Of a user; none where one token, or none, is needed.")
    role: RoleName = Field(
        description="What this visitor may do; each may also what those before it may."
    )


class CameraReply(BaseModel):
    """A camera of the gallery."""

    cam: int = Field(description="Its number; -1 where unknown.")
    name: str | None = Field(description="What it is called, where it has a name.")
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
    false_match_rate: float | None = Field(
        description="Share of pairs of different people that the calibration's threshold lets pass."
    )
    translates: bool = Field(description="Whether the model draws people in the other light.")
    swaps: bool = Field(description="Whether it draws people's clothes on others' bodies.")
    right: int = Field(description="Marks that say right, of everybody.")
    wrong: int = Field(description="Marks that say wrong, of everybody.")
    upload_bytes: int = Field(description="Largest request.")
    upload_pixels: int = Field(description="Largest image.")
    smallest_width: int = Field(description="Pixels below which nobody is recognised.")
    smallest_height: int


class RowReply(BaseModel):
    """An image of the gallery."""

    id: str
    pid: int | None = Field(description="Person, where known.")
    person: str | None = Field(description="Name of the person, where there is one.")
    cam: int = Field(description="-1 where unknown.")
    camera: str | None = Field(description="Name of the camera, where there is one.")
    modality: Light
    time: float | None = Field(description="Seconds, where known.")
    track: str | None
    name: str = Field(description="Name of the file it came from.")


class RowsReply(BaseModel):
    """Some images of the gallery."""

    rows: list[RowReply]
    total: int = Field(description="Images that fit the filter.")


class RemovedReply(BaseModel):
    """What is no longer in the gallery."""

    removed: int = Field(description="Images.")


class BoxReply(BaseModel):
    """A person in a picture, in pixels from its upper left corner."""

    left: float
    top: float
    right: float
    bottom: float
    score: float = Field(description="How sure the detector is, in [0, 1].")


class BoxesReply(BaseModel):
    """Where people are in a picture, from left to right."""

    width: int = Field(description="Of the picture that was sent, upright.")
    height: int
    boxes: list[BoxReply]


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
    accepted: bool | None = Field(
        description="Whether it is near enough for the rate of false alarms."
    )
    mark: Judgement | None = Field(description="What the visitor marked of this result.")


class SearchReply(BaseModel):
    """The ranked list."""

    query: QueryReply
    results: list[ResultReply]
    searched: int = Field(description="Images that fit the filter.")
    warning: str | None = Field(description="Why the picture can show nobody, if so.")
    verdict: Verdict
    false_alarms: float | None = Field(
        description="Share of searches for people who are not in the gallery that may end with "
        "in-gallery; null where the calibration cannot say."
    )
    alarm: float | None = Field(
        description="Share of such searches that find something as near as this one did."
    )
    share_found: float | None = Field(
        description="Share of images of people who are in the gallery that are found at this rate "
        "of false alarms, as far as the people of the calibration tell."
    )
    seconds: float = Field(description="Of the model and the search.")


class Interval(BaseModel):
    """Where a value lies in 95 of 100 samples of the people of the calibration, drawn again."""

    low: float
    high: float


class SameReply(BaseModel):
    """The answer for two pictures."""

    answer: Sameness = Field(
        description="same from 0.8 on, different from 0.2 down, both only where the whole interval "
        "is on that side of one half; else open, or unknown where the calibration cannot say."
    )
    first: Light = Field(description="Light of the first picture.")
    second: Light
    warning: str | None = Field(description="Why one of the pictures can show nobody, if so.")
    distance: float
    probability: float | None = Field(description="That they show the same person, in [0, 1].")
    interval: Interval | None = Field(description="Of the probability.")
    ratio: float | None = Field(
        description="How many times as often images of one person are this far apart as others."
    )
    ratio_interval: Interval | None
    prior: float = Field(description="The probability before the pictures were looked at.")


class DrawnReply(BaseModel):
    """A picture that the model drew."""

    kind: Literal["translation", "swap"]
    modality: Light = Field(description="In which light the person is drawn.")
    picture: str = Field(description="JPEG as a data URI.")
    seconds: float


class PersonReply(BaseModel):
    """Somebody of the gallery who has a number."""

    pid: int
    name: str | None
    note: str
    rows: int = Field(description="Images of this person.")
    tracks: int
    cams: list[int] = Field(description="Cameras that have seen them; -1 where one is unknown.")
    earliest: float | None = Field(description="Smallest time, in seconds.")
    latest: float | None
    row: str = Field(description="The newest image.")


class PeopleReply(BaseModel):
    """The people of the gallery."""

    people: list[PersonReply] = Field(description="Those with a name first.")
    total: int = Field(description="How many there are.")
    unknown: int = Field(description="Images of whom nobody has said who it is.")


class WhoReply(BaseModel):
    """Who is on an image, as far as somebody has said."""

    row: str
    person: PersonReply | None
    track: str | None
    track_rows: int = Field(description="Images of its track, itself included; 0 without one.")


class ChangedReply(BaseModel):
    """Whose images are whose now."""

    person: PersonReply
    rows: int = Field(description="Images that were given to this person.")
    said: list[str] = Field(description="What else was done, a sentence each.")


class MarksReply(BaseModel):
    """How many marks there are, of everybody."""

    right: int
    wrong: int


class SomebodyReply(BaseModel):
    """A person, or a track of whom nobody has said who it is."""

    who: str = Field(description="What merge and apart take.")
    told: str = Field(description="For people to read.")
    row: str = Field(description="One of their images.")


class ProposalReply(BaseModel):
    """Two who may be one person."""

    first: SomebodyReply
    second: SomebodyReply
    distance: float = Field(description="Mean distance between their images.")
    probability: float | None = Field(description="That they are one; null without a calibration.")


class ProposalsReply(BaseModel):
    """Those who may be one person, likeliest first."""

    proposals: list[ProposalReply]


def person_reply(person: Person) -> PersonReply:
    """A person as the API says it."""
    return PersonReply(
        pid=person.pid,
        name=person.name,
        note=person.note,
        rows=person.rows,
        tracks=person.tracks,
        cams=list(person.cams),
        earliest=person.first,
        latest=person.last,
        row=person.row,
    )


def row_reply(row: Mapping[str, Any], names: Names) -> RowReply:
    """A row as the API says it."""
    return RowReply(
        id=row["id"],
        pid=row["pid"],
        person=names.people.get(row["pid"]),
        cam=row["cam"],
        camera=names.cameras.get(row["cam"]),
        modality=light_of(row["modality"]),
        time=row["time"],
        track=row["track"],
        name=file_name(row["path"]),
    )


def result_reply(result: Result, names: Names, mark: Judgement | None) -> ResultReply:
    """A result as the API says it."""
    return ResultReply(
        **row_reply(asdict(result.hit), names).model_dump(),
        rank=result.rank,
        distance=result.hit.distance,
        probability=result.probability,
        accepted=result.accepted,
        mark=mark,
    )


def search_reply(
    answer: Answer,
    query: QueryReply,
    names: Names,
    marks: Mapping[str, Judgement],
    fault: str | None = None,
) -> SearchReply:
    """An answer as the API says it.

    Args:
        answer: What was found.
        query: What was asked.
        names: Of people and cameras.
        marks: What was judged of the results.
        fault: As `fault_of` says it of the query's picture.
    """
    return SearchReply(
        query=query,
        results=[result_reply(one, names, marks.get(one.hit.id)) for one in answer.results],
        searched=answer.searched,
        warning=None if fault is None else f"The picture {fault}.",
        verdict=answer.verdict,
        false_alarms=answer.false_alarms,
        alarm=answer.alarm,
        share_found=answer.share_found,
        seconds=answer.seconds,
    )


def same_reply(found: Comparison, faults: Sequence[str | None] = ()) -> SameReply:
    """A comparison as the API says it.

    Args:
        found: The comparison.
        faults: As `fault_of` says them of the first and the second picture.
    """
    said = [f"The {ORDER[n]} picture {fault}." for n, fault in enumerate(faults) if fault]

    def interval(ends: tuple[float, float] | None) -> Interval | None:
        return None if ends is None else Interval(low=ends[0], high=ends[1])

    return SameReply(
        answer=found.answer,
        first=light_of(found.modalities[0]),
        second=light_of(found.modalities[1]),
        warning=" ".join(said) or None,
        distance=found.distance,
        probability=found.probability,
        interval=interval(found.interval),
        ratio=found.ratio,
        ratio_interval=interval(found.ratio_interval),
        prior=found.prior,
    )
