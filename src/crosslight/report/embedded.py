"""Pictures as data URIs, so that a page needs nothing but itself."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

SHARP = 2.0
"""Pixels of a bitmap per pixel of the page, for dense screens and print."""
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


def as_svg(figure: Figure, alt: str) -> Picture:
    """The figure as SVG with outlined type: small, sharp, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "crosslight", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _figure_picture(figure, "image/svg+xml", buffer.getvalue(), alt)


def as_png(figure: Figure, alt: str) -> Picture:
    """The figure as PNG, for those with thousands of marks."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PAGE_DPI * SHARP)
    return _figure_picture(figure, "image/png", buffer.getvalue(), alt)


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


def _figure_picture(figure: Figure, media_type: str, content: bytes, alt: str) -> Picture:
    width, height = figure.get_size_inches() * PAGE_DPI
    return Picture(
        uri=data_uri(media_type, content), width=round(width), height=round(height), alt=alt
    )
