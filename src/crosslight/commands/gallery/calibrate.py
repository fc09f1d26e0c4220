"""Learns what a distance means, on people who took part in neither training nor search."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.naming import name_of_data
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.calibrating import calibrate_store
from crosslight.gallery.calibration.calibration import Calibration, Curve
from crosslight.gallery.calibration.open_set import USUAL_RATE
from crosslight.gallery.options import Calibrating
from crosslight.gallery.stores.opening import open_store
from crosslight.types import Modality


def calibrate(
    store: str,
    data: str,
    how: Calibrating,
    *,
    model: Path | None = None,
) -> Calibration:
    """Fits the curves on a split of a data set and keeps them in the store.

    Raises:
        ConfigError: A rate or a prior outside of 0 to 1.
        DataError: No such split, too little in it, or images that the store holds.
    """
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=how.trial).split(how.split)
    with open_store(store) as opened:
        # Refuses another model before anything is embedded.
        embedder = embedder_for(opened.info, model)
        name = f"{name_of_data(layout, root)}, split {how.split}"
        found = calibrate_store(opened, embedder, table, how, data=name)
    print(f"{store}: calibrated on {found.people} people of {found.data}.")
    for kind, curve in (("within one light", found.within), ("across lights", found.across)):
        for line in _described(curve):
            print(f"  {kind}: {line}")
    for line in _strangers(found):
        print(f"  {line}")
    return found


def _strangers(found: Calibration) -> list[str]:
    if not found.alarms:
        return [
            "who is not in the store: cannot be told of an empty one; calibrate again when it is "
            "filled"
        ]
    lines = []
    for alarms in found.alarms:
        rate = max(USUAL_RATE, alarms.smallest(alarms.rows))
        share = alarms.share_found(rate, alarms.rows)
        finds = "" if share is None else f", which finds about {share:.0%} of enrolled images"
        lines.append(
            f"{Modality(alarms.query).name.lower()} strangers among {alarms.rows:,} "
            f"{Modality(alarms.row).name.lower()} rows: {alarms.people} people show false alarms "
            f"of {100 * rate:.2g} % or more{finds}"
        )
    return lines


def _described(curve: Curve | None) -> list[str]:
    if curve is None:
        return ["too few pairs; such results carry no probability"]
    lines = [
        f"{curve.fit}, match up to distance {curve.threshold:.3f}, which misses "
        f"{curve.missed:.1%} of {curve.same} same-person pairs"
    ]
    if curve.sure is not None:
        lines.append(f"on people left out, {curve.sure.sentence}")
    lines.append(f"on people left out, all pairs are off by {curve.error:.2%} on average")
    return lines
