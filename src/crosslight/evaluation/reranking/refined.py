"""Re-ranking and query expansion of any protocol, as results of their own.

Both use the queries and the whole gallery of a trial together, so what they score is another task
than ranking one query at a time. Their figures belong in a column of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.evaluation.ranking import (
    CmcKind,
    Labels,
    Ranks,
    Trial,
    rank_features,
    rank_streamed,
)
from crosslight.evaluation.ranking.distances import FloatArray, rows_to_average, unit_rows
from crosslight.evaluation.ranking.effort import Effort, Threads
from crosslight.evaluation.ranking.exclusion import Exclusion
from crosslight.evaluation.reranking.reciprocal_graph import ReciprocalGraph
from crosslight.evaluation.reranking.refinements import QueryExpansion, Refinement
from crosslight.types import Distance


def rank_refined(
    query_feats: npt.NDArray[Any],
    query: Labels,
    gallery_feats: npt.NDArray[Any],
    gallery: Labels,
    trials: Sequence[Trial],
    *,
    exclusion: Exclusion,
    distance: Distance,
    how: Refinement | None,
    cmc: CmcKind = "identity",
    top: int = 0,
    effort: Effort | None = None,
) -> list[Ranks]:
    """Ranks after re-ranking or query expansion, each trial by itself; plain ranks without.

    The arguments are those of `rank_features`; `top_distance` holds the re-ranked distances.

    Raises:
        ConfigError: The distance is 'dot', which has no neighbourhoods.
    """
    rank = partial(rank_features, exclusion=exclusion, distance=distance, effort=effort)
    if how is None:
        return rank(query_feats, query, gallery_feats, gallery, trials, cmc=cmc, top=top)
    results: list[Ranks] = []
    for number, trial in enumerate(trials):
        tops = top if number == 0 else 0
        if isinstance(how, QueryExpansion):
            (near,) = rank(
                query_feats, query, gallery_feats, gallery, [trial], cmc="image", top=how.k
            )
            feats = _expanded(query_feats, gallery_feats, trial, near, how, distance)
            asked = Labels(pids=query.pids[trial.queries], cams=query.cams[trial.queries])
            local = Trial(queries=np.arange(len(trial.queries)), gallery=trial.gallery)
            results += rank(feats, asked, gallery_feats, gallery, [local], cmc=cmc, top=tops)
            continue
        with Threads() as threads:
            graph = ReciprocalGraph(
                query_feats,
                np.unique(trial.queries),
                gallery_feats,
                np.unique(trial.gallery),
                how,
                distance,
                threads,
            )
            results += rank_streamed(
                graph.distances,
                query,
                gallery,
                [trial],
                exclusion=exclusion,
                cmc=cmc,
                top=tops,
                effort=effort or Effort(),
                path="fp32+float64, re-ranked",
            )
    return results


def _expanded(
    query_feats: npt.NDArray[Any],
    gallery_feats: npt.NDArray[Any],
    trial: Trial,
    near: Ranks,
    how: QueryExpansion,
    distance: Distance,
) -> FloatArray:
    """Each query as a weighted mean of itself and the images nearest to it."""
    feats = np.empty((len(trial.queries), query_feats.shape[1]))
    for i, row in enumerate(trial.queries.tolist()):
        own = query_feats[row][None]
        others = gallery_feats[trial.gallery[near.top[i][near.top[i] >= 0]]]
        weights = np.clip(unit_rows(others) @ unit_rows(own)[0], 0.0, None) ** how.power
        own, others = rows_to_average(own, distance), rows_to_average(others, distance)
        feats[i] = (own[0] + weights @ others) / (1.0 + weights.sum())
    return feats
