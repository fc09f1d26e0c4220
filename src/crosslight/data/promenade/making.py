"""Writes a Promenade data set: resumable, the same bytes for any number of workers."""

import io
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from crosslight.data.promenade.factors import Scalar
from crosslight.data.promenade.layouts import plan_images
from crosslight.data.promenade.produce import (
    Produced,
    Producer,
    chunks_of,
    depend_on_parent,
    produce_in_worker,
)
from crosslight.data.promenade.recipe import (
    Plan,
    Recipe,
    claim_folder,
    make_folder,
    make_recipe,
    remove_parts,
    write_whole,
)
from crosslight.data.promenade.wishes import Wishes
from crosslight.data.record import FACTORS
from crosslight.errors import ConfigError, CrosslightError, DataError

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ORDER = "order"
FRAME_ROWS = 2000
"""Factor rows that are held as Python objects before they are packed."""


class MakeInterruptedError(CrosslightError):
    """The user stopped the work; what is done is kept."""

    exit_code = 130


@dataclass(frozen=True, kw_only=True)
class MakeSummary:
    """What `make` did.

    Attributes:
        out: The folder.
        images: How many images the data set has.
        rendered: How many were drawn by this call; the others were there.
        seconds: Wall time.
    """

    out: Path
    images: int
    rendered: int
    seconds: float


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Images per second."""
        return Text(f"{task.speed:.0f} images/s" if task.speed else "- images/s")


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started inside compute with one thread."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _produce_here(out: Path, recipe: Recipe, plan: Plan) -> Iterator[Produced]:
    producer = Producer(out, recipe, plan.ids)
    for number, chunk in enumerate(chunks_of(plan.images)):
        yield producer.produce(number, chunk)


def _produce_in_workers(out: Path, recipe: Recipe, plan: Plan, workers: int) -> Iterator[Produced]:
    # Spawned, not forked: a fork beside the threads of other libraries can hang.
    executor = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=depend_on_parent,
    )
    waiting: set[Future[Produced]] = set()
    try:
        with _one_thread_each():
            for number, chunk in enumerate(chunks_of(plan.images)):
                waiting.add(
                    executor.submit(produce_in_worker, out, recipe, plan.ids, number, chunk)
                )
                if len(waiting) >= 4 * workers:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
    except BrokenProcessPool as error:
        raise DataError(
            "a worker ended without a word, perhaps for want of memory: run the same command "
            "again with fewer --workers; it goes on from what is there."
        ) from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


class _FactorTable:
    """Collects factor rows in any order, compactly, and writes them in the order of the plan."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Scalar]] = []
        self._frames: list[polars.DataFrame] = []

    def add(self, chunk: Produced) -> None:
        self._rows += [row | {_ORDER: chunk.number} for row in chunk.rows]
        if len(self._rows) >= FRAME_ROWS:
            self._pack()

    def _pack(self) -> None:
        self._frames.append(polars.DataFrame(self._rows, infer_schema_length=None))
        self._rows = []

    def content(self) -> bytes:
        if self._rows:
            self._pack()
        table = polars.concat(self._frames).sort(_ORDER, maintain_order=True).drop(_ORDER)
        buffer = io.BytesIO()
        table.rechunk().write_parquet(buffer)
        return buffer.getvalue()


def make(
    out: Path | str,
    *,
    workers: int = 0,
    progress: bool = True,
    **wishes: Any,
) -> MakeSummary:
    """Writes a data set into a folder, or completes one that was begun.

    Beside the images lie the lists of the layout, `promenade.json` with these settings, and
    `factors.parquet` with one row per image: path, pid, person, world, camera, index, spectrum,
    split and every factor.

    Args:
        out: A new or empty folder, or one that an earlier call began with the same settings.
        workers: Processes; 0 and 1 work in this one.
        progress: Shows a bar on the standard error stream.
        wishes: Those of `Wishes`, such as `preset`, `layout`, `people`, `height` or `seed`.

    Raises:
        ConfigError: Settings that do not exist or do not fit what the folder holds.
        DataError: The folder holds something else or cannot be written.
        MakeInterruptedError: Ctrl-C; calling again goes on.
    """
    recipe = make_recipe(Wishes(**wishes))
    if workers < 0:
        raise ConfigError(f"{workers} workers cannot work: give --workers 0 or more.")
    started = time.monotonic()
    out = Path(out)
    claim_folder(out, recipe)
    plan = plan_images(recipe)
    _prepare(out, plan)
    if workers > 1:
        produced = _produce_in_workers(out, recipe, plan, workers)
    else:
        produced = _produce_here(out, recipe, plan)
    table = _FactorTable()
    rendered = _collect(produced, table, out, recipe, len(plan.images), progress=progress)
    write_whole(out / FACTORS, table.content())
    return MakeSummary(
        out=out,
        images=len(plan.images),
        rendered=rendered,
        seconds=time.monotonic() - started,
    )


def _prepare(out: Path, plan: Plan) -> None:
    """Everything but the images."""
    remove_parts(out)
    for folder in plan.folders:
        make_folder(out / folder)
    for name, content in plan.files.items():
        write_whole(out / name, content)


def _collect(
    produced: Iterator[Produced],
    table: _FactorTable,
    out: Path,
    recipe: Recipe,
    images: int,
    *,
    progress: bool,
) -> int:
    """Waits for all images; how many of them were drawn now.

    Raises:
        MakeInterruptedError: Ctrl-C.
    """
    rendered = done = 0
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not progress,
    )
    try:
        with bar:
            task = bar.add_task(f"Promenade {recipe.preset}", total=images)
            for chunk in produced:
                table.add(chunk)
                rendered += chunk.rendered
                done += len(chunk.rows)
                bar.update(task, completed=done)
    except KeyboardInterrupt:
        produced.close()  # type: ignore[attr-defined]
        raise MakeInterruptedError(
            f"stopped with at least {done} of {images} images in {out}: "
            "run the same command again to go on."
        ) from None
    return rendered
