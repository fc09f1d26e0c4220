"""Everything a report is made of, as plain values: the report itself reads no run folder."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from crosslight.data.table import SampleTable
from crosslight.errors import DataError, ProtocolError
from crosslight.evaluation.protocols.scores import Result
from crosslight.methods.terms import Term
from crosslight.report.reliability import Reliability

PACKAGES = ("crosslight", "torch", "torchvision", "timm", "lightning-fabric", "numpy")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportInputs:
    """What happened in a run and what it was measured on.

    Attributes:
        title: Heading of the page.
        data_name: The data as every table and picture names it, e.g. `Promenade mini
            (near-infrared)`; numbers without the name of their data mislead.
        table: The test rows.
        features: (N, D) embedding of each row of `table`, in its order.
        results: Protocol → result; the first one leads the page. Their rows are rows of `table`.
        chance: Protocol → what a random order of the gallery would score.
        start: Protocol → what the weights scored that the training began with, before any of it.
        config: The run's configuration as nested plain values.
        data_fingerprint: Names the data of the run; None takes that of `table`.
        terms: What the run logged → what its method's paper calls that; `Method.terms`.
        log: The run's `log.jsonl`, None where there was no training.
        contact_sheet: Picture of the data.
        previews: Sheets drawn during training, in order, named by the iterations done.
        calibration: Kind of pairs → how the probabilities of a gallery did; empty without one.
        probe: What `crosslight probe` measured, as plain values; empty where it did not.
        probe_sheets: Drawn pictures beside the true ones, named by what they are.
        search_sheet: Picture of infrared queries to a gallery and its answers.
        seconds: Step → wall time in seconds, in order.
        notes: Remarks for the reader, a sentence or two each.
        created: Date of the page.
        versions: Package → version.
    """

    title: str
    data_name: str
    table: SampleTable
    features: NDArray[np.floating[Any]]
    results: Mapping[str, Result]
    chance: Mapping[str, Result]
    start: Mapping[str, Result] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    data_fingerprint: str | None = None
    terms: Mapping[str, Term] = field(default_factory=dict)
    log: Path | None = None
    contact_sheet: Image.Image | None = None
    previews: tuple[Path, ...] = ()
    calibration: Mapping[str, Reliability] = field(default_factory=dict)
    probe: Mapping[str, Any] = field(default_factory=dict)
    probe_sheets: tuple[Path, ...] = ()
    search_sheet: Image.Image | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    created: datetime = field(default_factory=lambda: datetime.now().astimezone())
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())

    def __post_init__(self) -> None:
        if not self.results:
            raise ProtocolError(
                "There is no result to report; score at least one protocol first, e.g. with "
                "--protocol any-camera."
            )
        unguessed = [name for name in self.results if name not in self.chance]
        if unguessed:
            raise ProtocolError(
                f"The protocol {unguessed[0]} comes without its chance level; a report shows "
                "both, so compute it with the protocol's chance()."
            )
        if self.features.ndim != 2 or len(self.features) != len(self.table):
            raise DataError(
                f"The features have the shape {self.features.shape} and the test table "
                f"{len(self.table)} rows; expected one row of features per row of the table, so "
                "embed this very table."
            )
        broken = np.flatnonzero(~np.isfinite(self.features).all(axis=1))
        if broken.size:
            raise DataError(
                f"The features of {self.table.frame['path'][int(broken[0])]} are not finite; "
                "embed the table again with --precision 32-true, or with other weights."
            )

    @property
    def fingerprint(self) -> str:
        """Hexadecimal name of the data."""
        return self.data_fingerprint or self.table.fingerprint()

    @property
    def known_pids(self) -> NDArray[np.int64]:
        """(N,) person of each test row, -1 for junk and for distractors, who are nobody known."""
        return self.table.known_pids


def installed_versions() -> dict[str, str]:
    """Python's version and those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
