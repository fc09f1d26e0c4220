"""Systems that were trained under one budget, over their seeds, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crosslight.evaluation.protocols.bootstrap import Difference, resampled

PAIRED = ("rank1", "mAP")
"""Scores that are kept of every person who was asked for."""
DEVIATIONS = 2
START = "start"


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was measured of one training, and of embedding the test images.

    Attributes:
        training_s: CPU-seconds of training, loading processes included.
        trained: Images that were loaded meanwhile: fewer than all after the training was cut off.
        embedding_s: CPU-seconds of embedding the test images.
        embedded: Their number.
        parameters: In all networks.
        embedding_parameters: In those that an embedding goes through.
    """

    training_s: float
    trained: int
    embedding_s: float
    embedded: int
    parameters: int
    embedding_parameters: int

    @property
    def training_per_1000(self) -> float | None:
        """CPU-seconds; None where nothing was trained."""
        return 1000 * self.training_s / self.trained if self.trained else None

    @property
    def embedding_per_1000(self) -> float:
        """CPU-seconds."""
        return 1000 * self.embedding_s / self.embedded


@dataclass(frozen=True, kw_only=True)
class Probes:
    """One figure of each kind from `crosslight probe`.

    Attributes:
        swaps: SSIM of drawn swaps to the true ones, on the person: 0 is the best floor, 1 the true
            scene taken again; the mean over the lights. None: it draws none.
        leakage: 1 minus the mean disentanglement of the codes: 0 where each knows one thing only.
            None: it has no codes.
    """

    swaps: float | None
    leakage: float | None


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A system that was trained with one seed on one data set, and scored; or failed.

    Attributes:
        system: Its name.
        data: Name of the data set.
        seed: Of the training.
        fault: Why there is no score; None: there is.
        images: Images seen, over all stages.
        iterations: Over all stages.
        seconds: Training time.
        lr_factor: Factor of the recipe's learning rates.
        scores: Protocol → score → fraction, the mean over trials, and `<score>_sd` over them.
        chance: The same for a gallery in random order.
        people: Protocol → `queries` and each of `PAIRED`: of each person, by number, how many
            queries there are and their mean, in the first trial.
        cost: What was measured.
        probes: None before the run was probed.
        from_noise: Whether none of its networks can begin from weights.
        config: The whole configuration, as plain values.
        code_sha256: Digest of the method's own file; None: it ships, or the row was made before
            this was kept.
        made: Day, machine and versions.
    """

    system: str
    data: str
    seed: int
    fault: str | None = None
    images: int = 0
    iterations: int = 0
    seconds: float = 0.0
    lr_factor: float = 1.0
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    chance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)
    cost: Cost | None = None
    probes: Probes | None = None
    from_noise: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    code_sha256: str | None = None
    made: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A learning rate that was tried with a part of the images.

    Attributes:
        system: Its name.
        data: Name of the data set.
        seed: Of the training.
        lr_factor: Factor of the recipe's learning rates.
        fault: Why there is no score; None: there is.
        images: Images seen.
        score: MAP of the validation people.
        protocol: By which they were scored.
        people: Their number.
        config: The whole configuration, as plain values.
        code_sha256: As in `Finished`.
        made: Day, machine and versions.
    """

    system: str
    data: str
    seed: int
    lr_factor: float
    fault: str | None = None
    images: int = 0
    score: float | None = None
    protocol: str = ""
    people: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    code_sha256: str | None = None
    made: Mapping[str, str] = field(default_factory=dict)


def best_rate(tried: Iterable[Tried]) -> float | None:
    """The factor with the best score, of equals the nearest to 1; None: no try has one."""

    def merit(one: Tried) -> tuple[float, float, float]:
        return one.score or 0.0, -abs(math.log(one.lr_factor)), -one.lr_factor

    scored = [one for one in tried if one.score is not None]
    return max(scored, key=merit).lr_factor if scored else None


