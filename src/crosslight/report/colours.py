"""The colours of every picture: readable in print and by colour-blind readers."""

from __future__ import annotations

from crosslight.types import Modality

INK = "#1f2933"
MUTED = "#66717d"
GRID = "#e3e7eb"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6f4c9b", "#5c5c5c")
"""The colours of Okabe and Ito (2008), without their yellow, which white paper swallows."""

SAME_PERSON = SERIES[0]
DIFFERENT_PERSON = SERIES[1]
RIGHT = "#12805c"
WRONG = "#c2410c"
MODALITY_COLOUR = {Modality.VISIBLE: SERIES[5], Modality.INFRARED: SERIES[1]}
MODALITY_MARKER = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}


def series_colour(index: int) -> str:
    """The colour of the index-th line of a figure."""
    return SERIES[index % len(SERIES)]
