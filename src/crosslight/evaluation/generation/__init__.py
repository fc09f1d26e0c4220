"""Translated images, their inputs and the truth come in, scores of likeness go out."""

from crosslight.evaluation.generation.translation import (
    TranslationScore,
    Values,
    is_only_gray,
    mean_score,
    score_translation,
)

__all__ = ["TranslationScore", "Values", "is_only_gray", "mean_score", "score_translation"]
