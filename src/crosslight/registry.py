"""Names of methods and where they live; a method is imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from crosslight.errors import ConfigError

METHODS = {
    "agw": "crosslight.methods.agw:AGW",
    "baseline": "crosslight.methods.baseline:Baseline",
    "bdtr": "crosslight.methods.bdtr:BDTR",
    "d2rl": "crosslight.methods.d2rl:D2RL",
    "dgnet": "crosslight.methods.dgnet:DGNet",
    "dgnet-vi": "crosslight.methods.dgnet_vi:DGNetVI",
    "embedding-disentangle": "crosslight.methods.embedding_disentangle:EmbeddingDisentangle",
    "proposed-2020": "crosslight.methods.structure_identity:Proposed2020",
    "structure-id": "crosslight.methods.structure_identity:StructureIdentity",
    "unet-disentangle": "crosslight.methods.unet_disentangle:UNetDisentangle",
    "zero-padding": "crosslight.methods.zero_padding:ZeroPadding",
}
ENTRY_POINT_GROUP = "crosslight.methods"


def method_names() -> list[str]:
    """Every method that can be trained here, own and from other packages, sorted."""
    return sorted({*METHODS, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))})


def method_class(name: str) -> type[Any]:
    """The class registered under a name.

    Raises:
        ConfigError: No such method.
    """
    if name in METHODS:
        module, _, attribute = METHODS[name].partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            loaded: type[Any] = entry.load()
            return loaded
    raise ConfigError(f"Unknown method {name!r}{did_you_mean(name, method_names())}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, or all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(choices)}."
