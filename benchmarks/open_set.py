"""Do probabilities and false-alarm rates hold on people who took no part in the calibration?

    crosslight data make promenade data/promenade --height 128 --width 64
    python -m benchmarks.open_set data/promenade

The weights that ship have seen none of the 184 people of this world. Again and again they are drawn
apart: some calibrate, some are enrolled, the others are strangers. Open-set identification counts,
at the rate of false alarms that was asked for, in what share of strangers' searches somebody is
said to be in the gallery (FAR), and in what share of searches for enrolled people the answer is
that and the first result shows them (DIR); each person counts once. `±` is the deviation over the
draws, whose people overlap.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crosslight.data.images import read_image
from crosslight.data.layouts import read_layout
from crosslight.experiments.embedder import load_embedder
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.calibration.fit import fit_calibration
from crosslight.gallery.calibration.open_set import open_set_of
from crosslight.gallery.calibration.pairs import distances_between, pairs_of_lights
from crosslight.gallery.calibration.strangers import People, measured_alarms
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.stores.rows import EVERYTHING, Filter, build_rows
from crosslight.gallery.stores.store import StoreInfo, prepared
from crosslight.shipped import PROMENADE

CALIBRATORS, ENROLLED = 110, 40
RATES = (0.01, 0.02, 0.05, 0.1)
MODEL = "a" * 64
AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to search.

    Attributes:
        name: In words.
        light: `Modality` of the queries.
        asks: Cameras of the queries.
        holds: Cameras of the gallery.
        where: The filter.
        before: Share of the enrolled people who were there when the store was calibrated.
    """

    name: str
    light: int
    asks: tuple[int, ...]
    holds: tuple[int, ...]
    where: Filter = EVERYTHING
    before: float = 1.0


VISIBLE = Setting(name="visible, among visible rows", light=0, asks=(4, 5), holds=(1, 2))
SETTINGS = (
    VISIBLE,
    Setting(
        name="the same, one camera of two",
        light=0,
        asks=(4, 5),
        holds=(1, 2),
        where=Filter(cams=frozenset({1})),
    ),
    Setting(
        name="the same, twice as many rows as when calibrated",
        light=0,
        asks=(4, 5),
        holds=(1, 2),
        before=0.5,
    ),
    Setting(name="infrared, among visible rows", light=1, asks=(3, 6), holds=(1, 2, 4, 5)),
    Setting(name="infrared, among rows of both lights", light=1, asks=(6,), holds=(1, 2, 3, 4, 5)),
)


def embedded(root: Path) -> People:
    """Everybody of the data set."""
    table = read_layout("sysu-mm01", root)
    embedder = load_embedder(Path(PROMENADE))
    parts = []
    for start in range(0, len(table), AT_ONCE):
        rows = table.take(np.arange(start, min(start + AT_ONCE, len(table))))
        pictures = [read_image(path) for path in rows.paths]
        parts.append(embedder.embed(pictures, rows.modality.tolist()))
    vectors = prepared(np.concatenate(parts), "cosine")
    return People(vectors=vectors, pids=table.pids, cams=table.cams, modality=table.modality)


def some(people: People, chosen: NDArray[np.bool_]) -> People:
    """Those of them."""
    return People(**{name: values[chosen] for name, values in vars(people).items()})


def filled(place: Path, people: People) -> ExactStore:
    """A store of these images."""
    dim = people.vectors.shape[1]
    info = StoreInfo(model=MODEL, method="agw", run=PROMENADE, dim=dim, distance="cosine")
    store = ExactStore.create(place, info)
    add(store, people)
    return store


def add(store: ExactStore, people: People) -> None:
    """Enrols these images."""
    names = zip(people.pids, people.cams, range(store.count(), 10**9), strict=False)
    columns: dict[str, Any] = {
        "id": ["-".join(map(str, name)) for name in names],
        "pid": people.pids.tolist(),
        "cam": people.cams.tolist(),
        "modality": people.modality.tolist(),
    }
    store.add(build_rows(columns, people.vectors, model=MODEL))


def of_people(values: Sequence[bool], pids: NDArray[np.int64]) -> float:
    """The mean over people of the mean over their images."""
    _, person = np.unique(pids, return_inverse=True)
    return float(np.mean(np.bincount(person, values) / np.bincount(person)))


def answers(
    store: ExactStore, calibration: Calibration, setting: Setting, queries: People, rate: float
) -> tuple[list[bool], list[bool], float]:
    """Of each query whether its person is said to be there and whether the first row shows them."""
    lights = {0, 1} if {3, 6} & set(setting.holds) else {0}
    rows = {light: store.count(setting.where.of_light(light)) for light in lights}
    judge = open_set_of(calibration, setting.light, rows, rate)
    nearest = [store.search(queries.vectors, 1, setting.where.of_light(x)) for x in sorted(lights)]
    inside, right = [], []
    for pid, *hits in zip(queries.pids, *nearest, strict=True):
        found = [hit for one in hits for hit in one]
        inside.append(judge.verdict(found) == "in-gallery")
        telling = min(found, key=lambda hit: judge.alarm(hit) or 0.0)
        right.append(inside[-1] and telling.pid == pid)
    return inside, right, judge.share_found() or 0.0


