"""Pictures inside a page, so that it needs nothing but itself."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from html import escape

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from crosslight.report.colours import IN_THE_DARK

PAGE_DPI = 96


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture that can stand in a page.

    Attributes:
        uri: `data:` URI with the whole picture.
        width: Width on the page in pixels.
        height: Height on the page in pixels.
        alt: What it shows, for readers who do not see it.
    """

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart that is part of a page: its type is the page's, its colours are variables of CSS.

    Attributes:
        svg: The element, described for readers who do not see it.
        alt: That description.
    """

    svg: Markup
    alt: str


def as_chart(figure: Figure, alt: str) -> Chart:
    """The figure as an element of a page that has the variables of `colour_variables`.

    The same markup for the same figure.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": "crosslight", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", facecolor="none", metadata=nothing)
    drawn = buffer.getvalue()
    inner = drawn[drawn.index("<svg") :].partition(">")[2]
    # What follows is for files of their own: in a page it would be said of everything, or twice.
    for unwanted in (
        r"<metadata>.*?</metadata>",
        r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>",
        r"<!--.*?-->",
    ):
        inner = re.sub(unwanted, "", inner, flags=re.DOTALL)
    inner = re.sub(r"<[^>]+>", _shortened, inner)
    inner = re.sub(r">\s+<", "><", inner).strip()
    for colour in IN_THE_DARK:
        inner = inner.replace(colour, f"var({_variable(colour)})")
    width, height = figure.get_size_inches() * PAGE_DPI
    points = figure.get_size_inches() * 72
    head = (
        f'<svg class="chart" role="img" aria-label="{escape(alt)}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {points[0]:g} {points[1]:g}">'
    )
    return Chart(svg=Markup(head + inner), alt=alt)


def colour_variables(*, dark: bool) -> str:
    """Declarations of CSS: the colours of charts on a light page, or on a dark one."""
    return " ".join(
        f"{_variable(colour)}: {other if dark else colour};"
        for colour, other in IN_THE_DARK.items()
    )


def as_jpeg(image: Image.Image, alt: str, *, max_width: int, max_height: int) -> Picture:
    """A photograph as JPEG, made smaller where it exceeds the given pixels."""
    copy = image.convert("RGB")
    copy.thumbnail((max_width, max_height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    copy.save(buffer, format="JPEG", quality=85, optimize=True)
    return Picture(
        uri=data_uri("image/jpeg", buffer.getvalue()), width=copy.width, height=copy.height, alt=alt
    )


def data_uri(media_type: str, content: bytes) -> str:
    """`data:` URI of any content."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def _shortened(tag: re.Match[str]) -> str:
    """A tag without names that nothing refers to, fonts and hundredths of a point."""
    text = re.sub(r'^<g id="[^"]*"', "<g", tag[0])
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
    return re.sub(r"\s*\n", " ", text)


def _variable(colour: str) -> str:
    return f"--chart-{colour.removeprefix('#')}"
