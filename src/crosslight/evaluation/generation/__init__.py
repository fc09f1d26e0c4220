"""Translated images, their inputs and the truth come in, scores of likeness go out."""

from crosslight.evaluation.generation.translation import (
    TranslationScore,
    is_only_gray,
    mean_score,
    score_translation,
)

__all__ = ["TranslationScore", "is_only_gray", "mean_score", "score_translation"]
