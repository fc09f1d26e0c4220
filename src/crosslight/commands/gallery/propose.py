"""Which tracks may be of one person."""

from __future__ import annotations

import json
import shlex

from crosslight.commands.gallery.filter import filter_from
from crosslight.gallery.options import Proposing, WhereOrWho
from crosslight.gallery.people.proposals import propose as find
from crosslight.gallery.stores.opening import open_store


def propose(store: str, meant: WhereOrWho, proposing: Proposing, *, as_json: bool) -> None:
    """Prints pairs, likeliest first, and what makes each one person."""
    with open_store(store) as opened:
        where = filter_from(meant, opened)
        found = find(opened, where, top=proposing.top, least=proposing.least)
        calibrated = bool(opened.info.calibration)
    if as_json:
        told = [
            {
                "first": pair.first.written,
                "second": pair.second.written,
                "distance": pair.distance,
                "probability": pair.probability,
                "rows": pair.rows,
            }
            for pair in found
        ]
        print(json.dumps({"calibrated": calibrated, "proposals": told}))
        return
    for pair in found:
        chance = "" if pair.probability is None else f"  {pair.probability:6.1%}"
        print(f"{pair.distance:.3f}{chance}  {pair.first.told} and {pair.second.told}")
    if found:
        two = " ".join(shlex.quote(one.written) for one in (found[0].first, found[0].second))
        print(
            f"{len(found)} pairs; to make the first one person: crosslight gallery merge "
            f"{shlex.quote(store)} {two}"
        )
        print("To keep two apart: crosslight gallery apart, with the same words.")
    else:
        print(
            "No two tracks may be one person"
            + (f" with a probability of {proposing.least:g} or more." if calibrated else ".")
        )
    if not calibrated:
        print(
            "These are the nearest, and nobody knows what their distances mean; say: crosslight "
            f"gallery calibrate {store} --data LAYOUT:ROOT"
        )
