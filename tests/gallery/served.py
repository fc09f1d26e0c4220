"""A gallery of made-up people and a model that sees their pattern in any light, for the service."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from crosslight.gallery.calibration.calibration import Calibration, Curve
from crosslight.gallery.calibration.false_alarms import Alarms
from crosslight.gallery.search import Embedder, Searcher
from crosslight.gallery.stores.opening import create_like, create_store, open_store
from crosslight.gallery.stores.rows import Vectors, build_rows
from crosslight.gallery.stores.store import Store
from crosslight.types import Modality

PEOPLE = 8
CAMS = (1, 2, 3)
INFRARED_CAM = 3
EPOCH_S = 1_795_000_000.0
HEIGHT, WIDTH = 64, 32
SECRET_FOLDER = "/srv/secret/where/images/are"


def picture(person: int, cam: int, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A person as a camera sees it: one pattern of light and dark, coloured but by camera 3."""
    pattern = np.random.default_rng(person).uniform(40, 220, size=(8, 4))
    noise = np.random.default_rng([person, cam]).normal(0, 4, size=(8, 4))
    gray = Image.fromarray(np.clip(pattern + noise, 0, 255).astype(np.uint8)).resize(size)
    if cam == INFRARED_CAM:
        return gray.convert("RGB")
    return ImageOps.colorize(gray, "black", "white", mid=("#c05030", "#3060c0")[cam % 2])


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The file that holds an image."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def embed(images: list[Image.Image], modality: list[int]) -> Vectors:
    """Light and dark, which is what the made-up people differ in."""
    small = [np.asarray(image.convert("L").resize((4, 8)), dtype=np.float32) for image in images]
    return np.stack([(one - one.mean()).ravel() for one in small])


EMBEDDER = Embedder(
    fingerprint="b" * 64,
    method="pattern",
    run="runs/pattern",
    distance="cosine",
    height=HEIGHT,
    width=WIDTH,
    embed=embed,
)
DRAWING = replace(
    EMBEDDER,
    translate=lambda image, *_: ImageOps.grayscale(image).convert("RGB"),
    swap=lambda appearance, _: ImageOps.invert(appearance),
)

CURVE = Curve(
    fit="logistic",
    distances=(0.0, 0.1, 0.4),
    log_ratios=(7.0, 3.0, -7.0),
    low_ratios=(5.0, 2.0, -9.0),
    high_ratios=(9.0, 4.0, -6.0),
    prior=0.1,
    threshold=0.1,
    missed=0.05,
    same=100,
    different=900,
    log_loss=0.1,
    reliability=((0.9, 0.9, 10),),
)
ALARMS = tuple(
    Alarms(
        query=query,
        row=row,
        rows=16,
        people=499,
        distances=(0.1, 0.1001, 0.4),
        sizes=(16.0, 1.0),
        rates=((0.002, 0.5, 0.9), (0.002, 0.1, 0.5)),
        found=(0.8, 0.8, 1.0),
    )
    for query in (0, 1)
    for row in (0, 1)
)
CALIBRATION = Calibration(
    false_match_rate=0.01,
    data="made up",
    people=PEOPLE,
    within=CURVE,
    across=CURVE,
    alarms=ALARMS,
)


def made_store(location: Path, *, people: int = PEOPLE, calibrated: bool = True) -> Store:
    """An exact store with one image of each person by each camera, a minute apart."""
    store = create_store(
        location,
        model=EMBEDDER.fingerprint,
        method=EMBEDDER.method,
        run=EMBEDDER.run,
        dim=32,
        distance="cosine",
    )
    seen = [(person, cam) for person in range(people) for cam in CAMS]
    if seen:
        images = [picture(person, cam) for person, cam in seen]
        lights = [int(Modality(int(cam == INFRARED_CAM))) for _, cam in seen]
        columns = {
            "id": [row_id(person, cam) for person, cam in seen],
            "pid": [person for person, _ in seen],
            "cam": [cam for _, cam in seen],
            "modality": lights,
            "time": [EPOCH_S + 60 * number for number in range(len(seen))],
            "path": [f"{SECRET_FOLDER}/{person}-{cam}.png" for person, cam in seen],
            "thumbnail": [encoded(image, "JPEG", comment=SECRET_FOLDER) for image in images],
        }
        store.add(build_rows(columns, embed(images, lights), model=EMBEDDER.fingerprint))
    if calibrated:
        store.set_calibration(CALIBRATION.to_plain())
    return store


def row_id(person: int, cam: int) -> str:
    """The id of a person's image by a camera; its characters need care in addresses."""
    return f"p{person}/cam {cam}&é.png"


def made_searcher(
    location: Path, *, drawing: bool = False, translating: bool = True, **options: object
) -> Searcher:
    """Model and store; a model that draws may only swap."""
    model = DRAWING if translating else replace(DRAWING, translate=None)
    return Searcher(made_store(location, **options), model if drawing else EMBEDDER)


def tracked(folder: Path) -> Searcher:
    """A store of tracks: a and b of one look, and somebody beside a in a frame."""
    with made_store(folder / "made.exact", people=0) as made:
        info = made.info
    tracks = [("a", 1, 0.0), ("b", 1, 50.0), ("beside", 2, 2.0)]
    rows = [(track, look, begin + n, n) for track, look, begin in tracks for n in range(3)]
    columns = {
        "id": [f"{track}/{n}" for track, _, _, n in rows],
        "cam": [1] * len(rows),
        "time": [time for *_, time, _ in rows],
        "track": [track for track, *_ in rows],
        "path": [f"w.mp4#t={time}" for *_, time, _ in rows],
    }
    vectors = embed([picture(look, 1) for _, look, *_ in rows], [0] * len(rows))
    with create_like(folder / "tracks.exact", info) as store:
        store.add(build_rows(columns, vectors, model=EMBEDDER.fingerprint))
    return Searcher(open_store(folder / "tracks.exact"), EMBEDDER)
