import json
from dataclasses import replace

import numpy as np
import pytest

from crosslight.errors import ProtocolError
from crosslight.evaluation.protocols.scores import (
    SCORE_KEYS,
    Result,
    TrialScores,
    merge_results,
    score_ranks,
    summarise,
)
from crosslight.evaluation.ranking import Labels, rank_distances
from crosslight.evaluation.ranking.exclusion import NO_EXCLUSION


def trial(rank1: float, length: int = 3) -> TrialScores:
    return summarise(
        cmc=np.linspace(rank1, 1.0, length),
        average_precision=rank1 / 2,
        inverse_negative_penalty=rank1 / 4,
        valid=8,
        invalid=2,
    )


def result(*rank1: float) -> Result:
    return Result(
        protocol="regdb/visible-to-thermal",
        distance="dot",
        sampler=None,
        rules=("one rule",),
        trials=tuple(trial(value, 2 + n) for n, value in enumerate(rank1)),
    )


def test_mean_and_population_deviation_over_trials() -> None:
    mean = result(0.2, 0.4).mean
    assert mean["rank1"] == pytest.approx(0.3)
    assert mean["rank1_sd"] == pytest.approx(0.1)
    assert mean["mAP"] == pytest.approx(0.15)
    assert mean["mINP_sd"] == pytest.approx(0.025)
    assert set(mean) == {*SCORE_KEYS, *(f"{key}_sd" for key in SCORE_KEYS)}
    assert result(0.2).mean["rank1_sd"] == 0.0


def test_a_short_gallery_keeps_its_last_value() -> None:
    scores = trial(0.5, 3)
    assert [scores.values[f"rank{k}"] for k in (1, 5, 10, 20)] == [0.5, 1.0, 1.0, 1.0]
    np.testing.assert_allclose(result(0.0, 0.5).cmc, [0.25, 0.875, 1.0])


def test_the_curve_counts_first_answers() -> None:
    (ranks,) = rank_distances(
        np.tile(np.arange(60.0), (2, 1)),
        Labels(pids=np.array([2, 55]), cams=np.zeros(2, int)),
        Labels(pids=np.arange(60), cams=np.zeros(60, int)),
        exclusion=NO_EXCLUSION,
    )
    scores = score_ranks(ranks, cmc="image", average_precision="rectangular", length=50)
    assert len(scores.cmc) == 50
    assert scores.cmc[:4].tolist() == [0.0, 0.0, 0.5, 0.5]
    assert scores.cmc[-1] == 0.5


def test_ranks_without_a_right_answer_are_refused() -> None:
    (ranks,) = rank_distances(
        np.zeros((2, 1)),
        Labels(pids=np.array([1, 2]), cams=np.zeros(2, int)),
        Labels(pids=np.array([3]), cams=np.zeros(1, int)),
        exclusion=NO_EXCLUSION,
    )
    with pytest.raises(ProtocolError, match="None of the 2 queries has an allowed gallery image"):
        score_ranks(ranks, cmc="image", average_precision="rectangular", length=50)


def test_json_is_plain_and_complete() -> None:
    data = json.loads(json.dumps(result(0.2, 0.4).to_json()))
    assert data["trials"][1]["rank1"] == 0.4
    assert set(data["trials"][0]) == set(SCORE_KEYS)
    assert (data["queries_valid"], data["queries_invalid"]) == (8, 2)
    assert data["rules"] == ["one rule"]
    assert data["sampler"] is None
    assert len(data["cmc"]) == 3


def test_models_on_several_splits_are_averaged() -> None:
    merged = merge_results([result(0.2), result(0.6)])
    assert merged.mean["rank1"] == pytest.approx(0.4)
    assert merged.mean["rank1_sd"] == pytest.approx(0.2)
    assert merged.rules[-1].startswith("averaged: 2 sets of features")


def test_what_was_not_scored_alike_is_not_averaged() -> None:
    for other in ({"protocol": "llcm/infrared-to-visible"}, {"distance": "euclidean"}):
        with pytest.raises(ProtocolError, match=f"not of one {next(iter(other))} "):
            merge_results([result(0.2), replace(result(0.6), **other)])
    with pytest.raises(ProtocolError, match="no result to average"):
        merge_results([])
