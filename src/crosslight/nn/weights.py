"""Initial weights of a network: from a file, checked, or from timm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from crosslight.errors import CheckpointError
from crosslight.files import sha256_of

_SHOWN_KEYS = 3
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_STARTS = (b"PK", b"\x80")
"""How torch's files begin: archives, and the pickles of its early versions."""
_SCALARS: list[Any] = [
    np.dtype,
    np.ndarray,
    *(type(np.dtype(name)) for name in ("b1", "i4", "i8", "f2", "f4", "f8")),
    *(
        (made.__reduce__()[0], f"{module}.multiarray.{name}")
        # numpy 1 and 2 write different names of the same two functions.
        for module in ("numpy.core", "numpy._core")
        for name, made in (("scalar", np.float64()), ("_reconstruct", np.empty(0)))
    ),
]
"""What numbers of numpy are made of in a pickle: none of it runs code."""
_LEFT_OUT: ContextVar[bool] = ContextVar("initial_weights_left_out", default=False)


@contextmanager
def initial_weights_left_out() -> Iterator[None]:
    """Within it, networks are built without reading or fetching their initial weights.

    For a network whose trained weights are loaded right after: it must not need the network or
    a file that only the training machine had.
    """
    token = _LEFT_OUT.set(True)
    try:
        yield
    finally:
        _LEFT_OUT.reset(token)


def initial_weights_wanted() -> bool:
    """False within `initial_weights_left_out`."""
    return not _LEFT_OUT.get()


def read_weights(path: Path, *, sha256: str | None = None) -> dict[str, Tensor]:
    """Reads named tensors from a safetensors or torch file, without running code from it.

    Args:
        path: `.safetensors`, or whatever `torch.save` wrote: a state dict, bare or under the key
            `state_dict`, `model` or `model_state_dict`. A leading `module.` of every name goes.
        sha256: Expected digest in hexadecimal; None checks nothing.

    Raises:
        CheckpointError: No such file, another digest, a file that carries code, no tensors.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no weight file {path}; give the path of a .safetensors or .pth file, or "
            f"use weights: timm or weights: none."
        )
    if sha256 is not None:
        found = sha256_of(path)
        if found != sha256.strip().lower():
            raise CheckpointError(
                f"The weight file {path} has the SHA-256 {found}, but {sha256} was expected; "
                f"fetch the file again, or correct sha256 if you trust this one."
            )
    content = _read_safetensors(path) if path.suffix == ".safetensors" else read_torch(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise CheckpointError(
            f"The weight file {path} holds no state dict (names and tensors); save one with "
            f"torch.save(model.state_dict(), path)."
        )
    return unparalleled(content)


def unparalleled(weights: Mapping[Any, Tensor]) -> dict[str, Tensor]:
    """Names without the `module.` in front that training on several GPUs puts there."""
    return {str(key).removeprefix("module."): value for key, value in weights.items()}


def load_weights(
    network: nn.Module, weights: Mapping[str, Tensor], *, source: str, ignored: Sequence[str] = ()
) -> None:
    """Copies named tensors into a network, refusing any that is missing, too many or misshapen.

    Args:
        network: Receives the tensors.
        weights: Name → tensor.
        source: What the weights are called in an error.
        ignored: Beginnings of names that may be left over, such as the old classifier's.

    Raises:
        CheckpointError: Naming the first offending names.
    """
    own = network.state_dict()
    offered = {
        key: value for key, value in weights.items() if key in own or not _is_under(key, ignored)
    }
    missing = [key for key in own if key not in offered and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in offered if key not in own]
    misshapen = [
        f"{key} {tuple(offered[key].shape)} for {tuple(value.shape)}"
        for key, value in own.items()
        if key in offered and offered[key].shape != value.shape
    ]
    faults = [
        f"{kind} {_first(names)}"
        for kind, names in (
            ("lacks", missing),
            ("has the unknown", unexpected),
            ("has another shape of", misshapen),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{source} does not fit the network: it {' and '.join(faults)}; name the backbone "
            f"that the file was made with."
        )
    network.load_state_dict(offered, strict=False)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"The weight file {path} cannot be read as safetensors ({error}); fetch it again."
        ) from error


def read_torch(path: Path, *, scalars: bool = False) -> object:
    """What `torch.save` wrote, of any age, without running code from it.

    Args:
        path: A file.
        scalars: Whether numbers and arrays of numpy may stand beside the weights.

    Raises:
        CheckpointError: A damaged file, or one that needs code to be run.
    """
    start = b""
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, _STARTS)))
        with torch.serialization.safe_globals(_SCALARS if scalars else []):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # on foreign bytes an unpickler fails in a dozen ways
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if start and not start.startswith(_STARTS):
            reason = "it begins like none"
        elif reason.startswith("Weights only load failed"):
            raise CheckpointError(
                f"The weight file {path} would run code on loading and was refused; load it where "
                f"you trust it and save its state dict alone, best as .safetensors."
            ) from error
        raise CheckpointError(
            f"The weight file {path} is damaged or no torch file ({reason}); fetch it again."
        ) from error


def _is_under(key: str, beginnings: Sequence[str]) -> bool:
    return any(key == start or key.startswith(f"{start}.") for start in beginnings)


def _first(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_KEYS} more" if len(names) > _SHOWN_KEYS else ""
    return ", ".join(names[:_SHOWN_KEYS]) + more
