"""What a protocol says about a set of features: means, spread, curves and single queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from crosslight.errors import ProtocolError
from crosslight.evaluation.ranking import CmcKind, Ranks, Trial
from crosslight.evaluation.ranking.distances import FloatArray, IntArray
from crosslight.evaluation.scoring import AveragePrecision

SCORE_KEYS = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")
CMC_LENGTH = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialScores:
    """The scores of one trial, over its valid queries.

    Attributes:
        values: The `SCORE_KEYS` as fractions.
        cmc: Rank-1, rank-2, ... up to 50 or the size of the gallery.
        valid: Number of queries scored.
        invalid: Number of queries without a positive, left out of every mean.
    """

    values: Mapping[str, float]
    cmc: FloatArray
    valid: int
    invalid: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PerQuery:
    """Each query of the first trial, for ranked lists. Rows are rows of the scored features.

    Attributes:
        query_rows: `(Q,)`.
        valid: `(Q,)` whether the query was scored.
        average_precision: `(Q,)`, nan where not valid.
        first_rank: `(Q,)` rank of the first positive by the protocol's CMC, 0 where not valid.
        first_row: `(Q,)` row of the nearest positive, -1 where not valid.
        first_distance: `(Q,)` its distance, nan where not valid.
        gallery_rows: `(Q, 20)` nearest allowed images, fewer columns where the gallery has fewer
            images, -1 beyond the end of the query's.
        distances: `(Q, 20)`, nan beyond the end; for 'dot' the negated inner product.
        correct: `(Q, 20)` whether the image shows the query's person.
    """

    query_rows: IntArray
    valid: npt.NDArray[np.bool_]
    average_precision: FloatArray
    first_rank: IntArray
    first_row: IntArray
    first_distance: FloatArray
    gallery_rows: IntArray
    distances: FloatArray
    correct: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """The outcome of one protocol on one set of features.

    Attributes:
        protocol: Its name.
        distance: 'cosine', 'euclidean', 'dot', 'given' for a matrix of distances, or 'chance' for
            the expectation of a random order.
        sampler: How galleries were drawn, None where the protocol draws none.
        rules: Every rule that was applied, one sentence each.
        trials: The trials in order.
        per_query: The queries of the first trial; None for a chance level.
        path: Which arithmetic decided the ranks, as `Ranks.path`; empty for a chance level.
    """

    protocol: str
    distance: str
    sampler: str | None
    rules: tuple[str, ...]
    trials: tuple[TrialScores, ...]
    per_query: PerQuery | None = None
    path: str = ""

    @property
    def mean(self) -> dict[str, float]:
        """Each of `SCORE_KEYS` as the mean over trials, and `<key>_sd`.

        The deviation is that of the trials at hand (divided by their number), 0 for one trial.
        """
        summary: dict[str, float] = {}
        for key in SCORE_KEYS:
            values = np.array([trial.values[key] for trial in self.trials])
            summary[key] = float(values.mean())
            summary[f"{key}_sd"] = float(values.std())
        return summary

    @property
    def rank1(self) -> float:
        """Rank-1 as a fraction, the mean over trials."""
        return self.mean["rank1"]

    @property
    def mAP(self) -> float:  # noqa: N802 (the field's name)
        """Mean average precision as a fraction, the mean over trials."""
        return self.mean["mAP"]

    @property
    def mINP(self) -> float:  # noqa: N802
        """Mean inverse negative penalty as a fraction, the mean over trials."""
        return self.mean["mINP"]

    @property
    def cmc(self) -> FloatArray:
        """The curve averaged over trials; shorter ones go on with their last value."""
        length = max(len(trial.cmc) for trial in self.trials)
        curves = [
            np.pad(trial.cmc, (0, length - len(trial.cmc)), mode="edge") for trial in self.trials
        ]
        mean: FloatArray = np.mean(curves, axis=0)
        return mean

    @property
    def queries_valid(self) -> tuple[int, ...]:
        """Number of scored queries of each trial."""
        return tuple(trial.valid for trial in self.trials)

    @property
    def queries_invalid(self) -> tuple[int, ...]:
        """Number of queries of each trial that have no positive."""
        return tuple(trial.invalid for trial in self.trials)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary: fractions, and the number of queries of the first trial."""
        return {
            "protocol": self.protocol,
            "distance": self.distance,
            "sampler": self.sampler,
            **self.mean,
            "trials": [dict(trial.values) for trial in self.trials],
            "cmc": self.cmc.tolist(),
            "queries_valid": self.queries_valid[0],
            "queries_invalid": self.queries_invalid[0],
            "rules": list(self.rules),
        }

    def __str__(self) -> str:
        return format_table({self.protocol: self.to_json()})

    def _repr_html_(self) -> str:
        """The table of `str()`, as a notebook shows it."""
        head, *rows = table_rows({self.protocol: self.to_json()})
        lines = [f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in head)}</tr>"]
        lines += [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows]
        return f"<table>{''.join(lines)}</table>"


