"""Rules from the names of a released program to the names here, written as data.

A rule is a regular expression for the whole of an original name and the name here, in which
`{1}` is the expression's first group and `{1+4}`, `{2*2}` or `{1/6-1}` the number that comes of it,
from left to right. Every name is kept by a rule or left out by one that says why.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from torch import Tensor

NORM = "weight|bias|running_mean|running_var|num_batches_tracked"
"""Tensors of a batch norm, as part of an expression."""
UNREAD_STATISTICS = "placeholders of the adaptive norm, which nothing reads"
"""Why running statistics of AdaIN are left out."""
_FIELD = re.compile(r"\{(\d)((?:[-+*/]\d+)*)\}")
_STEP = re.compile(r"([-+*/])(\d+)")
_DO = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv}


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rules of one network.

    Attributes:
        kept: Original name → name here.
        left_out: Original name → why nobody needs it.
        alarming: Original name of something that is left out → what it means if it is not 0.
    """

    kept: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)
    alarming: Mapping[str, str] = field(default_factory=dict)

    def here(self, name: str) -> str | None:
        """What an original name is called here; None: no rule keeps it."""
        for pattern, template in self.kept.items():
            if found := _compiled(pattern).fullmatch(name):
                return _filled(template, found)
        return None

    def reason(self, name: str) -> str | None:
        """Why an original name is left out; None: no rule leaves it out."""
        return _first(self.left_out, name)

    def alarm(self, name: str, tensor: Tensor) -> str | None:
        """What is to be said of a tensor that is left out."""
        told = _first(self.alarming, name)
        return told if told is not None and bool(tensor.any()) else None

    def unknown(self, names: Mapping[str, Tensor]) -> list[str]:
        """Original names that no rule knows."""
        return [name for name in names if self.here(name) is None and self.reason(name) is None]


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _first(rules: Mapping[str, str], name: str) -> str | None:
    return next((text for rule, text in rules.items() if _compiled(rule).fullmatch(name)), None)


def _filled(template: str, found: re.Match[str]) -> str:
    def value(place: re.Match[str]) -> str:
        text, steps = found[int(place[1])], _STEP.findall(place[2])
        if not steps:
            return text
        number = int(text)
        for sign, other in steps:
            number = _DO[sign](number, int(other))
        return str(number)

    return _FIELD.sub(value, template)
