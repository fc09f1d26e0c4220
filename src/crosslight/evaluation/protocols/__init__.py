"""Features or a matrix of distances and the name of a protocol come in, a `Result` goes out.

`selection` and `samplers` say which images a published protocol compares, `protocols` by which
rules, `scores` what is printed of it, `chance` what features without any knowledge would score.
"""

from crosslight.evaluation.protocols.files import score_file
from crosslight.evaluation.protocols.given import evaluate, score_distances
from crosslight.evaluation.protocols.protocols import PROTOCOLS, Protocol, get_protocol
from crosslight.evaluation.protocols.scores import (
    SCORE_KEYS,
    PerQuery,
    Result,
    TrialScores,
    format_table,
    merge_results,
)

__all__ = [
    "PROTOCOLS",
    "SCORE_KEYS",
    "PerQuery",
    "Protocol",
    "Result",
    "TrialScores",
    "evaluate",
    "format_table",
    "get_protocol",
    "merge_results",
    "score_distances",
    "score_file",
]
