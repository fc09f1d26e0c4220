"""The trained weights that come with the package, by name.

Each is a run folder, so whatever takes a run takes the name; `weights: NAME` in a recipe starts a
backbone from it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from crosslight.errors import CheckpointError

PROMENADE = "promenade"
SHIPPED = (PROMENADE,)
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
    folder = where / name
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        with (folder / MODEL).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        expected, backbone, about = card["sha256"], card["backbone"], card["about"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The weights {name!r} are missing from this installation or damaged ({error}); "
            "install crosslight again, or begin without them: weights: none."
        ) from error
    if found != expected:
        raise CheckpointError(
            f"The weights {name!r} of this installation are not those that it came with (SHA-256 "
            f"{found[:12]}, expected {expected[:12]}); install crosslight again, or begin without "
            "them: weights: none."
        )
    return Shipped(name=name, folder=folder, backbone=backbone, about=about)
