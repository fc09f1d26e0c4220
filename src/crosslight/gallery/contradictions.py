"""Images that are named twice: what is stated about them is put together, or told apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from crosslight.gallery.candidates import Candidate
from crosslight.types import Modality

_WORDS = {"pid": "person", "cam": "camera", "modality": "light", "time": "time", "track": "track"}


def each_once(candidates: Iterable[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Each image once, with all that is stated about it.

    Returns:
        The candidates in their order, and a sentence for each label of which two values are
        stated: the first one counts.
    """
    kept: dict[str, Candidate] = {}
    contradictions: list[str] = []
    for candidate in candidates:
        first = kept.setdefault(candidate.id, candidate)
        if first is candidate:
            continue
        known, more = first.stated(), candidate.stated()
        contradictions.extend(
            f"{candidate.path} is named with {_said(name, known[name])} and with "
            f"{_said(name, more[name])}; the first counts."
            for name in more.keys() & known.keys()
            if more[name] != known[name]
        )
        kept[candidate.id] = replace(
            first, **{**more, **known}, assumed=first.assumed - more.keys()
        )
    return list(kept.values()), contradictions


def _said(name: str, value: Any) -> str:
    return f"{_WORDS[name]} {Modality(value).name.lower() if name == 'modality' else value}"
