"""What a worker does: takes shots, and writes the pictures that are not there yet."""

import io
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from crosslight.data.promenade.arrays import Pixels
from crosslight.data.promenade.factors import Scalar, flatten
from crosslight.data.promenade.layouts import take_shot
from crosslight.data.promenade.recipe import PlannedImage, Recipe, write_whole
from crosslight.data.promenade.world import World

CHUNK = 8
"""Images per task: small enough to stop quickly, large enough to be worth a message."""
_JPEG_QUALITY = 95
_BMP_HEADER = 54


@dataclass(frozen=True, kw_only=True)
class Produced:
    """The factor rows of a chunk, in its order, and how many of its images were drawn now."""

    number: int
    rows: list[dict[str, Scalar]]
    rendered: int


def chunks_of(images: tuple[PlannedImage, ...]) -> Iterator[tuple[PlannedImage, ...]]:
    """The images in runs of `CHUNK`."""
    for start in range(0, len(images), CHUNK):
        yield images[start : start + CHUNK]


def encode(image: Pixels, suffix: str) -> bytes:
    """The bytes of an image file, `.jpg` or `.bmp`."""
    buffer = io.BytesIO()
    if suffix == ".bmp":
        Image.fromarray(image).save(buffer, "BMP")
    else:
        Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def is_whole(path: Path, height: int, width: int) -> bool:
    """Whether an image file is there from its first to its last byte."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    if path.suffix == ".bmp":
        stride = (3 * width + 3) // 4 * 4
        return content[:2] == b"BM" and len(content) == _BMP_HEADER + stride * height
    return content[:2] == b"\xff\xd8" and content[-2:] == b"\xff\xd9"


class Producer:
    """Draws the images of one recipe into one folder."""

    def __init__(self, root: Path, recipe: Recipe, ids: int) -> None:
        """Prepares to draw.

        Args:
            root: The folder.
            recipe: What the data set is made from.
            ids: How many people the world has.
        """
        self._root = root
        self._recipe = recipe
        self._world = World.of(recipe, ids)

    def produce(self, number: int, images: Iterable[PlannedImage]) -> Produced:
        """Makes sure that the images of a chunk exist.

        Raises:
            DataError: An image cannot be written.
        """
        rows, rendered = [], 0
        height, width = self._recipe.height, self._recipe.width
        for planned in images:
            shot = take_shot(self._world, planned)
            row: dict[str, Scalar] = {
                "path": planned.path,
                "pid": planned.pid,
                "person": planned.person,
                "world": self._world.number_of(planned.person),
                "camera": planned.camera,
                "index": planned.index,
                "spectrum": planned.spectrum.value,
                "split": planned.split,
            }
            rows.append(row | flatten(self._world.person(planned.person), shot))
            path = self._root / planned.path
            if not is_whole(path, height, width):
                image = self._world.render(shot, height, width)
                write_whole(path, encode(image, path.suffix))
                rendered += 1
        return Produced(number=number, rows=rows, rendered=rendered)


@cache
def _producer(root: Path, recipe: Recipe, ids: int) -> Producer:
    return Producer(root, recipe, ids)


def depend_on_parent() -> None:
    """For worker processes: Ctrl-C is the parent's to answer, and without it they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    # A killed parent cannot tell; its workers would wait for tasks for ever.
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def produce_in_worker(
    root: Path, recipe: Recipe, ids: int, number: int, images: tuple[PlannedImage, ...]
) -> Produced:
    """`Producer.produce` in a process of its own, which keeps its producer between chunks."""
    return _producer(root, recipe, ids).produce(number, images)
