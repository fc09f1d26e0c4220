"""Scores features that any program made."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from crosslight.evaluation.protocols import format_table, score_file
from crosslight.evaluation.ranking.effort import Effort
from crosslight.evaluation.reranking.refinements import REFINED_RULE, Refinement
from crosslight.evaluation.scoring import Scoring
from crosslight.files import require_place, write_text


def run_score(
    features: Path,
    protocol: str,
    scoring: Scoring,
    *,
    json_path: Path | None,
    refinements: Sequence[Refinement],
    effort: Effort,
) -> None:
    """Prints the scores, chance and the rules that led to them; writes JSON where asked."""
    if json_path is not None:
        require_place(json_path)
    scores = score_file(
        features,
        protocol,
        **vars(scoring),
        chance=True,
        refinements=refinements,
        effort=effort,
    )
    print(format_table({protocol: scores}))
    for rule in scores["rules"]:
        print(f"  - {rule}")
    for refined in scores.get("refined", ()):
        print(f"  - {refined['protocol'].partition(' + ')[2]}: {REFINED_RULE}")
    if json_path is not None:
        write_text(json_path, json.dumps(scores, indent=2) + "\n")
