"""The protocols, slowly and obviously: plain Python, full sorts, one query at a time.

Nothing here is shared with the package; rows are `Row` tuples, distances are Python numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

KEYS = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


class Row(NamedTuple):
    feat: tuple[float, ...]
    pid: int
    cam: int
    modality: int = 0
    split: str = ""
    name: str = ""


Rule = Callable[[Row, Row], bool]
Permutations = dict[tuple[int, int], list[list[int]]]


def distance(a: Sequence[float], b: Sequence[float], kind: str) -> float:
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    if kind == "dot":
        return -dot
    if kind == "euclidean":
        return math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    norm = math.sqrt(math.fsum(x * x for x in a) * math.fsum(y * y for y in b))
    return -dot / norm if norm else 0.0


def matches_in_order(dist: Sequence[float], correct: Sequence[bool]) -> list[bool]:
    """Relevance along the ranked list; Python's sort is stable."""
    return [correct[i] for i in sorted(range(len(dist)), key=lambda i: dist[i])]


def average_precision(relevance: Sequence[bool], kind: str = "rectangular") -> float:
    total, found = 0.0, 0
    for position, right in enumerate(relevance, start=1):
        if not right:
            continue
        before = found / (position - 1) if position > 1 else 1.0
        found += 1
        precision = found / position
        total += precision if kind == "rectangular" else (before + precision) / 2
    return total / found


def inverse_negative_penalty(relevance: Sequence[bool]) -> float:
    last = max(position for position, right in enumerate(relevance, start=1) if right)
    return sum(relevance) / last


def person_rank(dist: Sequence[float], pids: Sequence[int], pid: int) -> int:
    people: list[int] = []
    for i in sorted(range(len(dist)), key=lambda i: dist[i]):
        if pids[i] not in people:
            people.append(pids[i])
    return people.index(pid) + 1


def score_query(
    dist: Sequence[float], pids: Sequence[int], pid: int, *, unique: bool, area: str
) -> tuple[int, float, float]:
    """Rank of the first right answer, average precision, INP."""
    relevance = matches_in_order(dist, [p == pid for p in pids])
    first = person_rank(dist, pids, pid) if unique else relevance.index(True) + 1
    return first, average_precision(relevance, area), inverse_negative_penalty(relevance)


def score_trial(
    queries: Sequence[Row],
    gallery: Sequence[Row],
    hidden: Rule,
    *,
    unique: bool,
    kind: str,
    area: str = "rectangular",
) -> dict[str, float] | None:
    """Scores of one trial, None if no query can be scored."""
    results = []
    for query in queries:
        seen = [row for row in gallery if not hidden(query, row)]
        if not any(row.pid == query.pid for row in seen):
            continue
        dist = [distance(query.feat, row.feat, kind) for row in seen]
        pids = [row.pid for row in seen]
        results.append(score_query(dist, pids, query.pid, unique=unique, area=area))
    if not results:
        return None
    count = len(results)
    scores = {
        f"rank{k}": sum(first <= k for first, _, _ in results) / count for k in (1, 5, 10, 20)
    }
    scores["mAP"] = math.fsum(ap for _, ap, _ in results) / count
    scores["mINP"] = math.fsum(inp for _, _, inp in results) / count
    scores["valid"] = count
    scores["invalid"] = len(queries) - count
    return scores


def same_person_same_camera(query: Row, row: Row) -> bool:
    return query.pid == row.pid and query.cam == row.cam


def sysu_room(query: Row, row: Row) -> bool:
    return query.cam == 3 and row.cam == 2


def nothing(query: Row, row: Row) -> bool:
    return False


def drawn(rows: Iterable[Row], cams: Sequence[int], trial: int, shots: int) -> list[Row]:
    """The seeded sampler, with the global generator as the public code uses it."""
    state = random.getstate()
    random.seed(trial)
    folders: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        folders.setdefault((f"{row.pid:04d}", row.cam), []).append(row)
    chosen: list[Row] = []
    for person in sorted({person for person, _ in folders}):
        for cam in cams:
            files = sorted(folders.get((person, cam), []), key=lambda row: row.name)
            if files and shots == 1:
                chosen.append(random.choice(files))
            elif files:
                chosen.extend(random.sample(files, min(shots, len(files))))
    random.setstate(state)
    return chosen


def permuted(
    rows: Iterable[Row], cams: Sequence[int], permutations: Permutations, trial: int, shots: int
) -> list[Row]:
    """The official sampler."""
    files = {(row.cam, row.pid, int(row.name.split(".")[0])): row for row in rows}
    return [
        files[cam, pid, number]
        for cam in cams
        for pid in sorted({pid for camera, pid, _ in files if camera == cam})
        for number in permutations[cam, pid][trial][:shots]
    ]


def by_person(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (f"{row.pid:04d}", row.cam, row.name))


def score_protocol(
    name: str,
    rows: Sequence[Row],
    *,
    kind: str,
    area: str = "rectangular",
    trials: int = 2,
    permutations: Permutations | None = None,
) -> list[dict[str, float] | None]:
    """One entry per trial."""
    parts = name.split("/")
    visible = [row for row in rows if row.modality == 0]
    infrared = [row for row in rows if row.modality == 1]
    if parts[0] in ("market1501", "dukemtmc", "msmt17", "any-camera"):
        rows = [row for row in rows if row.pid != -1]
        hidden = nothing if name == "any-camera" else same_person_same_camera
        queries = [row for row in rows if row.split == "query"]
        gallery = [row for row in rows if row.split == "gallery"]
        return [score_trial(queries, gallery, hidden, unique=False, kind=kind, area=area)]
    if parts[0] == "regdb":
        pair = (visible, infrared) if parts[1].startswith("visible") else (infrared, visible)
        return [score_trial(*pair, nothing, unique=False, kind=kind, area=area)]
    results = []
    for trial in range(trials):
        if parts[0] == "sysu-mm01":
            cams = (1, 2, 4, 5) if parts[1] == "all" else (1, 2)
            shots = int(parts[2])
            pool = [row for row in rows if row.cam in cams]
            gallery = (
                drawn(pool, cams, trial, shots)
                if permutations is None
                else permuted(pool, cams, permutations, trial, shots)
            )
            queries, hidden = [row for row in rows if row.cam in (3, 6)], sysu_room
        else:
            hidden, cams = same_person_same_camera, tuple(range(1, 10))
            if parts[1] == "visible-to-infrared":
                queries, gallery = visible, drawn(infrared, cams, trial, 1)
            elif parts[1] == "infrared-to-visible":
                queries, gallery = infrared, drawn(visible, cams, trial, 1)
            else:
                queries, gallery = drawn(infrared, cams, trial, 1), by_person(visible)
        results.append(score_trial(queries, gallery, hidden, unique=True, kind=kind, area=area))
    return results
