"""A run folder belongs to one process from the check of it to the end of the training."""

from __future__ import annotations

import os
from pathlib import Path
from weakref import WeakValueDictionary

from crosslight.errors import ConfigError
from crosslight.locking import FolderLock
from crosslight.training.weights import disk_faults_told

_RANKS = (
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "GROUP_RANK",
    "SLURM_PROCID",
    "JSM_NAMESPACE_RANK",
    "OMPI_COMM_WORLD_RANK",
    "PMI_RANK",
)
"""Where whoever starts several processes of one training says which of them this is."""


class Claim(FolderLock):
    """Goes with the last that refers to it, so that a training never begun keeps nobody out."""

    def __del__(self) -> None:
        self.release()


_waiting: WeakValueDictionary[str, Claim] = WeakValueDictionary()
"""What this process has claimed and does not train into yet, by the folder."""


def claim(folder: Path) -> Claim | None:
    """Takes a folder for this process; None where another process has it, or a training.

    Asked again before the training begins, it gives the same: a process that was told another
    recipe meanwhile is not its own rival.

    Raises:
        TrainingError: The folder cannot be written.
    """
    place = os.path.realpath(folder)
    lock = _waiting.get(place)
    if lock is None or not lock.is_in_place():
        lock = Claim(folder)
    with disk_faults_told(folder):
        try:
            lock.acquire()
        except BlockingIOError:
            return None
    _waiting[place] = lock
    return lock


def claim_for_training(folder: Path) -> Claim:
    """Takes a folder, or takes it over from `claim`, and from then on nobody else gets it.

    Raises:
        ConfigError: Another training has it.
        TrainingError: The folder cannot be written.
    """
    lock = claim(folder)
    if lock is None:
        raise taken(folder)
    del _waiting[os.path.realpath(folder)]
    return lock


def give_up(folder: Path) -> None:
    """Gives back what was claimed for a training that will not begin."""
    lock = _waiting.pop(os.path.realpath(folder), None)
    if lock is not None:
        lock.release()


def taken(folder: Path) -> ConfigError:
    """The sentence of a second start."""
    return ConfigError(
        f"Another training writes to {folder}; wait until it is done, or give another --out."
    )


def is_numbered() -> bool:
    """Whether this may be one of several processes that begin a training together."""
    return any(name in os.environ for name in _RANKS)


def is_first() -> bool:
    """Whether it would be the first of them, who alone writes."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
