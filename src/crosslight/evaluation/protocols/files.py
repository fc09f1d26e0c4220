"""A file of features in, a dictionary of scores out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crosslight.evaluation.features import load_features
from crosslight.evaluation.protocols.protocols import get_protocol
from crosslight.evaluation.ranking.distances import check_distance
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.reranking.refinements import Refinement, check_refinement


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
