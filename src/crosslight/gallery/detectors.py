"""Where people are in a picture: from a file of boxes, or from a detector that the user names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl
from PIL import Image

from crosslight.errors import ConfigError, DataError

COLUMNS = ("frame", "left", "top", "right", "bottom")
TORCHVISION = "torchvision:"
FORMS = "FILE.onnx, torchvision:NAME or torchvision:NAME:WEIGHTS.pth"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A person in a picture.

    Attributes:
        left: Pixels from the left edge.
        top: Pixels from the upper edge.
        right: Pixels from the left edge, beyond `left`.
        bottom: Pixels from the upper edge, beyond `top`.
        score: How sure the detector is, in [0, 1].
    """

    left: float
    top: float
    right: float
    bottom: float
    score: float = 1.0

    @property
    def area(self) -> float:
        """Square pixels."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    def inside(self, width: int, height: int) -> Box:
        """The part inside a picture, in whole pixels."""
        return Box(
            left=float(min(max(round(self.left), 0), width)),
            top=float(min(max(round(self.top), 0), height)),
            right=float(min(max(round(self.right), 0), width)),
            bottom=float(min(max(round(self.bottom), 0), height)),
            score=self.score,
        )

    def overlap(self, other: Box) -> float:
        """Intersection over union, in [0, 1]."""
        both = Box(
            left=max(self.left, other.left),
            top=max(self.top, other.top),
            right=min(self.right, other.right),
            bottom=min(self.bottom, other.bottom),
        )
        union = self.area + other.area - both.area
        return both.area / union if union > 0 else 0.0


class Detector(Protocol):
    """Finds people."""

    def find(self, number: int, image: Image.Image) -> list[Box]:
        """The people in a frame.

        Args:
            number: Of the frame in its video, from 0.
            image: RGB.
        """
        ...


class BoxesFile:
    """Boxes from a table, for detections made elsewhere.

    Args:
        path: CSV with the columns frame (from 0), left, top, right, bottom (pixels) and, if
            wanted, score.
        threshold: Smallest score that counts.

    Raises:
        DataError: Not such a table.
    """

    def __init__(self, path: Path, threshold: float) -> None:
        try:
            frame = pl.read_csv(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(
                f"{path} is not readable as CSV: {str(error).splitlines()[0]}"
            ) from error
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise DataError(
                f"{path} lacks the column {missing[0]!r}, its columns are "
                f"{', '.join(frame.columns)}; its first line should be {','.join(COLUMNS)}."
            )
        if "score" not in frame.columns:
            frame = frame.with_columns(pl.lit(1.0).alias("score"))
        try:
            frame = frame.select(
                pl.col("frame").cast(pl.Int64),
                *(pl.col(name).cast(pl.Float64) for name in (*COLUMNS[1:], "score")),
            ).drop_nulls()
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{path} has a value that is no number: {str(error).splitlines()[0]}"
            ) from error
        self._boxes: dict[int, list[Box]] = {}
        for number, left, top, right, bottom, score in frame.iter_rows():
            if score >= threshold:
                box = Box(left=left, top=top, right=right, bottom=bottom, score=score)
                self._boxes.setdefault(number, []).append(box)

    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The boxes of a frame."""
        return self._boxes.get(number, [])


def load_detector(name: str, threshold: float) -> Detector:
    """The detector of a name.

    Args:
        name: `FILE.onnx`, `torchvision:NAME` or `torchvision:NAME:WEIGHTS.pth`.
        threshold: Smallest score that counts.

    Raises:
        ConfigError: No such detector, or its file cannot be used.
    """
    if name.startswith(TORCHVISION):
        from crosslight.gallery.torchvision_detector import TorchvisionDetector

        architecture, _, weights = name.removeprefix(TORCHVISION).partition(":")
        return TorchvisionDetector(architecture, Path(weights) if weights else None, threshold)
    if name.endswith(".onnx"):
        from crosslight.gallery.onnx_detector import OnnxDetector

        return OnnxDetector(Path(name), threshold)
    raise ConfigError(f"{name!r} names no detector; write {FORMS}.")
