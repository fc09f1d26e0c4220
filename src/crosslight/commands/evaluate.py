"""Prints what an evaluation came to."""

from __future__ import annotations

from crosslight.experiments.evaluation import Evaluation


def print_evaluation(evaluation: Evaluation) -> None:
    """The data set, the distance, and a row for each protocol with its chance level."""
    print(evaluation, flush=True)
