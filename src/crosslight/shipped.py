"""The trained weights that come with the package, by name.

Those in `SHIPPED` are run folders, so whatever takes a run takes the name; `weights: NAME` in a
recipe starts a backbone from it. Beside them lies `NANODET`, which finds the people in videos.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from crosslight.errors import CheckpointError
from crosslight.files import sha256_of

PROMENADE = "promenade"
SHIPPED = (PROMENADE,)
NANODET = "nanodet"
WEIGHTS = Path(str(resources.files("crosslight"))) / "weights"
MODEL, CARD = "model.safetensors", "card.json"


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """Weights that ship.

    Attributes:
        name: What they are called.
        folder: Run folder, not to be written to.
        backbone: Network that they fit, as `backbone` in a recipe.
        about: One sentence: what it is and what it learnt from.
    """

    name: str
    folder: Path
    backbone: str
    about: str

    @property
    def model(self) -> Path:
        """The safetensors file."""
        return self.folder / MODEL


@cache
def shipped(name: str, where: Path = WEIGHTS) -> Shipped:
    """Weights by name, checked against their digest.

    Args:
        name: One of `SHIPPED`.
        where: Folder that holds them.

    Raises:
        CheckpointError: They are not in this installation, or were changed since it was made.
    """
    card = _checked(
        name, where, keys=("backbone", "about"), instead="begin without them: weights: none"
    )
    return Shipped(name=name, folder=where / name, backbone=card["backbone"], about=card["about"])


@cache
def shipped_detector(where: Path = WEIGHTS) -> Path:
    """The safetensors file of the detector that ships, checked against its digest.

    Args:
        where: Folder that holds it.

    Raises:
        CheckpointError: It is not in this installation, or was changed since it was made.
    """
    _checked(NANODET, where, keys=(), instead="name another: --detector FILE.onnx")
    return where / NANODET / MODEL


def _checked(name: str, where: Path, *, keys: tuple[str, ...], instead: str) -> dict[str, Any]:
    """The card of weights that are what it says."""
    folder = where / name
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        found = sha256_of(folder / MODEL)
        expected = card["sha256"]
        card = {key: card[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The weights {name!r} are missing from this installation or damaged ({error}); "
            f"install crosslight again, or {instead}."
        ) from error
    if found != expected:
        raise CheckpointError(
            f"The weights {name!r} of this installation are not those that it came with (SHA-256 "
            f"{found[:12]}, expected {expected[:12]}); install crosslight again, or {instead}."
        )
    return card
