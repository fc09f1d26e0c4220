"""The results in words and as a table: every figure beside what guessing would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosslight.data.table import SampleTable
from crosslight.evaluation.protocols.scores import SCORE_KEYS, Result
from crosslight.report.distances import PairHistogram
from crosslight.types import Modality

HEADINGS = {
    "rank1": "rank-1",
    "rank5": "rank-5",
    "rank10": "rank-10",
    "rank20": "rank-20",
    "mAP": "mAP",
    "mINP": "mINP",
}


@dataclass(frozen=True, kw_only=True)
class Score:
    """One figure of the table, as printed.

    Attributes:
        key: One of `SCORE_KEYS`.
        mean: Percent.
        sd: Percent with its sign ±, empty for a single trial.
        chance: Percent; exact, so its small deviation between galleries is not printed.
        start: Percent, before any training; empty where nothing is known of it.
    """

    key: str
    mean: str
    sd: str
    chance: str
    start: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One protocol of the table.

    Attributes:
        protocol: Its name.
        trials: Number of trials.
        queries: How many the first trial scored, and how many had no right answer to find.
        scores: In the order of `SCORE_KEYS`.
        ratio: Rank-1 over chance, e.g. `12.5 ×`.
        rank1: Fraction, for the drawn bar.
        chance1: Fraction.
    """

    protocol: str
    trials: int
    queries: str
    scores: tuple[Score, ...]
    ratio: str
    rank1: float
    chance1: float


def score_row(name: str, result: Result, chance: Result, start: Result | None = None) -> ScoreRow:
    """The table row of one protocol; `start` is what stood before any training."""
    mean, guess = result.mean, chance.mean
    several = len(result.trials) > 1
    valid, invalid = result.queries_valid[0], result.queries_invalid[0]
    return ScoreRow(
        protocol=name,
        trials=len(result.trials),
        queries=f"{valid:,} queries" + (f", {invalid:,} without answer" if invalid else ""),
        scores=tuple(
            Score(
                key=key,
                mean=percent(mean[key]),
                sd=f"± {percent(mean[f'{key}_sd'])}" if several else "",
                chance=percent(guess[key]),
                start=percent(start.mean[key]) if start else "",
            )
            for key in SCORE_KEYS
        ),
        ratio=f"{mean['rank1'] / guess['rank1']:.1f} ×" if guess["rank1"] else "–",
        rank1=mean["rank1"],
        chance1=guess["rank1"],
    )


def verdict_sentences(
    row: ScoreRow,
    result: Result,
    table: SampleTable,
    people: int,
    histograms: Sequence[PairHistogram],
) -> list[str]:
    """What the leading protocol and the distances say, in plain words.

    Args:
        row: The protocol's row of the table.
        result: The protocol's result.
        table: The test rows.
        people: Number of people in them.
        histograms: Of the distances.
    """
    subject, where = _who_and_where(result, table)
    over = f", mean of {row.trials} trials" if row.trials > 1 else ""
    sentences = [
        f"{subject} finds its person first{where} in {_share(row.rank1)} of cases ({row.protocol}, "
        f"{people} people in the test set{over}); "
        f"guessing would in {_share(row.chance1)}.",
        _judgement(row, result, table),
    ]
    areas = [(h.name, h.auc) for h in histograms if h.auc is not None]
    if areas:
        said = [f"{_share(auc)} {name}" for name, auc in areas]
        listed = " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)
        sentences.append(
            "A pair of images of one person is nearer than a pair of two people in this share of "
            f"comparisons: {listed} (chance: {_share(0.5)})."
        )
    return sentences


def percent(fraction: float) -> str:
    """A fraction as percent with one decimal, without the sign."""
    return f"{100 * fraction:.1f}"


def _share(fraction: float) -> str:
    return f"{percent(fraction)}\N{NO-BREAK SPACE}%"


def _judgement(row: ScoreRow, result: Result, table: SampleTable) -> str:
    error = standard_error(result, table)
    if error is None:
        return "Too few people were asked to tell that from guessing."
    if row.rank1 - 2 * error <= row.chance1:
        return "With these people that cannot be told apart from guessing."
    ratio = row.rank1 / row.chance1 if row.chance1 else float("inf")
    if ratio >= 2:
        return f"That is {ratio:.1f} times as often as by guessing."
    return f"That is {percent(row.rank1 - row.chance1)} percentage points above guessing."


def standard_error(result: Result, table: SampleTable) -> float | None:
    """How far rank-1 would stray with other people of the same kind, as a fraction.

    Queries of one person succeed or fail together and trials share their queries, so people are
    the units: it is the deviation of their shares of success over the root of their number.

    Returns:
        None with fewer than two people, or where the result holds no single queries.
    """
    if result.per_query is None:
        return None
    scored = result.per_query.valid
    pids = table.pids[result.per_query.query_rows[scored]]
    hits = result.per_query.first_rank[scored] == 1
    shares = [float(hits[pids == pid].mean()) for pid in np.unique(pids)]
    if len(shares) < 2:
        return None
    return float(np.std(shares, ddof=1) / np.sqrt(len(shares)))


def _who_and_where(result: Result, table: SampleTable) -> tuple[str, str]:
    """`An infrared query`, ` among visible images`: as far as the queries agree."""
    if result.per_query is None:
        return "A query", ""
    seen = result.per_query.gallery_rows[result.per_query.valid]
    queries = np.unique(table.modality[result.per_query.query_rows])
    gallery = np.unique(table.modality[seen[seen >= 0]])
    if queries.size != 1:
        return "A query", ""
    asked = Modality(int(queries[0]))
    subject = "An infrared query" if asked is Modality.INFRARED else "A visible query"
    if gallery.size == 1 and gallery[0] != asked:
        return subject, f" among {Modality(int(gallery[0])).name.lower()} images"
    return subject, ""
