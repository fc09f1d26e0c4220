"""A file of features in, a dictionary of scores out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from crosslight.evaluation.features import Features, load_features
from crosslight.evaluation.protocols.protocols import Protocol, get_protocol
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.reranking.refinements import Refinement, check_refinement
from crosslight.evaluation.scoring import TRIALS, Scoring, check_distance


def score_file(
    path: Path | str,
    protocol: str,
    *,
    distance: str = Scoring.distance,
    sampler: str = Scoring.sampler,
    permutations: Path | None = Scoring.permutations,
    average_precision: str = Scoring.average_precision,
    trials: int = TRIALS,
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
        effort: Block size; changes no score.
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
    drawn: dict[str, Any] = {
        "sampler": sampler,
        "permutations": permutations,
        "average_precision": average_precision,
        "trials": trials,
    }
    score = partial(_timed, chosen, features, distance=distance, effort=effort, **drawn)
    result = score()
    if refinements:
        result["refined"] = [score(refinement=refinement) for refinement in refinements]
    if chance:
        result["chance"] = chosen.chance(features, **drawn).to_json()
    return result


def _timed(protocol: Protocol, features: Features, **options: Any) -> dict[str, Any]:
    start = time.perf_counter()
    result = protocol.evaluate(features, **options)
    return {
        **result.to_json(),
        "path": result.path,
        "seconds": time.perf_counter() - start,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB; nan where it is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
