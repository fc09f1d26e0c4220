"""Reads the files of released programs, without running code from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from torch import Tensor

from crosslight.errors import CheckpointError, ConfigError
from crosslight.nn.weights import read_torch, unparalleled
from crosslight.released.contract import Settings

Networks: TypeAlias = Mapping[str, Mapping[str, Tensor]]
"""Key in a file → the weights of a network by their original names; a bare file has the key ''."""
OPTION_FILES = (".yaml", ".yml")


def read_networks(path: Path) -> dict[str, dict[str, Tensor]]:
    """The networks in a file of old or new format; a leading `module.` of every name goes.

    What else stands beside them, such as figures of the best epoch, is passed over.

    Raises:
        CheckpointError: A folder, no such file, a damaged one, one with code or without weights.
    """
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {kind}; give the program's files themselves.")
    content = read_torch(path, scalars=True)
    if not isinstance(content, Mapping):
        content = {}
    found = {"": content} if _is_state(content) else content
    networks = {str(k): unparalleled(v) for k, v in found.items() if _is_state(v)}
    if not networks:
        raise CheckpointError(
            f"{path} holds no weights (names and tensors); give a checkpoint of the networks, not "
            "of the optimizers."
        )
    return networks


class _Options(yaml.SafeLoader):
    """Reads what a program dumped of its options: objects of Python's among them are left out."""


_Options.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def read_options(path: Path) -> Settings:
    """The YAML that a program was given.

    Raises:
        ConfigError: It cannot be read, or holds no keys.
    """
    try:
        content: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=_Options)
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read as YAML ({reason}); leave it out.") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no keys; give the YAML of the training, or leave it out.")
    return content


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(entry, Tensor) for entry in value.values())
    )
