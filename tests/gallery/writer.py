"""Enrols made-up people until it is killed: the process that test_kills.py kills.

Prints how many candidates are dealt with after each batch: what was said must be in the store.
It then waits for a line, so that whoever is about to kill it can be as slow as it must; after the
last line it goes on alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from PIL import Image

from crosslight.gallery import enrolment
from crosslight.gallery.candidates import Candidate
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.search import Embedder
from crosslight.gallery.stores import exact
from crosslight.gallery.stores.lance import index
from crosslight.gallery.stores.opening import open_store
from tests.gallery.rows import DIM, MODEL

BATCH = 20
PARTS_AT_MOST = 4  # so that kills also meet maintenance


def name_of(number: int) -> str:
    return f"person-{number:06}"


def candidates(count: int, cam: int = -1) -> Iterator[Candidate]:
    for number in range(count):
        picture = Image.new("RGB", (32, 64), (number % 256, number // 256, 0))
        yield Candidate(
            id=name_of(number), image=picture, path=f"{number}.jpg", modality=0, cam=cam
        )


def embed(images, modality):
    colours = np.array([image.getpixel((0, 0)) for image in images], np.float32)
    return np.concatenate([colours, np.ones((len(images), DIM - 3), np.float32)], axis=1)


EMBEDDER = Embedder(
    fingerprint=MODEL, method="colours", run=".", distance="cosine", height=64, width=32,
    embed=embed,
)  # fmt: skip


def main(location: str, count: int, cam: int) -> None:
    enrolment.BATCH = BATCH
    index.PARTS_AT_MOST = exact.PARTS_AT_MOST = PARTS_AT_MOST
    done, alone = 0, False

    def advance(more: int) -> None:
        nonlocal done, alone
        done += more
        print(done, flush=True)
        if not alone:
            alone = not sys.stdin.readline()

    with open_store(location) as store:
        enrol(store, EMBEDDER, candidates(count, cam), advance=advance)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