def as_tried(
    rows: Iterable[Finished], tried: Sequence[Tried], rates: Sequence[float]
) -> list[Finished]:
    """Leaves out rows of another rate than tries chose, where a seed has it: means are of one.

    Args:
        rows: Of any systems and data sets.
        tried: Likewise.
        rates: All that are to be tried.
    """
    rows = list(rows)
    of: dict[tuple[str, str], list[Tried]] = {}
    for one in tried:
        of.setdefault((one.data, one.system), []).append(one)
    chosen = {
        key: best_rate(own)
        for key, own in of.items()
        if {one.lr_factor for one in own} >= set(rates)
    }
    has = {(r.data, r.system) for r in rows if r.lr_factor == chosen.get((r.data, r.system))}
    return [
        row
        for row in rows
        if (key := (row.data, row.system)) not in has
        or row.fault is not None
        or row.lr_factor == chosen[key]
    ]


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far a system is ahead of the first one.

    Attributes:
        people: The means over trials and seeds, with the interval that the first trial's people
            have by their paired resampling.
        seeds_sd: Deviation over seeds, of both together; None where one has a single seed.
    """

    people: Difference
    seeds_sd: float | None

    @property
    def told_apart(self) -> bool:
        """Whether other people and other seeds would still show which one is ahead."""
        by_seeds = self.seeds_sd is None or abs(self.people.mean) > DEVIATIONS * self.seeds_sd
        return self.people.told_apart and by_seeds


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A system over its seeds.

    Attributes:
        system: Its name.
        rows: Its trainings that were scored, by seed.
        failed: The others.
    """

    system: str
    rows: tuple[Finished, ...]
    failed: tuple[Finished, ...] = ()

    def values(self, protocol: str, score: str) -> list[float]:
        """One fraction per seed."""
        return [row.scores[protocol][score] for row in self.rows if protocol in row.scores]

    def mean(self, protocol: str, score: str) -> float:
        """Over seeds; below every score where there is none."""
        values = self.values(protocol, score)
        return fmean(values) if values else -1.0

    def of_people(self, protocol: str, score: str) -> NDArray[np.float64] | None:
        """The mean over seeds of each person's queries."""
        found = [row.people[protocol][score] for row in self.rows if protocol in row.people]
        return np.mean(found, axis=0) if found else None

    def queries(self, protocol: str) -> NDArray[np.int64]:
        """Of each person."""
        return np.array(self.rows[0].people[protocol]["queries"], np.int64)

    def interval(self, protocol: str, score: str) -> Difference | None:
        """The mean over seeds and trials, and the interval that the first trial's people have."""
        people = self.of_people(protocol, score)
        if people is None:
            return None
        sizes = self.queries(protocol)
        return resampled(people * sizes, sizes).around(self.mean(protocol, score))


@dataclass(frozen=True, kw_only=True)
class Standings:
    """All systems on one data set.

    Attributes:
        data: Name of the data set.
        title: How tables call it.
        first: The first system in the board's order that was scored; the others are compared
            with it.
        systems: By mAP of the first protocol, the best first; those that only failed last.
        start: What all begin from, scored untrained; None before that was done.
    """

    data: str
    title: str
    first: str
    systems: tuple[Standing, ...]
    start: Finished | None

    @cached_property
    def protocols(self) -> list[str]:
        """Those of any row."""
        return list(dict.fromkeys(p for row in self._rows for p in row.scores))

    @cached_property
    def chance(self) -> dict[str, Mapping[str, float]]:
        """Protocol → what guessing would score."""
        return {p: level for row in self._rows for p, level in row.chance.items()}

    @property
    def _rows(self) -> list[Finished]:
        rows = [row for standing in self.systems for row in standing.rows]
        return rows if self.start is None or self.start.fault else [*rows, self.start]

    def gap(self, standing: Standing, protocol: str, score: str) -> Gap | None:
        """How far a system is ahead of the first; None where that cannot be said."""
        first = next((one for one in self.systems if one.system == self.first), None)
        if first is None or first is standing or score not in PAIRED:
            return None
        own, other = (one.of_people(protocol, score) for one in (standing, first))
        if own is None or other is None or own.shape != other.shape:
            return None
        sizes = first.queries(protocol)
        values = [one.values(protocol, score) for one in (standing, first)]
        sd = None
        if all(len(seeds) > 1 for seeds in values):
            sd = float(np.sqrt(fmean(stdev(seeds) ** 2 for seeds in values)))
        shown = fmean(values[0]) - fmean(values[1])
        return Gap(people=resampled((own - other) * sizes, sizes).around(shown), seeds_sd=sd)


def standings_of(
    finished: Sequence[Finished], *, data: str, title: str, order: Sequence[str]
) -> Standings:
    """The rows of one data set by system.

    Args:
        finished: Rows of any data sets.
        data: Name of the data set.
        title: How tables call it.
        order: All systems, the first one first.
    """
    own = sorted((row for row in finished if row.data == data), key=lambda row: row.seed)
    grouped = [
        Standing(
            system=name,
            rows=tuple(row for row in own if row.system == name and row.fault is None),
            failed=tuple(row for row in own if row.system == name and row.fault is not None),
        )
        for name in order
    ]
    found = [standing for standing in grouped if standing.rows or standing.failed]
    protocols = list(dict.fromkeys(p for one in found for row in one.rows for p in row.scores))
    if protocols:
        found.sort(key=lambda one: -one.mean(protocols[0], "mAP"))
    # One that failed here is nothing to compare with, unless all did.
    present = [one.system for one in grouped if one.rows] or [one.system for one in found]
    return Standings(
        data=data,
        title=title,
        first=present[0] if present else "",
        systems=tuple(found),
        start=next((row for row in own if row.system == START), None),
    )
