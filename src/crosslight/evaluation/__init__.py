"""Scores of features, by the published protocols: arrays come in, never a model.

`features` → `ranking` (→ `reranking`) → `protocols`; beside them `generation`, for images that a
network drew. Each room says in its first lines what comes in and what goes out.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crosslight.evaluation.features import Features, load_features, save_features
    from crosslight.evaluation.protocols import (
        PROTOCOLS,
        Result,
        evaluate,
        get_protocol,
        score_distances,
        score_file,
    )

_ROOM_OF = {
    "Features": "features",
    "load_features": "features",
    "save_features": "features",
    "PROTOCOLS": "protocols",
    "Result": "protocols",
    "evaluate": "protocols",
    "get_protocol": "protocols",
    "score_distances": "protocols",
    "score_file": "protocols",
}

__all__ = [
    "PROTOCOLS",
    "Features",
    "Result",
    "evaluate",
    "get_protocol",
    "load_features",
    "save_features",
    "score_distances",
    "score_file",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
