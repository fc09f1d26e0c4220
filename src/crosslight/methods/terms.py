"""What a method's log holds, by the names of the paper it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Term:
    """A loss or a figure that a method logs.

    Attributes:
        meaning: What it says, in a few words.
        symbol: As its source writes it, in TeX's mathematics without dollars; empty: it has none.
        equation: Its number there; None: the source numbers nothing, or the number is not known.
        of: The paper that the equation stands in, where that is not the method's own.
        side: Whose loss it is where both sides of a game have one symbol; empty: the generator's,
            or there is no game.
        origin: Whether its source has it, or only the code that its authors released, or only
            this package; `figure` is no loss but something to watch.
    """

    meaning: str
    symbol: str = ""
    equation: int | None = None
    of: str = ""
    side: Literal["", "critic"] = ""
    origin: Literal["source", "release", "here", "figure"] = "source"

    @property
    def place(self) -> str:
        """Where it is written down, and whose side it is: `eq. 7, critic`; empty: not known."""
        equation = "" if self.equation is None else f"{self.of} eq. {self.equation}".strip()
        return ", ".join(part for part in (equation, self.side) if part)

    @property
    def sentence(self) -> str:
        """The meaning, and whose idea it is where that is not the source's."""
        whose = {
            "source": "",
            "release": " Not in the paper: from the code of its authors.",
            "here": " Not in the paper: crosslight's own.",
            "figure": "",
        }
        return f"{self.meaning[:1].upper()}{self.meaning[1:]}.{whose[self.origin]}"


ACCURACY = Term(meaning="share of a batch whose person the classifier names", origin="figure")


def borrowed(terms: Mapping[str, Term], paper: str, *names: str) -> dict[str, Term]:
    """The terms of another paper's method, which say so: those named, or all.

    Raises:
        KeyError: A name is none of theirs.
    """
    own = {name: terms[name] for name in names or terms}
    return {
        name: replace(term, of=paper) if term.equation is not None else term
        for name, term in own.items()
    }
