"""Measures what people find who are not in a store: the rate of false alarms of a search.

Strangers are the people that a store is calibrated on, none of whom is in it, and, where the store
knows its people, each of those among the rows of all others. Every stranger's images are compared
with every row. If c rows are as near as a distance, a search over a share s of the rows meets one
of them in 1 - (1 - s)^c of the cases. The rate at a distance is the mean over the strangers, and
one more who meets one in any case (as conformal prediction counts: Vovk et al., Algorithmic
Learning in a Random World, 2005): then a search for somebody new, of the same kind, raises a false
alarm at a rate no larger than the one that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crosslight.data.table import junk
from crosslight.gallery.calibration.false_alarms import Alarms
from crosslight.gallery.calibration.pairs import FloatArray, distances_between
from crosslight.gallery.stores.rows import Vectors
from crosslight.gallery.stores.store import Store, prepared
from crosslight.types import UNKNOWN_CAM, Distance, Modality

NEAREST = 256
"""Rows that are kept of each image; one that is farther than all of them counts as an alarm."""

IMAGES_OF_ONE = 6
FEWEST_KNOWN = 0.5
"""Share of rows whose people are known, below which a store's own people are no strangers."""

_MOST_COMPARED = 2_000_000_000
_FEWEST_PROBES, _MOST_PROBES = 500, 4_000
_ROWS_AT_ONCE = 4_096
_SHRINK = 4.0
_KTH = (1, 4, 16, 64, 256)
_SHARES = (0.0, 0.003, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3, 0.5, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class People:
    """Images of people who are known.

    Attributes:
        vectors: (N, D).
        pids: (N,).
        cams: (N,).
        modality: (N,).
    """

    vectors: Vectors
    pids: NDArray[np.int64]
    cams: NDArray[np.int64]
    modality: NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Probes:
    """Images that are compared with the rows.

    Attributes:
        vectors: (Q, D).
        person: (Q,) counted from 0.
        pid: (Q,) number of the store's own people, -1 of others.
    """

    vectors: Vectors
    person: NDArray[np.int64]
    pid: NDArray[np.int64]


def measured_alarms(store: Store, people: People, *, seed: int = 0) -> tuple[Alarms, ...]:
    """One for each light of a query and of rows that both are there.

    Args:
        store: Its rows, as they are now.
        people: None of whom is in it.
        seed: Decides which images are compared, where there are many.
    """
    rng = np.random.default_rng(seed)
    frame = store.frame(columns=("id", "pid", "cam", "modality")).sort("id")
    lights = [int(light) for light in frame["modality"].unique().sort()]
    distance = store.info.distance
    outside = People(
        vectors=prepared(people.vectors, distance),
        pids=people.pids,
        cams=people.cams,
        modality=people.modality,
    )
    found = []
    wanted = _MOST_COMPARED // max(1, frame.height)
    most = min(max(_FEWEST_PROBES, wanted), _MOST_PROBES)
    for light in (int(Modality.VISIBLE), int(Modality.INFRARED)):
        probes = _probes(store, frame, outside, light, most, rng)
        if not len(probes.person):
            continue
        near = _nearest(store, probes, lights)
        for row in lights:
            rows = frame.filter(pl.col("modality") == row)
            alarms = _alarms(probes, near[row], rows)
            if alarms is not None:
                distances, sizes, rates, strangers = alarms
                found.append(
                    Alarms(
                        query=light,
                        row=row,
                        rows=rows.height,
                        people=strangers,
                        distances=tuple(distances.tolist()),
                        sizes=sizes,
                        rates=tuple(tuple(line.tolist()) for line in rates),
                        found=_found(outside, light, rows, distances, distance),
                    )
                )
    return tuple(found)


def _probes(
    store: Store,
    frame: pl.DataFrame,
    people: People,
    light: int,
    most: int,
    rng: np.random.Generator,
) -> _Probes:
    """A few images in this light of each stranger and of each of the store's own people."""
    outside = np.flatnonzero(people.modality == light)
    own = frame.filter((pl.col("modality") == light) & pl.col("pid").is_not_null())
    pids = own["pid"].to_numpy()
    outside = outside[_few(people.pids[outside], most // 2, rng)]
    inside = _few(pids, most // 2, rng)
    got = store.get(own["id"].gather(inside).to_list())
    theirs = got.frame["pid"].to_numpy()
    persons = np.unique(people.pids[outside], return_inverse=True)[1]
    others = np.unique(theirs, return_inverse=True)[1]
    return _Probes(
        vectors=np.concatenate([people.vectors[outside], got.vectors]),
        person=np.concatenate([persons, others + (persons.max() + 1 if len(persons) else 0)]),
        pid=np.concatenate([np.full(len(outside), -1), theirs]),
    )


def _few(pids: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of at most `IMAGES_OF_ONE` images of each person, and of `most` in all."""
    order = rng.permutation(len(pids))
    frame = pl.DataFrame({"place": order, "pid": pids[order]})
    ranked = frame.with_columns(nth=pl.int_range(pl.len()).over("pid")).sort(
        "nth", maintain_order=True
    )
    chosen = ranked.filter(pl.col("nth") < IMAGES_OF_ONE)["place"].head(most)
    return np.sort(chosen.to_numpy())


def _nearest(store: Store, probes: _Probes, lights: list[int]) -> dict[int, FloatArray]:
    """For rows of each light, (Q, NEAREST) ascending distances of rows of other people."""
    near = {light: np.full((len(probes.person), NEAREST), np.inf, np.float32) for light in lights}
    own = ~junk(probes.pid)
    for vectors, pids, modality in _batches(store):
        between = distances_between(probes.vectors, vectors, store.info.distance)
        # Whoever is nobody known may be the probe's own person.
        between[own[:, None] & (junk(pids) | (pids == probes.pid[:, None]))] = np.inf
        for light in lights:
            here = np.concatenate([near[light], between[:, modality == light]], axis=1)
            near[light] = np.partition(here, NEAREST - 1, axis=1)[:, :NEAREST]
    return {light: np.sort(kept, axis=1).astype(np.float64) for light, kept in near.items()}


def _batches(
    store: Store,
) -> Iterator[tuple[Vectors, NDArray[np.int64], NDArray[np.uint8]]]:
    for rows in store.batches(_ROWS_AT_ONCE):
        pids = rows.frame["pid"].fill_null(-1).to_numpy()
        yield prepared(rows.vectors, store.info.distance), pids, rows.frame["modality"].to_numpy()


def _alarms(
    probes: _Probes, near: FloatArray, rows: pl.DataFrame
) -> tuple[FloatArray, tuple[float, ...], FloatArray, int] | None:
    """Distances, sizes, rates (sizes, distances) and the number of strangers."""
    known = rows["pid"].drop_nulls()
    own = ~junk(probes.pid)
    used = ~own if len(known) < FEWEST_KNOWN * rows.height else np.full(len(own), True)
    counts = dict(known.value_counts().iter_rows())
    compared = np.array(
        [
            len(known) - counts.get(pid, 0) if mine else rows.height
            for pid, mine in zip(probes.pid, own, strict=True)
        ]
    )
    used &= compared > 0
    if not used.any():
        return None
    near, compared = near[used], compared[used].astype(np.float64)
    strangers, person = np.unique(probes.person[used], return_inverse=True)
    share_of_one = 1 / np.bincount(person)[person]
    ends = [near[:, k - 1] for k in _KTH]
    distances = np.unique(
        np.concatenate(
            [np.quantile(end[np.isfinite(end)], _SHARES) for end in ends if np.isfinite(end).any()]
        )
    )
    sizes = [float(rows.height)]
    while sizes[-1] > 1:
        sizes.append(max(1.0, sizes[-1] / _SHRINK))
    # Nearer than anybody came, one stranger is left: the next.
    distances = np.concatenate([[np.nextafter(distances[0], -np.inf)], distances])
    near_enough = np.stack([np.searchsorted(line, distances, side="right") for line in near])
    full = (near_enough == NEAREST) & (compared > NEAREST)[:, None]
    rates = []
    for size in sizes:
        share = size / compared[:, None]
        met = np.where(
            share < 1, 1 - (1 - np.minimum(share, 1)) ** near_enough, share * (near_enough > 0)
        )
        met = np.where(full, np.maximum(met, 1.0), met)
        rates.append((1 + share_of_one @ met) / (len(strangers) + 1))
    return distances, tuple(sizes), np.minimum(np.stack(rates), 1.0), len(strangers)


def _found(
    people: People, light: int, rows: pl.DataFrame, distances: FloatArray, distance: Distance
) -> tuple[float, ...]:
    """Share of the images in one light whose nearest of the same person is within each distance.

    Those of the rows' cameras stand for the rows; where these are other cameras, all do.
    """
    shares = []
    alike = people.modality == rows["modality"][0]
    filmed = alike & np.isin(people.cams, rows["cam"].unique().to_numpy())
    holds = filmed if filmed.any() else alike
    for pid in np.unique(people.pids):
        own = people.pids == pid
        asked = np.flatnonzero(own & (people.modality == light))
        held = np.flatnonzero(own & holds)
        if not len(asked) or not len(held):
            continue
        seen = people.vectors[asked], people.vectors[held]
        between = distances_between(*seen, distance)
        cams = people.cams[asked][:, None]
        itself = asked[:, None] == held
        between[((cams == people.cams[held]) & (cams != UNKNOWN_CAM)) | itself] = np.inf
        best = between.min(axis=1)
        best = best[np.isfinite(best)]
        if len(best):
            shares.append((best[:, None] <= distances).mean(axis=0))
    return tuple(np.mean(shares, axis=0).tolist()) if shares else ()