def open_set(everybody: People, draws: int, seed: int) -> None:
    """Prints FAR and DIR of every setting."""
    print("| queries | asked | FAR % | DIR % | DIR % said | rank-1 % |")
    print("|---|---|---|---|---|---|")
    for setting in SETTINGS:
        found = defaultdict(list)
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            order = rng.permutation(np.unique(everybody.pids))
            strangers = order[CALIBRATORS + ENROLLED :]
            enrolled = order[CALIBRATORS : CALIBRATORS + ENROLLED]
            first = enrolled[: round(setting.before * ENROLLED)]
            holds = np.isin(everybody.cams, setting.holds)
            asks = np.isin(everybody.cams, setting.asks)
            taught = some(everybody, np.isin(everybody.pids, order[:CALIBRATORS]))
            with (
                tempfile.TemporaryDirectory() as folder,
                filled(
                    Path(folder) / "people.exact",
                    some(everybody, holds & np.isin(everybody.pids, first)),
                ) as store,
            ):
                alarms = measured_alarms(store, taught, seed=draw)
                calibration = Calibration(
                    false_match_rate=0.001,
                    data="",
                    people=CALIBRATORS,
                    within=None,
                    across=None,
                    alarms=alarms,
                )
                late = np.setdiff1d(enrolled, first)
                if late.size:
                    add(store, some(everybody, holds & np.isin(everybody.pids, late)))
                # Nobody is found who has no row that the filter leaves.
                there = store.frame(setting.where)["pid"].unique().to_numpy()
                queries = [
                    some(everybody, asks & np.isin(everybody.pids, who))
                    for who in (strangers, there)
                ]
                nearest = store.search(queries[1].vectors, 1, setting.where)
                first_right = [
                    hits[0].pid == pid for hits, pid in zip(nearest, queries[1].pids, strict=True)
                ]
                for rate in RATES:
                    smallest = min(a.smallest(store.count()) for a in alarms)
                    lights = 2 if {3, 6} & set(setting.holds) else 1
                    if rate < lights * smallest:
                        continue
                    alarmed, _, _ = answers(store, calibration, setting, queries[0], rate)
                    _, right, said = answers(store, calibration, setting, queries[1], rate)
                    found[rate].append(
                        (
                            of_people(alarmed, queries[0].pids),
                            of_people(right, queries[1].pids),
                            said,
                            of_people(first_right, queries[1].pids),
                        )
                    )
        for rate, values in found.items():
            mean, deviation = 100 * np.mean(values, axis=0), 100 * np.std(values, axis=0)
            each = zip(mean, deviation, strict=True)
            cells = " | ".join(f"{m:.1f} ± {d:.1f}" for m, d in each)
            print(f"| {setting.name} | {100 * rate:g} % | {cells} |", flush=True)


def probabilities(everybody: People, draws: int, seed: int) -> None:
    """Prints what was said of pairs of people who took no part, and what was true."""
    print("| calibrated on | pairs | said % | same person % | off by | interval held |")
    print("|---|---|---|---|---|---|")
    for count in (24, CALIBRATORS):
        found = defaultdict(list)
        for draw in range(draws):
            rng = np.random.default_rng([seed, draw])
            order = rng.permutation(np.unique(everybody.pids))
            taught = some(everybody, np.isin(everybody.pids, order[:count]))
            others = some(everybody, np.isin(everybody.pids, order[CALIBRATORS:]))
            calibration = fit_calibration(
                taught.vectors,
                taught.pids,
                taught.cams,
                taught.modality,
                distance="cosine",
                false_match_rate=0.001,
                data="",
            )
            between = distances_between(others.vectors, others.vectors, "cosine")
            same_light = others.modality[:, None] == others.modality
            kinds = pairs_of_lights(between, others.pids, others.cams, (same_light, ~same_light))
            for name, pairs in zip(("within", "across"), kinds, strict=True):
                curve = getattr(calibration, name)
                said = np.array([curve.probability(d) for d in pairs.distances])
                sure = said >= 0.5
                # At the prior that the curve assumes.
                share = pairs.same.mean()
                weight = np.where(pairs.same, curve.prior / share, (1 - curve.prior) / (1 - share))
                if not sure.any() or curve.sure is None or curve.sure.interval is None:
                    continue
                mean = np.average(said[sure], weights=weight[sure])
                true = np.average(pairs.same[sure], weights=weight[sure])
                low, high = curve.sure.interval
                found[name].append((mean, true, abs(mean - true), low <= mean - true <= high))
        for name, values in found.items():
            said, true, off, _ = 100 * np.mean(values, axis=0)
            print(
                f"| {count} people | {name} light | {said:.1f} | {true:.1f} | {off:.1f} points | "
                f"{sum(v[3] for v in values)} of {len(values)} |",
                flush=True,
            )


def main() -> None:
    """Embeds once, then prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("root", type=Path, help="Promenade in the layout of SYSU-MM01")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--fits", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    everybody = embedded(asked.root)
    print(f"{len(everybody.pids):,} images of {len(np.unique(everybody.pids))} people.\n")
    open_set(everybody, asked.draws, asked.seed)
    print()
    probabilities(everybody, asked.fits, asked.seed)


if __name__ == "__main__":
    main()
