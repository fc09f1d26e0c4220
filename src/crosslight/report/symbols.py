"""Symbols of losses as a chart and as a page write them."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_WORD = re.compile(r"\{([A-Za-z]{2}[^{}]*)\}")
_GROUP = re.compile(r"([_^])(\{(?:[^{}]|\{[^{}]*\})*\}|.)")


def mathtext(symbol: str) -> str:
    """What matplotlib draws: letters in italics, words below and above them upright."""
    upright = _WORD.sub(r"{\\mathrm{\1}}", symbol)
    return f"${upright}$"


def as_html(symbol: str) -> Markup:
    """The same as elements of a page."""
    parts = []
    place = 0
    for found in _GROUP.finditer(symbol):
        parts.append(escape(symbol[place : found.start()]))
        element = "sub" if found[1] == "_" else "sup"
        inner = as_html(found[2].removeprefix("{").removesuffix("}"))
        parts.append(Markup("<{0}>{1}</{0}>").format(element, inner))
        place = found.end()
    parts.append(escape(symbol[place:]))
    return Markup("").join(parts)
