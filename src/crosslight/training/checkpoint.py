"""The whole state of a training in one file, so that it can continue exactly."""

from __future__ import annotations

import copy
import errno
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from crosslight.config import Recipe, to_plain
from crosslight.errors import CheckpointError, ConfigError
from crosslight.files import written_whole
from crosslight.methods.contract import Method, Scheduled
from crosslight.training.run import as_begun, what_differs
from crosslight.training.weights import disk_faults_told, load_state, unreadable

_FORMAT = 1
_PICKLE_START = b"\x80"
_DOS_FOLDER = 0x10


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a training stands, besides its tensors.

    Attributes:
        stage: Index of the running stage.
        iteration: Iterations done in it.
        seconds: Training time so far.
        best: Best validation score so far.
        log_bytes: Length of the log.
        sums: Name → sum and count of what will stand in the next line of the log.
        moved: Optimizers whose learning rates will stand there.
        validation_due: The validation after `iteration` is still to be made.
        finished: Nothing is left to do.
    """

    stage: int = 0
    iteration: int = 0
    seconds: float = 0.0
    best: float | None = None
    log_bytes: int = 0
    sums: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    moved: tuple[str, ...] = ()
    validation_due: bool = False
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that has state in a training.

    Random numbers have none: every draw follows from the seed and the iteration.

    Attributes:
        method: Networks and buffers.
        optimizers: By name.
        scaler: Of the loss, in 16-bit arithmetic.
        config: Whose training it is.
    """

    method: Method
    optimizers: Mapping[str, Scheduled]
    scaler: torch.amp.GradScaler | None
    config: Recipe

    def _refuse_another(self, begun: Mapping[str, Any], source: Path) -> None:
        own = as_begun(begun, self.config, where=f"file {source}")
        for key, old, new in what_differs(to_plain(own), to_plain(self.config)):
            raise CheckpointError(
                f"{source} belongs to a training with {key} = {old!r}, expected {new!r}; put back "
                "the file that belongs here, or start again with another --out."
            )

    def capture(self, position: Position) -> dict[str, Any]:
        """The state as tensors and plain values; tensors are not copied."""
        return {
            "format": _FORMAT,
            "config": to_plain(self.config),
            "position": {**asdict(position), "sums": {k: [*v] for k, v in position.sums.items()}},
            "method": dict(self.method.state_dict()),
            "optimizers": {name: s.optimizer.state_dict() for name, s in self.optimizers.items()},
            "scaler": self.scaler.state_dict() if self.scaler else {},
        }

    def restore(self, state: Mapping[str, Any], source: Path) -> Position:
        """Puts a captured state back; shares no tensor with it.

        Raises:
            CheckpointError: It belongs to another training or another version.
        """
        try:
            return self._restore(state, source)
        except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(
                f"{source} is no training state of this version of crosslight "
                f"({type(error).__name__}: {error}); start again with another --out."
            ) from error

    def _restore(self, state: Mapping[str, Any], source: Path) -> Position:
        if state["format"] != _FORMAT:
            raise ValueError(f"format {state['format']} instead of {_FORMAT}")
        self._refuse_another(state["config"], source)
        stored = state["position"]
        sums = {name: (float(total), int(n)) for name, (total, n) in stored["sums"].items()}
        position = Position(**{**stored, "sums": sums})
        load_state(self.method, state["method"], source)
        for name, scheduled in self.optimizers.items():
            # An optimizer keeps the very tensors it is given, so it gets its own.
            scheduled.optimizer.load_state_dict(copy.deepcopy(state["optimizers"][name]))
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(dict(state["scaler"]))
        return position


class Checkpoints:
    """`last.pt` and the one before it in a folder.

    Args:
        folder: Made when the first is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Writes a state, whole or not at all; the former `last.pt` becomes `previous.pt`.

        Raises:
            TrainingError: The disk is full or cannot be written; the last state is still intact.
        """
        with disk_faults_told(self.last):
            upcoming = self.last.with_name("next.pt")
            with written_whole(upcoming) as file:
                _write(state, file)
            if self.last.exists():
                self.last.replace(self.previous)
            upcoming.replace(self.last)

    def load(self) -> tuple[dict[str, Any], Path] | None:
        """The newest state that is whole, and its file; None where nothing was saved.

        Raises:
            CheckpointError: The only states are damaged, one carries code, or the disk does not
                give one, which may be whole.
        """
        damage: CheckpointError | None = None
        for path in (self.last, self.previous):
            if _is_there(path):
                try:
                    return load_safely(path), path
                except DamagedCheckpointError as error:
                    damage = damage or error
        if damage:
            raise damage
        return None


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that was cut short or altered."""


def load_safely(path: Path) -> dict[str, Any]:
    """Reads a file of `torch.save` onto the CPU without running any code in it.

    Raises:
        DamagedCheckpointError: It is not as it was written.
        CheckpointError: It would run code, or the disk does not give it.
    """
    try:
        with path.open("rb") as file:
            if not _is_whole(file):
                file.seek(0)
                if file.read(1) == _PICKLE_START:
                    raise CheckpointError(_carries_code(path))
                raise DamagedCheckpointError(_damaged(path))
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:  # on foreign bytes an unpickler fails in a dozen ways
        fault = _disk_fault(error)
        if fault is not None:
            raise CheckpointError(unreadable(path, fault)) from fault
        if isinstance(error, pickle.UnpicklingError):
            raise CheckpointError(_carries_code(path)) from error
        raise DamagedCheckpointError(_damaged(path)) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no training state; remove it and start again.")
    return content


def _is_whole(file: BinaryIO) -> bool:
    """Whether it is an archive of which every byte that counts is as it was written.

    PyTorch reads an archive without looking at its checksums: altered numbers would be trained on,
    and an altered name in its pickle would look like code.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            # Of what is marked as a folder PyTorch reads nothing, and gives whatever lay in memory.
            if any(entry.external_attr & _DOS_FOLDER for entry in archive.infolist()):
                return False
            return archive.testzip() is None
    except MemoryError:
        raise
    except Exception as error:  # of an altered header: unknown compression, a password, ...
        fault = _disk_fault(error)
        if fault is not None:
            raise fault from None
        return False


def _disk_fault(error: BaseException) -> OSError | None:
    """What the system said, if that is behind an error; `zipfile` calls it a bad archive."""
    behind: BaseException | None = error
    while behind is not None:
        # Altered offsets lead to places before the file's beginning, which are invalid.
        if isinstance(behind, OSError) and behind.errno not in (None, errno.EINVAL):
            return behind
        behind = behind.__cause__ or behind.__context__
    return None


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CheckpointError(unreadable(path, error)) from error
    return True


def _carries_code(path: Path) -> str:
    return (
        f"{path} holds more than tensors and plain values and would run code on loading: refused; "
        "remove it, or put back the file that crosslight wrote."
    )


def _damaged(path: Path) -> str:
    return (
        f"{path} is damaged (cut short or altered); put back a copy of it, or remove the folder "
        f"{path.parent} to train from the start."
    )


def _write(state: Mapping[str, Any], file: Any) -> None:
    try:
        torch.save(dict(state), file)
    except RuntimeError as error:
        # The writer of torch hides the reason why a write failed behind a complaint of its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