def merge_results(results: Sequence[Result]) -> Result:
    """One result over several models, such as the ten that RegDB asks for: mean and spread.

    Raises:
        ProtocolError: There is none, or they were not scored alike.
    """
    if not results:
        raise ProtocolError("There is no result to average; give one of each model.")
    for told in ("protocol", "distance", "sampler"):
        found = list(dict.fromkeys(str(getattr(result, told)) for result in results))
        if len(found) > 1:
            raise ProtocolError(
                f"The results are not of one {told} ({', '.join(found)}), so their mean says "
                "nothing; average those of one at a time."
            )
    trials = tuple(trial for result in results for trial in result.trials)
    note = f"averaged: {len(results)} sets of features, one model each"
    return replace(results[0], trials=trials, rules=(*results[0].rules, note))


def summarise(
    *,
    cmc: FloatArray,
    average_precision: float,
    inverse_negative_penalty: float,
    valid: int,
    invalid: int,
) -> TrialScores:
    """Scores of one trial; ranks beyond the end of the curve take its last value."""
    values = {f"rank{k}": float(cmc[min(k, len(cmc)) - 1]) for k in (1, 5, 10, 20)}
    values["mAP"] = average_precision
    values["mINP"] = inverse_negative_penalty
    return TrialScores(values=values, cmc=cmc, valid=valid, invalid=invalid)


def score_ranks(
    ranks: Ranks, *, cmc: CmcKind, average_precision: AveragePrecision, length: int
) -> TrialScores:
    """Scores of one trial from its ranks.

    Args:
        ranks: The ranks.
        cmc: Whether rank-k counts images or people.
        average_precision: The rule of the area.
        length: Entries of the curve.

    Raises:
        ProtocolError: No query has a positive.
    """
    valid = ranks.valid
    if not valid.any():
        raise ProtocolError(
            f"None of the {len(valid)} queries has an allowed gallery image of its person, so "
            "nothing can be scored; check that queries and gallery number people alike, and which "
            "cameras the exclusion leaves."
        )
    first = ranks.first_rank(cmc)[valid]
    found = np.bincount(np.minimum(first, length + 1), minlength=length + 2)[1 : length + 1]
    return summarise(
        cmc=np.cumsum(found) / len(first),
        average_precision=float(ranks.average_precision(average_precision)[valid].mean()),
        inverse_negative_penalty=float(ranks.inverse_negative_penalty()[valid].mean()),
        valid=int(valid.sum()),
        invalid=int((~valid).sum()),
    )


def cmc_length(cmc: CmcKind, gallery_pids: IntArray) -> int:
    """Entries of a curve over a gallery of these people."""
    entries = len(gallery_pids if cmc == "image" else np.unique(gallery_pids))
    return min(CMC_LENGTH, entries)


def per_query(
    ranks: Ranks,
    trial: Trial,
    *,
    query_pids: IntArray,
    query_rows: IntArray,
    gallery_pids: IntArray,
    cmc: CmcKind,
    average_precision: AveragePrecision,
) -> PerQuery:
    """The queries of one trial.

    Args:
        ranks: Of the trial.
        trial: Rows of the tables of queries and of gallery images.
        query_pids: People of the table of queries.
        query_rows: What each row of it is called in the result.
        gallery_pids: People of the table of gallery images.
        cmc: Whether rank-k counts images or people.
        average_precision: The rule of the area.
    """
    rows = np.where(ranks.top >= 0, trial.gallery[ranks.top], -1)
    return PerQuery(
        query_rows=query_rows[trial.queries],
        valid=ranks.valid,
        average_precision=ranks.average_precision(average_precision),
        first_rank=ranks.first_rank(cmc),
        first_row=np.where(ranks.first >= 0, trial.gallery[ranks.first], -1),
        first_distance=ranks.first_distance,
        gallery_rows=rows,
        distances=ranks.top_distance,
        correct=(rows >= 0) & (gallery_pids[rows] == query_pids[trial.queries][:, None]),
    )


def format_table(
    scores: Mapping[str, Mapping[str, Any]],
    *,
    chance: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Scores as plain text: percent, mean ± sd where there are trials, chance below.

    Each refinement of an entry has a row of its own, named after it.

    Args:
        scores: Name of a protocol → a dictionary of `score_file` or `Result.to_json`.
        chance: The same of the chance levels; by default what each entry holds under 'chance'.
    """
    rows = table_rows(scores, chance=chance)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def table_rows(
    scores: Mapping[str, Mapping[str, Any]],
    *,
    chance: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[tuple[str, ...]]:
    """The cells of `format_table`, the head first."""
    rows: list[tuple[str, ...]] = [("percent", *SCORE_KEYS)]
    for name, entry in scores.items():
        rows.append((name, *(_percent(entry, key) for key in SCORE_KEYS)))
        for refined in entry.get("refined", ()):
            label = "  + " + refined["protocol"].partition(" + ")[2]
            rows.append((label, *(_percent(refined, key) for key in SCORE_KEYS)))
        level = entry.get("chance") if chance is None else chance.get(name)
        if level is not None:
            rows.append(("  chance", *(f"{100 * level[key]:.2f}" for key in SCORE_KEYS)))
    return rows


def _percent(scores: Mapping[str, Any], key: str) -> str:
    text = f"{100 * scores[key]:.2f}"
    return f"{text} ± {100 * scores[f'{key}_sd']:.2f}" if len(scores["trials"]) > 1 else text
