"""The finished rows of a leaderboard: small files, without any place on a machine."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

from crosslight.config import to_plain
from crosslight.errors import ConfigError
from crosslight.evaluation.protocols import SCORE_KEYS
from crosslight.experiments.evaluation import Evaluation
from crosslight.experiments.probing import read_probed
from crosslight.files import write_text
from crosslight.report.standings import PAIRED, Cost, Finished, Probes, Tried
from crosslight.training.run import RunFolder
from crosslight.version import __version__

ROWS, RUNS = "rows", "runs"
_DIGITS = 6


def figures_of(evaluation: Evaluation) -> dict[str, Any]:
    """Scores, chance, and the people behind them, for a row."""
    keys = [*SCORE_KEYS, *(f"{key}_sd" for key in SCORE_KEYS)]
    return {
        "scores": {name: _rounded(r.mean, keys) for name, r in evaluation.results.items()},
        "chance": {name: _rounded(r.mean, SCORE_KEYS) for name, r in evaluation.chance.items()},
        "people": {name: _of_people(evaluation, name) for name in evaluation.results},
    }


def _rounded(figures: Mapping[str, float], keys: Sequence[str]) -> dict[str, float]:
    return {key: round(figures[key], _DIGITS) for key in keys}


def _of_people(evaluation: Evaluation, protocol: str) -> dict[str, list[float]]:
    queries = evaluation.results[protocol].per_query
    assert queries is not None
    pids = evaluation.features.pids[queries.query_rows[queries.valid]]
    figures = {
        "rank1": queries.first_rank[queries.valid] == 1,
        "mAP": queries.average_precision[queries.valid],
    }
    _, members, counts = np.unique(pids, return_inverse=True, return_counts=True)
    means = {name: np.bincount(members, figures[name]) / counts for name in PAIRED}
    return {
        "queries": counts.tolist(),
        **{name: np.round(values, _DIGITS).tolist() for name, values in means.items()},
    }


def made_now() -> dict[str, str]:
    """When and with what; no name of a machine."""
    return {
        "day": datetime.now(UTC).date().isoformat(),
        "crosslight": __version__,
        "torch": torch.__version__,
        "processor": platform.machine(),
    }


def keep(path: Path, row: Finished) -> None:
    """Writes a row, whole or not at all."""
    write_text(path, json.dumps(asdict(row)) + "\n")


def read_row(path: Path) -> Finished:
    """A row that was kept.

    Raises:
        ConfigError: The file is no such row.
    """
    content = _content(path)
    try:
        cost, probes = content.get("cost"), content.get("probes")
        return Finished(
            **{
                **content,
                "cost": Cost(**cost) if cost else None,
                "probes": Probes(**probes) if probes else None,
            }
        )
    except TypeError as error:
        raise ConfigError(_damaged(path, error)) from error


def read_try(path: Path) -> Tried:
    """A learning rate that was tried.

    Raises:
        ConfigError: The file is no such try.
    """
    try:
        return Tried(**_content(path))
    except TypeError as error:
        raise ConfigError(_damaged(path, error)) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(_damaged(path, error)) from error
    if not isinstance(content, dict):
        raise ConfigError(_damaged(path, "no keys"))
    return content


def _damaged(path: Path, error: Exception | str) -> str:
    return f"{path} is no row of a leaderboard ({error}); remove it, and the row is made again."


def with_probes(folder: Path, runs: Path, row: Finished) -> Finished:
    """The row, and what its run was probed for since it was kept."""
    name = f"seed-{row.seed}"
    run = runs / row.data / row.system / name
    probed = None if row.fault else read_probed(run)
    if probed is None or not _is_of(run, row):
        return row
    found = replace(row, probes=probes_of(probed.parts))
    if found.probes != row.probes:
        keep(folder / ROWS / row.data / row.system / f"{name}.json", found)
    return found


def _is_of(run: Path, row: Finished) -> bool:
    """Whether a run is the row's: another machine may have trained it otherwise since."""
    own = to_plain(RunFolder.open(run).load_config())
    return all(
        row.config.get(part, {}).get(key, value) == value  # an older row may lack newer keys
        for part in ("data", "training")
        for key, value in own[part].items()
    )


def probes_of(parts: Mapping[str, Any]) -> Probes:
    """One figure of swap truth and one of leakage, from the parts of a probe."""
    swaps = [fmean(pair["scaled"]["ssim person"]) for pair in parts.get("swaps", {}).values()]
    known = parts.get("leakage", {}).get("disentanglement", {})
    return Probes(
        swaps=round(fmean(swaps), 4) if swaps else None,
        leakage=round(1 - fmean(known.values()), 4) if known else None,
    )
