"""Features or distances of queries and gallery come in, the ranks of the positives go out.

The way from one to the other, file by file: `pooling` puts the trials of a protocol together,
`given_features` or `given_distances` passes the gallery by in tiles, `counting` counts what comes
before each positive, `arithmetic` decides where float32 cannot, `ranks` turns counts into ranks.
"""

from crosslight.evaluation.ranking.distances import DISTANCE_TEXT
from crosslight.evaluation.ranking.effort import Effort, Threads
from crosslight.evaluation.ranking.exclusion import (
    NO_EXCLUSION,
    SAME_PERSON_SAME_CAMERA,
    SYSU_SAME_PLACE,
    Exclusion,
)
from crosslight.evaluation.ranking.pooling import Labels, Trial
from crosslight.evaluation.ranking.ranks import (
    CmcKind,
    Ranks,
    rank_distances,
    rank_features,
    rank_streamed,
)

__all__ = [
    "DISTANCE_TEXT",
    "NO_EXCLUSION",
    "SAME_PERSON_SAME_CAMERA",
    "SYSU_SAME_PLACE",
    "CmcKind",
    "Effort",
    "Exclusion",
    "Labels",
    "Ranks",
    "Threads",
    "Trial",
    "rank_distances",
    "rank_features",
    "rank_streamed",
]
