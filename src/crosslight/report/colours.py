"""The colours of every picture: readable in print, in the dark and by colour-blind readers."""

from __future__ import annotations

from crosslight.types import Modality

INK = "#1f2933"
MUTED = "#66717d"
GRID = "#e3e7eb"
SURFACE = "#ffffff"

ON_LIGHT = "#1e2832"
ON_DARK = "#fefefe"
"""Words on an area whose colour is the same in the dark."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6f4c9b", "#5c5c5c")
"""The colours of Okabe and Ito (2008), without their yellow, which white paper swallows."""

PLAIN, WEIGHTED = SERIES[0], SERIES[1]
SAME_PERSON = SERIES[0]
DIFFERENT_PERSON = SERIES[1]
RIGHT = "#12805c"
WRONG = "#c2410c"
MODALITY_COLOUR = {Modality.VISIBLE: SERIES[5], Modality.INFRARED: SERIES[1]}
MODALITY_MARKER = {Modality.VISIBLE: "o", Modality.INFRARED: "^"}

IN_THE_DARK = {
    INK: "#e7ebef",
    MUTED: "#a3aeb9",
    GRID: "#323b45",
    SURFACE: "#1b2128",
    "#0072b2": "#4aa8e8",
    "#d55e00": "#f28a4a",
    "#009e73": "#35c496",
    "#cc79a7": "#e59dc4",
    "#e69f00": "#f5bd45",
    "#56b4e9": "#9fd8f8",
    "#6f4c9b": "#b79be6",
    "#5c5c5c": "#b4b4b4",
}
"""What the report's charts have in the place of a colour where a reader prefers dark pages."""


def series_colour(index: int) -> str:
    """The colour of the index-th line of a figure."""
    return SERIES[index % len(SERIES)]
