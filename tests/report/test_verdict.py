from pathlib import Path

import numpy as np
import pytest

from crosslight.data.table import SampleTable, build_table
from crosslight.evaluation.protocols.scores import SCORE_KEYS, PerQuery, Result, TrialScores
from crosslight.report.verdict import score_row, standard_error, verdict_sentences


def _result(first_rank: list[int], *, rank1: list[float], invalid: int = 0) -> Result:
    queries = len(first_rank)
    return Result(
        protocol="p",
        distance="cosine",
        sampler=None,
        rules=("a rule",),
        trials=tuple(
            TrialScores(
                values=dict.fromkeys(SCORE_KEYS, value),
                cmc=np.full(3, value),
                valid=queries - invalid,
                invalid=invalid,
            )
            for value in rank1
        ),
        per_query=PerQuery(
            query_rows=np.arange(queries),
            valid=np.array(first_rank) > 0,
            average_precision=np.where(np.array(first_rank) > 0, 0.5, np.nan),
            first_rank=np.array(first_rank),
            first_row=np.full(queries, queries),
            first_distance=np.zeros(queries),
            gallery_rows=np.full((queries, 1), queries),
            distances=np.zeros((queries, 1)),
            correct=np.zeros((queries, 1), dtype=bool),
        ),
    )


def _table(pids: list[int]) -> SampleTable:
    modality = ["infrared"] * (len(pids) - 1) + ["visible"]
    paths = [f"{i}.jpg" for i in range(len(pids))]
    return build_table("table", Path(), {"path": paths, "pid": pids, "modality": modality})


def _said(pids: list[int], first_rank: list[int], rank1: float, chance: float) -> str:
    result, guess = (_result(first_rank, rank1=[value]) for value in (rank1, chance))
    row = score_row("p", result, guess)
    return " ".join(verdict_sentences(row, result, _table([*pids, 1]), 3, []))


def test_figures_are_percent_with_deviation_only_where_there_are_trials() -> None:
    many = score_row(
        "p", _result([1, 2, 0], rank1=[0.2, 0.4], invalid=1), _result([1], rank1=[0.1])
    )
    assert (many.scores[0].mean, many.scores[0].sd, many.scores[0].chance) == (
        "30.0",
        "± 10.0",
        "10.0",
    )
    assert (many.ratio, many.queries) == ("3.0 ×", "2 queries, 1 without answer")
    one = score_row("p", _result([1, 2], rank1=[0.2]), _result([1], rank1=[0.0]))
    assert (one.scores[0].sd, one.ratio) == ("", "–")


def test_people_not_queries_are_the_units_of_the_error() -> None:
    result = _result([1, 1, 1, 1, 5, 5, 5, 0], rank1=[0.5])
    table = _table([1, 1, 1, 1, 2, 2, 2, 3, 1])
    assert standard_error(result, table) == pytest.approx(0.5)  # shares 1 and 0 of two people
    assert standard_error(_result([1, 1], rank1=[1.0]), _table([4, 4, 4])) is None


@pytest.mark.parametrize(
    ("pids", "first_rank", "rank1", "chance", "words"),
    [
        ([1, 2, 3], [1, 1, 1], 1.0, 0.1, "That is 10.0 times as often as by guessing."),
        ([1, 2, 3], [1, 1, 1], 1.0, 0.6, "That is 40.0 percentage points above guessing."),
        ([1, 2, 3], [1, 5, 5], 0.333, 0.2, "cannot be told apart from guessing."),
        ([1, 2, 3], [5, 5, 5], 0.0, 0.2, "cannot be told apart from guessing."),
        ([1, 1, 1], [1, 1, 1], 1.0, 0.1, "Too few people were asked"),
    ],
)
def test_the_judgement_fits_the_numbers(
    pids: list[int], first_rank: list[int], rank1: float, chance: float, words: str
) -> None:
    said = _said(pids, first_rank, rank1, chance)
    assert words in said
    assert said.startswith("An infrared query finds its person first among visible images in")
