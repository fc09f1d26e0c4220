"""Where people are in a picture: boxes, what finds them, and a file that lists them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from crosslight.data.columns import number, read_cells, whole
from crosslight.errors import DataError

COLUMNS = ("frame", "left", "top", "right", "bottom")
ONE_PERSON = 0.5
"""Intersection over union above which two boxes of a detector show one person."""


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

    @property
    def centre(self) -> tuple[float, float]:
        """Pixels from the left and from the upper edge."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def inside(self, width: int, height: int) -> Box:
        """The part inside a picture, in whole pixels; none of a box without finite sides."""
        if not all(map(math.isfinite, (self.left, self.top, self.right, self.bottom))):
            return Box(left=0.0, top=0.0, right=0.0, bottom=0.0, score=self.score)
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


def most_likely(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which boxes stay when, of those that show one person, only the surest does; surest first.

    Two show one person where they overlap by more than `ONE_PERSON`.

    Args:
        boxes: (N, 4) left, upper, right and lower sides.
        scores: (N,) how sure a detector is.
    """
    left, top, right, bottom = boxes.T
    area = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    waiting = np.argsort(-scores, kind="stable")
    kept = []
    while len(waiting):
        first, waiting = waiting[0], waiting[1:]
        kept.append(first)
        wide = np.minimum(right[first], right[waiting]) - np.maximum(left[first], left[waiting])
        high = np.minimum(bottom[first], bottom[waiting]) - np.maximum(top[first], top[waiting])
        both = np.maximum(wide, 0) * np.maximum(high, 0)
        waiting = waiting[both <= ONE_PERSON * (area[first] + area[waiting] - both)]
    return np.array(kept, dtype=np.int64)


class Detector(Protocol):
    """Finds people."""

    def find(self, number: int, image: Image.Image) -> list[Box]:
        """The people in a frame.

        Args:
            number: Of the frame in its video, from 0.
            image: RGB.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Boxes of a file that are not used.

    Attributes:
        incomplete: Without a frame, a side or a score, or with one that is no finite number.
        turned: Whose right side is not beyond the left one, or whose bottom is not below the top.
        faint: Below the threshold.
    """

    incomplete: int
    turned: int
    faint: int

    @property
    def count(self) -> int:
        """All of them."""
        return self.incomplete + self.turned + self.faint

    def reasons(self, threshold: float) -> str:
        """How many and why, for a sentence."""
        reasons = (
            (self.incomplete, "lack a finite number"),
            (self.turned, "have right not beyond left, or bottom not below top"),
            (self.faint, f"have a score below the threshold {threshold:g}"),
        )
        return ", ".join(f"{count} {reason}" for count, reason in reasons if count)


class BoxesFile:
    """Boxes from a table, for detections made elsewhere.

    Args:
        path: CSV or Parquet with the columns frame (from 0), left, top, right, bottom (pixels) and,
            if wanted, score.
        threshold: Smallest score that counts.

    Attributes:
        left_out: The boxes that are not used.

    Raises:
        DataError: Not such a table, or no box of it can be used.
    """

    def __init__(self, path: Path, threshold: float) -> None:
        if not path.is_file():
            raise DataError(
                f"There are no boxes at {path}; give a CSV file with the columns "
                f"{','.join(COLUMNS)}."
            )
        cells = read_cells(path, (*COLUMNS, "score"), only=True)
        cells.require_columns(COLUMNS, ",".join(COLUMNS))
        read = [cells.read(name, whole if name == "frame" else number) for name in COLUMNS]
        scores = cells.read("score", number)
        frame = pl.DataFrame([column for column in read if column is not None]).with_columns(
            score=pl.lit(1.0) if scores is None else scores
        )
        finite = pl.all_horizontal(pl.col("frame").is_not_null(), *map(_finite, frame.columns[1:]))
        complete = frame.filter(finite)
        upright = complete.filter(
            (pl.col("right") > pl.col("left")) & (pl.col("bottom") > pl.col("top"))
        )
        used = upright.filter(pl.col("score") >= threshold)
        self.left_out = LeftOut(
            incomplete=len(frame) - len(complete),
            turned=len(complete) - len(upright),
            faint=len(upright) - len(used),
        )
        if not len(used):
            raise DataError(
                f"None of the {len(frame)} boxes of {path} can be used: "
                f"{self.left_out.reasons(threshold)}; write {','.join(COLUMNS)} in pixels, or "
                "lower the threshold (--detector-threshold)."
            )
        sides = used.select(COLUMNS[1:]).to_numpy()
        if sides.min() >= 0 and sides.max() <= 1:
            raise DataError(
                f"All {len(used)} boxes of {path} lie between 0 and 1, so they are shares of the "
                "picture; multiply left and right by its width and top and bottom by its height."
            )
        self._boxes: dict[int, list[Box]] = {}
        for at, left, top, right, bottom, score in used.iter_rows():
            box = Box(left=left, top=top, right=right, bottom=bottom, score=score)
            self._boxes.setdefault(at, []).append(box)

    def find(self, number: int, image: Image.Image) -> list[Box]:  # noqa: ARG002
        """The boxes of a frame."""
        return self._boxes.get(number, [])


def _finite(name: str) -> pl.Expr:
    return pl.col(name).is_finite().fill_null(False)
