"""What a user may say when people are drawn in other people's clothes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from crosslight.ranges import Count, Trial


@dataclass(frozen=True, kw_only=True)
class Swapping:
    """Who is drawn in whose clothes, and where to.

    Attributes:
        appearance: Images whose clothes are put on, or folders of them.
        structure: Images whose body, pose and background stay, or folders of them.
        out: Picture to write; its first row and column are the inputs.
        each: Folder for every drawn image as a file of its own.
        parts: What to take from the clothes' image in place of the usual, of a run that takes
            people apart in named parts (hicmd: prototype, style, pose, illumination).
        interpolate: Steps to draw between the clothes of each two neighbouring columns.
        limit: Images taken from a folder at most, spread evenly over its names; with cases, the
            meetings of each.
        cases: Instead of given images, test people of this data set: the same person in the same
            light, different people across light, and different people in the same light.
        maps: Also draw what the run takes for the structure of the bodies (with cases: of those
            who meet across light) into this picture.
        trial: Split number of the data set of cases, for layouts that have several.
    """

    appearance: tuple[Path, ...] = ()
    structure: tuple[Path, ...] = ()
    out: Path = Path("swap.png")
    each: Path | None = None
    parts: tuple[str, ...] = ()
    interpolate: int = 0
    limit: Count = 8
    cases: str | None = None
    maps: Path | None = None
    trial: Trial = 1
