"""The processes that load batches: how they deliver, what they do with signals, how they fail."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.queues
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from crosslight.data.batch import Batch
from crosslight.errors import CrosslightError, ReadingError

Order = TypeVar("Order")
_HELD_BACK = {signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ())}
_SPARE_BYTES = 2**20
_LAST_BREATH_S = 1.0
"""Between the end of a process's pipes and its own, at most; there may be no death at all."""
_LOCKS = 8  # more than the queues of a loading process need
_NO_MEMORY = (
    "There is too little memory to load images; free some, or use smaller batches "
    "(data.ids_per_batch) or fewer workers (data.workers, --workers)."
)


@dataclass(frozen=True, kw_only=True)
class _Failure:
    """A user's error on its way from a loading process, which would wrap it in a traceback."""

    kind: type[CrosslightError]
    message: str


@dataclass(frozen=True, kw_only=True)
class _Parcel:
    """A batch on its way out of a loading process.

    Attributes:
        images: In shared memory, or, where there is too little of it, an array that goes through
            the pipe.
        rest: Everything else of the batch, small enough for the pipe.
    """

    images: Tensor | NDArray[np.float32]
    rest: dict[str, NDArray[Any]]

    def unpacked(self) -> Batch:
        rest = {name: torch.from_numpy(array) for name, array in self.rest.items()}
        return Batch(images=torch.as_tensor(self.images), **rest)


class Loads(Dataset[Any], Generic[Order]):
    """What turns an order into a batch, in whatever process."""

    def load(self, order: Order) -> Batch:
        """The batch.

        Raises:
            CrosslightError: It cannot be loaded.
        """
        raise NotImplementedError

    def __getitem__(self, order: Order) -> Batch | _Parcel | _Failure:
        """The batch as it leaves the process it is loaded in."""
        try:
            batch = self.load(order)
        except CrosslightError as error:
            return _Failure(kind=type(error), message=str(error))
        except MemoryError:
            return _Failure(kind=ReadingError, message=_NO_MEMORY)
        return batch if get_worker_info() is None else _packed(batch)


def loaded(dataset: Loads[Order], orders: Sequence[Order] | Any, workers: int) -> Generator[Batch]:
    """The batch of each order, in their order.

    Args:
        dataset: Loads.
        orders: What to load; has a length.
        workers: Loading processes; 0 loads in this one.

    Raises:
        CrosslightError: What the dataset raised, or a loading process could not be started, died
            or cannot deliver.
    """
    with warnings.catch_warnings():
        # More workers than cores is the user's choice: it pays where files lie far away.
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        loader: DataLoader[Any] = DataLoader(
            dataset,
            sampler=orders,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_begin,
            # The loader draws a seed that nothing here uses; without its own generator it would
            # move the global one.
            generator=torch.Generator(),
        )
        with _no_start_told(workers), _signals_held_back():
            batches = iter(loader)
    while True:
        with broken_pipes_told() if workers else nullcontext():
            got = next(batches, None)
            batch = got.unpacked() if isinstance(got, _Parcel) else got
        if batch is None:
            return
        if isinstance(batch, _Failure):
            raise batch.kind(batch.message)
        with worker_deaths_told():
            yield batch


@contextmanager
def worker_deaths_told() -> Iterator[None]:
    """Turns the death of a loading process into one sentence.

    It is heard of through a signal, so the complaint may come up anywhere while batches are used,
    not only where the next one is asked for.

    Raises:
        ReadingError: In place of the complaint of torch.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ReadingError(_death(str(error))) from error


@contextmanager
def broken_pipes_told() -> Iterator[None]:
    """Around the loader alone, where whatever a half-sent batch provokes means such a death.

    Raises:
        ReadingError: In place of the complaint of the pipe.
    """
    with worker_deaths_told():  # the signal may come at any line here
        try:
            yield
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            if "Caught" in str(error):  # a defect inside the loading process, with its traceback
                raise
            _bury()
            raise ReadingError(_death(str(error))) from error


def _bury() -> None:
    """Waits for the process whose pipe broke: its signal would interrupt who tells of its death."""
    living = {process.sentinel: process for process in multiprocessing.active_children()}
    for sentinel in multiprocessing.connection.wait(list(living), timeout=_LAST_BREATH_S):
        if isinstance(sentinel, int):
            living[sentinel].join()


@contextmanager
def _no_start_told(workers: int) -> Iterator[None]:
    try:
        # The loader, when it is stopped half-way by this, would complain on its own.
        locks = [multiprocessing.Semaphore() for _ in range(_LOCKS * workers)]
        del locks
        yield
    except OSError as error:
        raise ReadingError(
            f"{workers} processes that load images could not be started ({error.strerror}): memory "
            "or shared memory (/dev/shm) is full or closed; free some, or load with fewer workers "
            "(data.workers, --workers), 0 for none."
        ) from error


def _death(reason: str) -> str:
    return (
        f"A process that loads images died ({(reason or 'it fell silent').splitlines()[0]}), "
        "usually for want of memory; free some, or load with fewer workers (data.workers, "
        "--workers)."
    )


def _packed(batch: Batch) -> _Parcel:
    held = {f.name: getattr(batch, f.name) for f in fields(batch)}
    rest = {name: t.numpy() for name, t in held.items() if name != "images" and t is not None}
    if not _leaves_spare(batch.images.nbytes):
        return _Parcel(images=batch.images.numpy(), rest=rest)
    try:
        # Here, not in the thread that sends: where the memory is too little (64 MB in a container),
        # that thread would fail unheard, and everybody wait for the batch for ever.
        images = batch.images.share_memory_()
    except (RuntimeError, OSError):
        return _Parcel(images=batch.images.numpy(), rest=rest)
    return _Parcel(images=images, rest=rest)


def _leaves_spare(size: int) -> bool:
    """Whether that much shared memory leaves some for the locks of processes started later."""
    try:
        place = os.statvfs("/dev/shm")
    except (OSError, AttributeError):  # not Linux
        return True
    return place.f_bavail * place.f_frsize >= size + _SPARE_BYTES


def _as_it_is(got: Any) -> Any:
    return got


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP wait; processes started meanwhile begin, and stay, so.

    It has to be so from their first moment: libraries start threads in a forked process before
    any of our code runs there, and a signal to a process reaches any thread that lets it through.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(_: int) -> None:
    # A thread that cannot send a batch would print a traceback and go on; dying is heard.
    multiprocessing.queues.Queue._on_queue_feeder_error = _die  # type: ignore[attr-defined]
    # Ctrl-C, a closed terminal and a scheduler's SIGTERM reach the whole process group; the parent
    # still needs batches until its iteration is done. Its own SIGTERM, when it clears away, must
    # be obeyed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None or not hasattr(signal, "pthread_sigmask"):
        return
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_obey, args=(parent.pid,), daemon=True).start()
    else:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _die(*_: object) -> None:
    os._exit(1)


def _obey(parent: int | None) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)
