"""Scores features that any program made."""

from __future__ import annotations

import json
from pathlib import Path

from crosslight.evaluation.score import format_table, score_file


def run_score(
    features: Path,
    *,
    protocol: str,
    distance: str,
    sampler: str,
    permutations: Path | None,
    average_precision: str,
    json_path: Path | None,
) -> None:
    """Prints the scores and the rules that led to them; writes JSON where asked."""
    scores = score_file(
        features,
        protocol,
        distance=distance,
        sampler=sampler,
        permutations=permutations,
        average_precision=average_precision,
    )
    print(format_table({protocol: scores}))
    for rule in scores["rules"]:
        print(f"  - {rule}")
    if json_path is not None:
        json_path.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
