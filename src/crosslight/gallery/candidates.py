"""What may be enrolled: an image, and what is known about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from crosslight.types import UNKNOWN_CAM

LABELS = ("pid", "cam", "modality", "time", "track")
"""What may be known about an image, and may become known later."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """An image that is to be enrolled.

    Attributes:
        id: Of its row; the same image has the same id in every run.
        image: File, or the picture where it comes from a video.
        path: What a person is shown as its origin.
        pid: Person, None where nobody knows; a text is a name, for which the store has the number.
        cam: Camera, -1 where unknown; a text is a name.
        modality: `Modality`; None: guessed from its colours.
        time: Seconds, or None.
        track: Name of the track, or None.
        beside: Tracks that were seen in one frame with this one: other people.
        assumed: Those of the labels that nobody stated: they are for a new row, and change no
            label of one that is there.
    """

    id: str
    image: Path | Image.Image
    path: str
    pid: int | str | None = None
    cam: int | str = UNKNOWN_CAM
    modality: int | None = None
    time: float | None = None
    track: str | None = None
    beside: frozenset[str] = frozenset()
    assumed: frozenset[str] = frozenset()

    def stated(self) -> dict[str, Any]:
        """The labels that somebody stated."""
        labels = {name: getattr(self, name) for name in LABELS}
        unknown = {name: UNKNOWN_CAM if name == "cam" else None for name in LABELS}
        return {
            name: value
            for name, value in labels.items()
            if value != unknown[name] and name not in self.assumed
        }


def id_of(*parts: object) -> str:
    """An id that is the same for the same parts: a digest of 32 hexadecimal digits."""
    # Names of files may hold bytes that are no text.
    content = "\n".join(map(str, parts)).encode(errors="surrogateescape")
    return hashlib.sha256(content).hexdigest()[:32]
