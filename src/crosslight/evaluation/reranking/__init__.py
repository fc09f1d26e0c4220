"""Features and a refinement come in, ranks after re-ranking or query expansion go out."""

from crosslight.evaluation.reranking.refined import rank_refined
from crosslight.evaluation.reranking.refinements import (
    REFINED_RULE,
    KReciprocal,
    QueryExpansion,
    Refinement,
    check_refinement,
    refinement_rule,
)

__all__ = [
    "REFINED_RULE",
    "KReciprocal",
    "QueryExpansion",
    "Refinement",
    "check_refinement",
    "rank_refined",
    "refinement_rule",
]
