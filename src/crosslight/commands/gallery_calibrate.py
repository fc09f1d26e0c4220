"""Fits what a distance means, on people who took part in neither training nor search."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crosslight.commands.flag_numbers import LARGEST, require_from_to
from crosslight.data.layouts import parse_data_argument, read_layout
from crosslight.data.naming import name_of_data
from crosslight.errors import ConfigError
from crosslight.experiments.embedder import embedder_for
from crosslight.gallery.calibration import Calibration, Curve
from crosslight.gallery.calibration_fit import fit_calibration
from crosslight.gallery.opening import open_store
from crosslight.gallery.options import Calibrating
from crosslight.training.embedding import embed_table
from crosslight.training.run import RunFolder


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
        DataError: No such split, or too little in it.
    """
    for name, value in (("false-match-rate", how.false_match_rate), ("prior", how.prior)):
        if value is not None and not 0 < value < 1:
            raise ConfigError(f"--{name} is {value:g}; give a share between 0 and 1, like 0.001.")
    require_from_to("trial", how.trial, 1, LARGEST)
    layout, root = parse_data_argument(data)
    table = read_layout(layout.name, root, trial=how.trial).split(how.split)
    with open_store(store) as opened:
        # Refuses another model before anything is embedded.
        place = Path(embedder_for(opened.info, model).run)
        folder = RunFolder.open(place)
        config = folder.load_config()
        feats = embed_table(
            folder.load_method(),
            table.with_range(opened.info.deep_range),
            height=config.data.height,
            width=config.data.width,
            interpolation=config.data.interpolation,
            workers=0,  # processes forked from one in which a store is open can hang
            precision=config.training.precision,
        )
        found = fit_calibration(
            feats,
            table.known_pids,
            table.cams,
            table.modality,
            distance=opened.info.distance,
            false_match_rate=how.false_match_rate,
            data=f"{name_of_data(layout, root)}, split {how.split}",
            prior=how.prior,
        )
        opened.set_calibration(found.to_plain())
    print(f"{store}: calibrated on {found.people} people of {found.data}.")
    for name, curve in (("within one light", found.within), ("across lights", found.across)):
        print(f"  {name}: {_described(curve)}")
    return found


def _described(curve: Curve | None) -> str:
    if curve is None:
        return "too few pairs; such results carry no probability"
    off = np.array([abs(said - true) * pairs for said, true, pairs in curve.reliability])
    pairs = sum(pairs for *_, pairs in curve.reliability)
    return (
        f"{curve.fit}, match up to distance {curve.threshold:.3f}, which misses "
        f"{curve.missed:.1%} of {curve.same} same-person pairs; on people left out, probabilities "
        f"are off by {off.sum() / max(pairs, 1):.2%} on average"
    )
