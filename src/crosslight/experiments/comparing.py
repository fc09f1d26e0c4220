"""Sets evaluated runs beside each other: their scores, and whether they can be told apart."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crosslight.errors import ConfigError
from crosslight.evaluation.protocols.bootstrap import Difference, paired_difference
from crosslight.evaluation.protocols.scores import PerQuery, Result
from crosslight.experiments.evaluation import Evaluation, is_evaluated, load_evaluation

SCORES = ("rank1", "mAP", "mINP")


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run.

    Attributes:
        name: What tells it from the others: its folder, as much of it as is needed.
        scored: How: the distance, the code, mirror images, the galleries.
        scores: Protocol → score → fraction, the mean over trials.
        behind: Protocol → score → the best run minus this one, with the interval that the first
            trial's queries have; of rank1 and mAP, and none of the best itself.
    """

    name: str
    scored: str
    scores: Mapping[str, Mapping[str, float]]
    behind: Mapping[str, Mapping[str, Difference]]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Runs that were scored on the same test images.

    Attributes:
        data: Name of the data.
        runs: In the order that was asked for.
        chance: Protocol → score → what guessing would get.
        best: Protocol → name of the run with the highest mAP.
    """

    data: str
    runs: tuple[Compared, ...]
    chance: Mapping[str, Mapping[str, float]]
    best: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values, fractions; a difference says whether it is `told_apart`."""
        plain = asdict(self)
        for told, run in zip(plain["runs"], self.runs, strict=True):
            for protocol, differences in run.behind.items():
                for score, difference in differences.items():
                    told["behind"][protocol][score]["told_apart"] = difference.told_apart
        return plain


def compare(paths: Sequence[Path], *, protocols: Sequence[str] = ()) -> Comparison:
    """Compares the last evaluations of runs, on every protocol that all of them were scored by.

    Args:
        paths: Run folders, or folders of run folders.
        protocols: Only these.

    Raises:
        ConfigError: Fewer than two runs, one that has not been evaluated, other test images, or
            no protocol in common.
    """
    found = {name: load_evaluation(run) for name, run in named_runs(paths).items()}
    first = next(iter(found.values()))
    for name, evaluation in found.items():
        _require_same_images(next(iter(found)), first, name, evaluation)
    shared = [p for p in first.results if all(p in e.results for e in found.values())]
    asked = [p for p in shared if not protocols or p in protocols]
    if not asked:
        wanted = f" among {', '.join(protocols)}" if protocols else ""
        raise ConfigError(
            f"There is no protocol{wanted} by which all of {', '.join(found)} were scored; "
            "evaluate them again with the same --protocol."
        )
    best = {p: max(found, key=lambda name: found[name].results[p].mAP) for p in asked}
    return Comparison(
        data=first.settings.title,
        runs=tuple(
            Compared(
                name=name,
                scored=e.settings.told,
                scores={p: {s: e.results[p].mean[s] for s in SCORES} for p in asked},
                behind={p: _behind(found[best[p]], e, p) for p in asked if name != best[p]},
            )
            for name, e in found.items()
        ),
        chance={p: {s: first.chance[p].mean[s] for s in SCORES} for p in asked},
        best=best,
    )


def named_runs(paths: Sequence[Path]) -> dict[str, Path]:
    """What tells each evaluated run from the others → its folder.

    Args:
        paths: Run folders, or folders of run folders.

    Raises:
        ConfigError: Fewer than two runs, one that is given twice, or a path without any.
    """
    found = {path: runs_in(path) for path in paths}
    for path, runs in found.items():
        if not runs and len(found) > 1:
            what = "no evaluated run" if path.is_dir() else "no folder"
            raise ConfigError(
                f"{path} is {what}, and holds none; check the path, or say: crosslight evaluate "
                f"{path} --data LAYOUT:ROOT"
            )
    folders = [run for path in paths for run in found[path]]
    if len(folders) < 2:
        where = f" in {', '.join(map(str, paths))}" if paths else ""
        raise ConfigError(
            f"{len(folders)} evaluated run{'' if len(folders) == 1 else 's'}{where}; give two or "
            "more, or a folder of them."
        )
    return dict(zip(_names(folders), folders, strict=True))


def runs_in(path: Path) -> list[Path]:
    """The path itself where it is an evaluated run, else the evaluated runs below it, by name."""
    if is_evaluated(path):
        return [path]
    return sorted(found for found in path.glob("*") if is_evaluated(found))


def _behind(best: Evaluation, other: Evaluation, protocol: str) -> dict[str, Difference]:
    pids = best.features.pids
    lead, own = (_queries(e.results[protocol]) for e in (best, other))
    if not np.array_equal(lead.query_rows, own.query_rows):
        raise ConfigError(
            f"The runs were scored by other queries of {protocol}; evaluate them again with the "
            "same --sampler."
        )
    valid = lead.valid & own.valid
    people = pids[lead.query_rows[valid]]
    figures = {
        "rank1": [(q.first_rank[valid] == 1).astype(float) for q in (lead, own)],
        "mAP": [q.average_precision[valid] for q in (lead, own)],
    }
    means = [e.results[protocol].mean for e in (best, other)]
    return {
        name: paired_difference(a, b, people).around(means[0][name] - means[1][name])
        for name, (a, b) in figures.items()
    }


def _queries(result: Result) -> PerQuery:
    assert result.per_query is not None
    return result.per_query


def _require_same_images(name: str, first: Evaluation, other: str, second: Evaluation) -> None:
    samplers = [one.settings.sampler for one in (first, second) if one.settings.draws_galleries]
    if len(set(samplers)) > 1:
        raise ConfigError(
            f"{name} was scored on {samplers[0]} galleries, {other} on {samplers[1]} ones; "
            "evaluate them with the same --sampler."
        )
    what = [one.table.frame.select("path", "pid", "cam", "modality") for one in (first, second)]
    if first.settings.title != second.settings.title or not what[0].equals(what[1]):
        raise ConfigError(
            f"{name} was evaluated on {len(first.table)} images of {first.settings.title}, {other} "
            f"on {len(second.table)} of {second.settings.title}, or of other people; compare runs "
            "on the same images."
        )


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as tell all of them apart."""
    for number, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:number]]:
            raise ConfigError(f"{folder} is given twice; give each run once.")
    parts = [folder.resolve().parts for folder in folders]
    shown = (["/".join(part[-length:]) for part in parts] for length in itertools.count(1))
    return next(names for names in shown if len(set(names)) == len(names))
