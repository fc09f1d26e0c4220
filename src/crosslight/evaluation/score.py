"""A file of features in, a table of scores out."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crosslight.evaluation.distances import check_distance
from crosslight.evaluation.effort import Effort
from crosslight.evaluation.features import load_features
from crosslight.evaluation.protocols import get_protocol
from crosslight.evaluation.refinements import Refinement, check_refinement
from crosslight.evaluation.scores import SCORE_KEYS


def score_file(
    path: Path | str,
    protocol: str,
    *,
    distance: str = "cosine",
    sampler: str = "seeded",
    permutations: Path | None = None,
    average_precision: str = "rectangular",
    trials: int = 10,
    chance: bool = False,
    effort: Effort | None = None,
    refinements: Sequence[Refinement] = (),
) -> dict[str, Any]:
    """Scores features that any program wrote.

    Args:
        path: An `.npz`, `.npy` or Parquet file, see `load_features`.
        protocol: A name of `PROTOCOLS`.
        distance: 'cosine', 'euclidean' or 'dot' (larger is nearer).
        sampler: 'seeded' or 'official', for the protocols that draw galleries.
        permutations: `rand_perm_cam.mat` or the root of SYSU-MM01, for 'official'.
        average_precision: 'rectangular' or 'trapezoid'.
        trials: How many galleries are drawn.
        chance: Add the scores of a random order under the key 'chance'.
        effort: Block size and precision of the products; changes no score.
        refinements: Re-ranking or query expansion, each scored beside the plain ranking.

    Returns:
        `rank1, rank5, rank10, rank20, mAP, mINP` as fractions with `<key>_sd`, `trials`, `cmc`,
        `protocol`, `distance`, `sampler`, `rules`, `queries_valid`, `queries_invalid`; `path`, the
        arithmetic that decided the ranks; `seconds` of scoring alone, without loading; `peak_mib`,
        the largest resident memory of this process so far. Under 'refined' a list with the same
        for each refinement.

    Raises:
        DataError: The file cannot be used.
        ProtocolError: Its features cannot be scored by this protocol.
        ConfigError: A name or an option is wrong.
    """
    chosen = get_protocol(protocol)
    for refinement in refinements:
        check_refinement(refinement, check_distance(distance))
    features = load_features(path)

    def evaluate(refinement: Refinement | None) -> dict[str, Any]:
        start = time.perf_counter()
        result = chosen.evaluate(
            features,
            distance=distance,
            sampler=sampler,
            permutations=permutations,
            average_precision=average_precision,
            trials=trials,
            effort=effort,
            refinement=refinement,
        )
        return {
            **result.to_json(),
            "path": result.path,
            "seconds": time.perf_counter() - start,
            "peak_mib": peak_mib(),
        }

    result = evaluate(None)
    if refinements:
        result["refined"] = [evaluate(refinement) for refinement in refinements]
    if chance:
        result["chance"] = chosen.chance(
            features,
            sampler=sampler,
            permutations=permutations,
            average_precision=average_precision,
            trials=trials,
        ).to_json()
    return result


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB; nan where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def format_table(
    scores: Mapping[str, Mapping[str, Any]],
    *,
    chance: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Scores as plain text: percent, mean ± sd where there are trials, chance below.

    Each refinement of an entry has a row of its own, named after it.

    Args:
        scores: Name of a protocol → a dictionary of `score_file` or `Result.to_json`.
        chance: The same of the chance levels; by default what each entry holds under 'chance'.
    """
    rows: list[tuple[str, ...]] = [("percent", *SCORE_KEYS)]
    for name, entry in scores.items():
        rows.append((name, *(_percent(entry, key) for key in SCORE_KEYS)))
        for refined in entry.get("refined", ()):
            label = "  + " + refined["protocol"].partition(" + ")[2]
            rows.append((label, *(_percent(refined, key) for key in SCORE_KEYS)))
        level = entry.get("chance") if chance is None else chance.get(name)
        if level is not None:
            rows.append(("  chance", *(f"{100 * level[key]:.2f}" for key in SCORE_KEYS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _percent(scores: Mapping[str, Any], key: str) -> str:
    text = f"{100 * scores[key]:.2f}"
    return f"{text} ± {100 * scores[f'{key}_sd']:.2f}" if len(scores["trials"]) > 1 else text
