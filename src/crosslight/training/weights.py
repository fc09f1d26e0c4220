"""Weights in a file that cannot carry code, with what is needed to build their method again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from crosslight.config import build
from crosslight.errors import CheckpointError, ConfigError, TrainingError
from crosslight.files import written_whole
from crosslight.system import CLOSED, shortage

_METADATA_KEY = "crosslight"
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What weights are weights of.

    Attributes:
        method: Name in the registry.
        config: The method's configuration as plain values.
        num_ids: People it was trained on.
        height: Image height in pixels.
        width: Image width in pixels.
        interpolation: How images are brought to that size.
        stage: Stage of training they come from.
        iteration: Iterations done in that stage.
        select: Figure that chose them, None for the last weights.
        score: Its value.
        data: What they were trained on: layout, fingerprint and the like.
        untrained: Each `Doing`, and `code NAME`, for which they are not enough, because the program
            that they came from had no such part, or its file was not given.
    """

    method: str
    config: Any
    num_ids: int
    height: int
    width: int
    stage: str
    iteration: int
    interpolation: str = "bilinear"
    select: str | None = None
    score: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()


def save_weights(path: Path, module: nn.Module, card: ModelCard) -> None:
    """Writes a module's weights and their card, whole or not at all.

    Raises:
        TrainingError: The disk is full or cannot be written; an older file is still intact.
    """
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in module.state_dict().items()
    }
    metadata = {_METADATA_KEY: json.dumps(dataclasses.asdict(card))}
    content = safetensors.torch.save(tensors, metadata=metadata)
    with disk_faults_told(path), written_whole(path) as file:
        file.write(content)


def load_weights(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """Reads a card and its weights.

    Raises:
        CheckpointError: No such file, damaged, not safetensors, or not written by crosslight; or
            the disk does not give it, and it may be whole.
    """
    with _opened(path) as file:
        return _card_of(file, path), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def load_card(path: Path) -> ModelCard:
    """Reads a card alone; raises what `load_weights` does."""
    with _opened(path) as file:
        return _card_of(file, path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise CheckpointError(
            f"There are no weights at {path}; finish the training, or start it, with "
            "crosslight train."
        )
    try:
        # To safetensors whatever the system does not give is a file that is not there.
        with path.open("rb"), safetensors.safe_open(path, framework="pt") as file:
            yield file
    except OSError as error:
        raise CheckpointError(unreadable(path, error)) from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(_not_safetensors(path, error)) from error


def _card_of(file: Any, path: Path) -> ModelCard:
    try:
        content = json.loads((file.metadata() or {})[_METADATA_KEY])
        return build(ModelCard, content, where=f"card in {path}")
    except (KeyError, ValueError, TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{path} does not say which crosslight method its weights belong to; give the "
            "model.safetensors of a run folder."
        ) from error


def load_state(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copies weights into a module that must fit them exactly.

    Raises:
        CheckpointError: A tensor is missing, unknown or of another shape.
    """
    own = module.state_dict()
    complaint = None
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            complaint = f"lacks {name}"
        elif name not in own:
            complaint = f"holds {name}, which the model does not have"
        elif own[name].shape != tensors[name].shape:
            found, expected = tuple(tensors[name].shape), tuple(own[name].shape)
            complaint = f"holds {name} of shape {found}, expected {expected}"
        if complaint:
            raise CheckpointError(
                f"{source} {complaint}; it belongs to another method, configuration or number "
                "of people: use it with the config.yaml it was trained with."
            )
    module.load_state_dict(dict(tensors))


@contextmanager
def disk_faults_told(path: Path) -> Iterator[None]:
    """Turns a failed write into one sentence.

    Raises:
        TrainingError: In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        otherwise = "make it writable" if error.errno in CLOSED else "look at that place"
        remedy = shortage(error.errno) or otherwise
        raise TrainingError(
            f"{path} was not written ({reason}); what was saved there before is intact: {remedy} "
            "and run the same command again to continue."
        ) from error


def unreadable(path: Path, error: OSError) -> str:
    """What to say of a file that the system does not give."""
    remedy = shortage(error.errno) or "mend the cause"
    return (
        f"{path} cannot be read ({error.strerror or error}); it may be whole, and nothing was "
        f"changed: {remedy} and run the same command again to continue."
    )


def _not_safetensors(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_STARTS):
        return (
            f"{path} is a pickle, not safetensors, and would run code on loading: refused; give "
            "the model.safetensors of a run folder."
        )
    reason = str(error).splitlines()[0]
    return f"{path} is damaged ({reason}); copy it again from its source or train again."
