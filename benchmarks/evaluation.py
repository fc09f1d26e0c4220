"""What scoring costs beside the one matrix product that it cannot do without.

    python benchmarks/evaluation.py                  # small sizes, well under a minute
    python benchmarks/evaluation.py --scale full     # the published sizes, about half an hour

Every row is measured in this run. CPU-seconds count all threads and are steadier than wall time on
a machine that does other work. Peak memory is what a step adds to the resident memory before it
(Linux only). Features are synthetic: clustered, 2048 numbers per row, the published set sizes.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads do not burn CPU-seconds

import numpy as np
import numpy.typing as npt
import torch

from crosslight.evaluation.features import Features, save_features
from crosslight.evaluation.protocols import score_file
from crosslight.evaluation.ranking import (
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
    Exclusion,
    Labels,
    Ranks,
    Threads,
    Trial,
    rank_distances,
    rank_features,
)
from crosslight.evaluation.ranking.products import multiply
from crosslight.evaluation.reranking import KReciprocal, rank_refined
from crosslight.evaluation.reranking.reciprocal_graph import ReciprocalGraph

Floats = npt.NDArray[np.float32]
_LATENT = 96
_NOISES = (0.6, 1.6, 3.5, 12.0)
"""For mAP of about 95, 50, 5 and 0.5 %."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Set:
    """A synthetic test set: features and labels of queries and gallery."""

    query_feats: Floats
    query: Labels
    gallery_feats: Floats
    gallery: Labels
    trials: Sequence[Trial]
    exclusion: Exclusion

    def rank(self, **options: Any) -> list[Ranks]:
        """Ranks of all trials."""
        return rank_features(
            self.query_feats,
            self.query,
            self.gallery_feats,
            self.gallery,
            self.trials,
            exclusion=self.exclusion,
            **options,
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds, and MiB of resident memory added."""

    wall: float
    cpu: float
    mib: float


def measure(task: Callable[[], Any]) -> tuple[Cost, Any]:
    """The cost of a task; the median of three runs if one takes less than three CPU-seconds."""
    runs = [_measure(task)]
    while runs[0][0].cpu < 3 and len(runs) < 3:
        runs.append(_measure(task))
    runs.sort(key=lambda run: run[0].cpu)
    middle = runs[len(runs) // 2]
    # A later run finds memory that an earlier one has left.
    mib = max(cost.mib for cost, _ in runs)
    return Cost(wall=middle[0].wall, cpu=middle[0].cpu, mib=mib), middle[1]


def _measure(task: Callable[[], Any]) -> tuple[Cost, Any]:
    gc.collect()
    before = _resident("VmRSS", reset=True)
    wall, cpu = time.perf_counter(), time.process_time()
    result = task()
    cost = Cost(
        cpu=time.process_time() - cpu,
        wall=time.perf_counter() - wall,
        mib=_resident("VmHWM") - before,
    )
    return cost, result


def _resident(key: str, *, reset: bool = False) -> float:
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


class Table:
    """Rows of costs, each with its ratio to the first row."""

    def __init__(self, title: str) -> None:
        self._unit = 0.0
        print(f"\n## {title}\n")
        print("| | wall s | CPU-s | of the product | peak MiB | |")
        print("|---|---|---|---|---|---|")

    def row(self, name: str, cost: Cost, note: str = "") -> None:
        """Prints one row; the first is the unit of the others."""
        self._unit = self._unit or cost.cpu
        print(
            f"| {name} | {cost.wall:.2f} | {cost.cpu:.2f} | {cost.cpu / self._unit:.2f} | "
            f"{cost.mib:.0f} | {note} |",
            flush=True,
        )


def make_set(
    seed: int,
    *,
    people: int,
    queries: int,
    labelled: int,
    distractors: int,
    cams: int,
    noise: float,
    dimensions: int = 2048,
) -> Set:
    """Clusters in a space of 96 directions, so that mAP is neither 0 nor 1."""
    generator = np.random.default_rng(seed)
    space = generator.standard_normal((_LATENT, dimensions), dtype=np.float32) / dimensions**0.5
    centres = generator.standard_normal((people, _LATENT), dtype=np.float32)
    shift = 0.3 * generator.standard_normal((cams, _LATENT), dtype=np.float32)

    def draw(count: int, pids: npt.NDArray[np.int64]) -> tuple[Floats, Labels]:
        cam = generator.integers(0, cams, count)
        feats = np.empty((count, dimensions), dtype=np.float32)
        for low in range(0, count, 4096):
            part = slice(low, min(low + 4096, count))
            n = part.stop - low
            hard = noise * np.exp(0.45 * generator.standard_normal((n, 1), dtype=np.float32))
            base = np.where(
                pids[part, None] > 0,
                centres[pids[part] - 1],
                generator.standard_normal((n, _LATENT), dtype=np.float32),
            )
            code = base + shift[cam[part]]
            code += hard * generator.standard_normal((n, _LATENT), dtype=np.float32)
            rows = code @ space
            rows += 0.02 * generator.standard_normal(rows.shape, dtype=np.float32)
            feats[part] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return feats, Labels(pids=pids, cams=cam)

    query_feats, query = draw(queries, 1 + np.arange(queries) % people)
    pids = np.concatenate(
        [1 + generator.integers(0, people, labelled), np.zeros(distractors, dtype=np.int64)]
    )
    gallery_feats, gallery = draw(len(pids), generator.permutation(pids))
    return Set(
        query_feats=query_feats,
        query=query,
        gallery_feats=gallery_feats,
        gallery=gallery,
        trials=[Trial(queries=np.arange(queries), gallery=np.arange(len(pids)))],
        exclusion=SAME_PERSON_SAME_CAMERA,
    )


def make_sysu(seed: int, shots: int, part: float, trials: int = 10) -> Set:
    """The sizes of SYSU-MM01's all-search: 301 places with 22 visible images each, ten drawings."""
    queries, people = round(3803 * part), max(round(96 * part), 4)
    base = make_set(
        seed,
        people=people,
        queries=queries,
        labelled=round(6775 * part),
        distractors=0,
        cams=4,
        noise=1.4,
    )
    generator = np.random.default_rng(seed)
    visible = np.array([1, 2, 4, 5])[base.gallery.cams]
    place = base.gallery.pids * 10 + visible
    places = generator.permutation(np.unique(place))[: round(301 * part)]
    drawn = [
        np.concatenate(
            [generator.permutation(np.flatnonzero(place == number))[:shots] for number in places]
        )
        for _ in range(trials)
    ]
    return Set(
        query_feats=base.query_feats,
        query=Labels(pids=base.query.pids, cams=np.array([3, 6])[base.query.cams % 2]),
        gallery_feats=base.gallery_feats,
        gallery=Labels(pids=base.gallery.pids, cams=visible),
        trials=[Trial(queries=np.arange(queries), gallery=gallery) for gallery in drawn],
        exclusion=SYSU_SAME_PLACE,
    )


def product_alone(queries: Floats, gallery: Floats) -> Cost:
    """The limit: the float32 product alone, block by block."""
    return measure(lambda: _multiply(queries, gallery))[0]


def _multiply(queries: Floats, gallery: Floats) -> None:
    out = np.empty(512 * 4096, dtype=np.float32)
    for left in range(0, len(gallery), 4096):
        columns = gallery[left : left + 4096]
        for low in range(0, len(queries), 512):
            rows = queries[low : low + 512]
            tile = out[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            multiply(rows, columns, tile, work=np.inf)


def sort_based(data: Set, queries: int) -> float:
    """As commonly written: the whole matrix, an argsort per query, masks and a cumulative sum."""
    dist = 1.0 - data.query_feats[:queries] @ data.gallery_feats.T
    order = np.argsort(dist, axis=1)
    matches = (data.gallery.pids[order] == data.query.pids[:queries, None]).astype(np.int32)
    precisions = []
    for i in range(queries):
        same = data.gallery.pids[order[i]] == data.query.pids[i]
        keep = ~(same & (data.gallery.cams[order[i]] == data.query.cams[i]))
        found = matches[i][keep]
        if not found.any():
            continue
        total = found.cumsum()
        precision = total / (np.arange(len(found)) + 1.0)
        precisions.append((precision * found).sum() / found.sum())
    return float(np.mean(precisions))


def mean_precision(ranks: Sequence[Ranks]) -> float:
    return float(np.mean([np.nanmean(r.average_precision("rectangular")) for r in ranks]))


def plain(name: str, make: Callable[[float], Set], share: int) -> None:
    """Features of a good network, and of ever worse ones: counting should cost the same."""
    for noise in _NOISES:
        data = make(noise)
        queries, entries = len(data.query_feats), len(data.gallery_feats)
        exact = data.rank(cmc="image")
        title = f"{name}, mAP {100 * mean_precision(exact):.1f} %"
        table = Table(f"{title}: {queries:,} queries, {entries:,} gallery images")
        table.row("fp32 product alone", product_alone(data.query_feats, data.gallery_feats))
        cost, _ = measure(lambda d=data: d.rank(cmc="image"))
        table.row("ours from features, ranks only", cost)
        cost, _ = measure(lambda d=data: d.rank(cmc="image", top=20))
        table.row("ours from features", cost)
        some = min(queries, max(2**28 // entries // 4, 8))
        dist = np.empty((some, entries), dtype=np.float32)
        np.subtract(1.0, data.query_feats[:some] @ data.gallery_feats.T, out=dist)
        query = Labels(pids=data.query.pids[:some], cams=data.query.cams[:some])
        cost, _ = measure(
            lambda d=dist, q=query, s=data: rank_distances(
                d, q, s.gallery, exclusion=s.exclusion, cmc="image"
            )
        )
        table.row("ours from distances", _scaled(cost, queries / some), _of(some, queries))
        del dist
        some = max(queries // share, 1)
        cost, _ = measure(lambda d=data, n=some: sort_based(d, n))
        table.row(
            "sort-based, as commonly written", _scaled(cost, queries / some), _of(some, queries)
        )


def sysu(part: float) -> None:
    for shots in (1, 10):
        data = make_sysu(3, shots, part)
        union = np.unique(np.concatenate([trial.gallery for trial in data.trials]))
        table = Table(
            f"SYSU-MM01 all-search, ten trials, {shots}-shot: {len(data.query_feats):,} queries, "
            f"{len(data.trials[0].gallery)} images per trial, {len(union):,} together"
        )
        cost = product_alone(data.query_feats, data.gallery_feats[union])
        table.row("fp32 product with all of them", cost)
        cost, ranks = measure(lambda d=data: d.rank(top=20))
        table.row("ours, ten trials", cost, f"mAP {mean_precision(ranks):.6f}")


def reranking(name: str, data: Set, dense_rows: int) -> None:
    rows = np.concatenate([data.query_feats, data.gallery_feats])
    table = Table(f"k-reciprocal re-ranking, {name}: N = {len(rows):,}")
    cost, _ = measure(lambda r=rows: _multiply_triangle(r))
    table.row("upper triangle of the fp32 product", cost)
    del rows
    how = KReciprocal()

    def run() -> list[Ranks]:
        return rank_refined(
            data.query_feats,
            data.query,
            data.gallery_feats,
            data.gallery,
            data.trials,
            exclusion=data.exclusion,
            distance="cosine",
            how=how,
            cmc="image",
        )

    cost, ranks = measure(run)
    table.row("ours from features to scores", cost, f"mAP {mean_precision(ranks):.6f}")
    if dense_rows:
        some = _part_of(data, dense_rows)
        count = len(some.query_feats) + len(some.gallery_feats)
        scale = ((len(data.query_feats) + len(data.gallery_feats)) / count) ** 2
        cost, dense = measure(lambda: dense_reranking(some.query_feats, some.gallery_feats, how))
        table.row(
            "dense, as commonly written", _scaled(cost, scale), f"at N = {count:,} x {scale:.0f}"
        )
        with Threads() as threads:
            all_queries, all_gallery = (
                np.arange(len(f)) for f in (some.query_feats, some.gallery_feats)
            )
            graph = ReciprocalGraph(
                some.query_feats,
                all_queries,
                some.gallery_feats,
                all_gallery,
                how,
                "cosine",
                threads,
            )
            worst = np.abs(graph.distances(all_queries, all_gallery) - dense).max()
        print(f"\nLargest difference of a final distance to the dense form: {worst:.1e}")


def _part_of(data: Set, rows: int) -> Set:
    queries, gallery = rows // 7, rows - rows // 7
    return Set(
        query_feats=data.query_feats[:queries],
        query=data.query,
        gallery_feats=data.gallery_feats[:gallery],
        gallery=data.gallery,
        trials=(),
        exclusion=data.exclusion,
    )


def _multiply_triangle(rows: Floats) -> None:
    for left in range(0, len(rows), 2048):
        right = min(left + 2048, len(rows))
        for top in range(0, right, 512):
            start = max(left, top)
            part = rows[top : min(top + 512, right)]
            tile = np.empty((len(part), right - start), dtype=np.float32)
            multiply(part, rows[start:right], tile, work=np.inf)


def dense_reranking(queries: Floats, gallery: Floats, how: KReciprocal) -> npt.NDArray[Any]:
    """All rows against all, float64 distances, a row of weights as long as the gallery."""
    rows = np.concatenate([queries, gallery]).astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    original = np.maximum(2.0 - 2.0 * (rows @ rows.T), 0.0)
    np.fill_diagonal(original, 0.0)
    original /= original.max(axis=1, keepdims=True)
    ranking = np.argsort(original, axis=1, kind="stable")
    k, half = how.k1 + 1, int(np.around(how.k1 / 2)) + 1
    codes = np.zeros_like(original)
    for i in range(len(rows)):
        forward = ranking[i, :k]
        core = forward[(ranking[forward, :k] == i).any(axis=1)]
        members = core
        for j in core:
            other = ranking[j, :half]
            other = other[(ranking[other, :half] == j).any(axis=1)]
            if 3 * len(np.intersect1d(other, core)) > 2 * len(other):
                members = np.append(members, other)
        members = np.unique(members)
        weights = np.exp(-original[i, members])
        codes[i, members] = weights / weights.sum()
    codes = np.stack([codes[ranking[i, : how.k2]].mean(axis=0) for i in range(len(rows))])
    count = len(queries)
    users = [np.flatnonzero(codes[:, column]) for column in range(len(rows))]
    result = np.empty((count, len(gallery)))
    for i in range(count):
        common = np.zeros(len(rows))
        for column in np.flatnonzero(codes[i]):
            who = users[column]
            common[who] += np.minimum(codes[i, column], codes[who, column])
        jaccard = 1.0 - common / (2.0 - common)
        result[i] = ((1.0 - how.share) * jaccard + how.share * original[i])[count:]
    return result


def streaming(gallery: int, queries: int, dimensions: int) -> None:
    generator = np.random.default_rng(9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npz"
        total = gallery + queries
        spool = np.lib.format.open_memmap(
            Path(folder) / "feats.npy", mode="w+", dtype=np.float32, shape=(total, dimensions)
        )
        people = generator.standard_normal((max(total // 20, 1), dimensions), dtype=np.float32)
        pids = generator.integers(0, len(people), total)
        for low in range(0, total, 8192):
            part = slice(low, min(low + 8192, total))
            spool[part] = people[pids[part]]
            spool[part] += 2.5 * generator.standard_normal(spool[part].shape, dtype=np.float32)
        features = Features(
            feats=spool,
            pids=pids + 1,
            cams=generator.integers(1, 7, total),
            modality=np.zeros(total, dtype=np.int64),
            split=np.array(["query"] * queries + ["gallery"] * gallery),
        )
        save_features(path, features)
        size = path.stat().st_size / 2**20
        del spool, features, people
        title = f"From disk: {queries:,} queries, {gallery:,} gallery rows of {dimensions} numbers"
        table = Table(f"{title}, {size:,.0f} MiB")
        cost, scores = measure(lambda: score_file(path, "market1501"))
        note = f"{scores['path']}; {scores['seconds']:.1f} s of it scoring; mAP {scores['mAP']:.4f}"
        table.row("score_file", cost, note)


def _scaled(cost: Cost, factor: float) -> Cost:
    return Cost(wall=cost.wall * factor, cpu=cost.cpu * factor, mib=cost.mib)


def _of(some: int, queries: int) -> str:
    return "" if some == queries else f"{some} of {queries:,} queries x {queries / some:.1f}"


def _warm() -> None:
    # Compiles what is measured later.
    data = make_set(
        0, people=5, queries=30, labelled=90, distractors=3, cams=3, noise=1.0, dimensions=64
    )
    data.rank(top=3)
    rank_distances(
        np.zeros((30, 93), dtype=np.float32), data.query, data.gallery, exclusion=data.exclusion
    )
    reranking_options = {"exclusion": data.exclusion, "distance": "cosine", "how": KReciprocal()}
    tables = (data.query_feats, data.query, data.gallery_feats, data.gallery, data.trials)
    rank_refined(*tables, **reranking_options)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scale", choices=["small", "full"], default="small")
    parser.add_argument(
        "--only", choices=["market1501", "msmt17", "sysu", "rerank", "rerank-msmt17", "disk"]
    )
    chosen = parser.parse_args()
    full = chosen.scale == "full"
    part = 1.0 if full else 0.2
    wanted = lambda name: chosen.only in (None, name)  # noqa: E731
    _warm()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))

    def market(noise: float) -> Set:
        return make_set(
            1,
            people=max(round(750 * part), 8),
            queries=round(3368 * part),
            labelled=round(13115 * part),
            distractors=round(2798 * part),
            cams=6,
            noise=noise,
        )

    def msmt17(noise: float) -> Set:
        return make_set(
            2,
            people=max(round(3060 * part), 8),
            queries=round(11659 * part / (1 if full else 2)),
            labelled=round(82161 * part / (1 if full else 2)),
            distractors=0,
            cams=15,
            noise=noise,
        )

    if wanted("market1501"):
        plain("Market-1501", market, 8 if full else 2)
    if wanted("msmt17"):
        plain("MSMT17", msmt17, 100 if full else 4)
    if wanted("rerank"):
        reranking("Market-1501", market(1.0), 4000 if full else 800)
    if full and wanted("rerank-msmt17"):
        reranking("MSMT17", msmt17(1.05), 0)
    if wanted("sysu"):
        sysu(1.0 if full else 0.25)
    if wanted("disk"):
        streaming(*((1_000_000, 2000, 512) if full else (30_000, 200, 512)))


if __name__ == "__main__":
    main()
