"""Trainings that fill a folder: each row is claimed, made and kept, and the table renewed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from crosslight.experiments.evaluation import Evaluation
from crosslight.experiments.fitting import Fitting
from crosslight.files import require_folder
from crosslight.locking import LOCK_NAME, FolderLock

State = Literal["begins", "done", "was done", "elsewhere", "waits", "failed"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training among several, before and after it is done.

    Attributes:
        number: From 1.
        total: Rows asked for.
        name: Of what is trained.
        seed: Of the training.
        place: Its run folder.
        state: `begins`, `done`, `was done` by an earlier call, `elsewhere`: another process works
            on it, `waits` for a row that is elsewhere, or `failed`.
        fitting: Of a row that begins.
        evaluation: Of a row that is done now.
        fault: The sentence of a row that failed, now or before.
    """

    number: int
    total: int
    name: str
    seed: int
    place: Path
    state: State
    fitting: Fitting | None = None
    evaluation: Evaluation | None = None
    fault: str | None = None


class Work(ABC):
    """What makes one row.

    Attributes:
        name: Of what is trained.
        seed: Of the training.
        place: Its run folder.
        claim: Whoever is at the row locks a file of this name, hidden, beside this path.
    """

    name: str
    seed: int
    place: Path

    @property
    def claim(self) -> Path:
        """The run folder, unless several of them may make the same row."""
        return self.place

    @abstractmethod
    def was_done(self) -> bool:
        """Whether an earlier call, or another process, has kept the row."""

    @abstractmethod
    def prepare(self) -> Fitting | None:
        """What is to be trained; None where nothing is, or a row before it must be done first."""

    @abstractmethod
    def finish(self, fitting: Fitting) -> Evaluation | None:
        """Trains, scores and keeps the row."""

    def fault(self) -> str | None:
        """The sentence of a row that was done and failed."""
        return None

    def kept_fault(self, error: Exception) -> str:
        """Keeps a failure as the row's result and gives its sentence; else the error goes on."""
        raise error


def fill(folder: Path, works: Sequence[Work], renew: Callable[[], None]) -> Iterator[Row]:
    """Does what is not done yet, in order, and renews the folder's table after each row of it.

    Each row is given when it begins and when it is done; the next begins when it is asked for.
    Several processes may fill one folder: each takes the rows that no other is at, and only one
    of them renews the table at a time. The system frees the rows of a process that dies.

    Args:
        folder: What the rows fill.
        works: A row each.
        renew: Writes the table of all that is kept; at the end once more.
    """
    require_folder(folder)
    for number, work in enumerate(works, start=1):
        row = Row(
            number=number,
            total=len(works),
            name=work.name,
            seed=work.seed,
            place=work.place,
            state="was done",
        )
        with _claimed(work.claim) as is_ours:
            if not is_ours:
                row = replace(row, state="elsewhere")
            elif work.was_done():
                row = replace(row, fault=work.fault())
            else:
                fitting = _prepared(work)
                if isinstance(fitting, Fitting):
                    yield replace(row, state="begins", fitting=fitting)
                row = _finished(work, row, fitting)
        # Of a hundred rows that were done before, the table is written once.
        if row.state in ("done", "failed") or number == len(works):
            with alone(folder):
                renew()
        yield row


def _prepared(work: Work) -> Fitting | str | None:
    try:
        return work.prepare()
    except Exception as error:
        return work.kept_fault(error)


def _finished(work: Work, row: Row, fitting: Fitting | str | None) -> Row:
    if fitting is None:
        return replace(row, state="waits")
    if isinstance(fitting, str):
        return replace(row, state="failed", fault=fitting)
    try:
        return replace(row, state="done", evaluation=work.finish(fitting))
    except Exception as error:
        return replace(row, state="failed", fault=work.kept_fault(error))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, no other process changes what all rows of a folder share."""
    lock = FolderLock(folder)
    lock.acquire_when_free()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Whether a row is this process's, which holds while the block runs."""
    require_folder(place.parent)
    lock = FolderLock(place.parent, f".{place.name}{LOCK_NAME}")
    try:
        lock.acquire()
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
