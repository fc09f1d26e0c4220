import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from crosslight.evaluation.features import Features
from crosslight.evaluation.protocols import chance as chance_module
from crosslight.evaluation.protocols import get_protocol
from crosslight.evaluation.protocols.chance import (
    ChanceLevel,
    expected_average_precision,
    expected_identity_cmc,
    expected_image_cmc,
    expected_inverse_negative_penalty,
)
from crosslight.evaluation.protocols.scores import SCORE_KEYS, score_ranks
from crosslight.evaluation.protocols.selection import Draw
from crosslight.evaluation.ranking import Labels, Trial, rank_distances
from crosslight.evaluation.ranking.exclusion import SAME_PERSON_SAME_CAMERA, SYSU_SAME_PLACE
from tests.evaluation.sysu_counts import sysu_test_set
from tests.oracles import ranking as oracle


def average_over_all_orders(
    pids: Sequence[int], pid: int, *, unique: bool, area: str
) -> dict[str, float]:
    orders = list(itertools.permutations(range(len(pids))))
    totals = dict.fromkeys(SCORE_KEYS, 0.0)
    for dist in orders:
        first, precision, penalty = oracle.score_query(dist, pids, pid, unique=unique, area=area)
        for k in (1, 5, 10, 20):
            totals[f"rank{k}"] += (first <= k) / len(orders)
        totals["mAP"] += precision / len(orders)
        totals["mINP"] += penalty / len(orders)
    return totals


@pytest.mark.parametrize("pids", [[1], [1, 2], [1, 1, 2], [1, 2, 2, 2], [1, 1, 2, 3, 3, 4, 5]])
@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("area", ["rectangular", "trapezoid"])
def test_expectation_is_the_mean_over_all_orders(pids: list[int], unique: bool, area: str) -> None:
    expected = average_over_all_orders(pids, 1, unique=unique, area=area)
    level = ChanceLevel(cmc="identity" if unique else "image", average_precision=area)
    scores = level.of_trial(
        Trial(queries=np.array([0]), gallery=np.arange(len(pids))),
        Labels(pids=np.array([1]), cams=np.array([9])),
        Labels(pids=np.array(pids), cams=np.arange(len(pids))),
        SAME_PERSON_SAME_CAMERA,
        len(set(pids)) if unique else len(pids),
    )
    for key in SCORE_KEYS:
        assert scores.values[key] == pytest.approx(expected[key], abs=1e-12), key


@pytest.mark.parametrize("unique", [False, True])
@pytest.mark.parametrize("rule", ["camera", "room"])
def test_left_out_images_and_invalid_queries_are_left_out(unique: bool, rule: str) -> None:
    queries = [(1, 3), (1, 6), (2, 2), (3, 3), (9, 1)]
    gallery = [(1, 2), (1, 6), (2, 1), (2, 2), (3, 2), (4, 5)]
    exclusion, hidden = {
        "camera": (SAME_PERSON_SAME_CAMERA, oracle.same_person_same_camera),
        "room": (SYSU_SAME_PLACE, oracle.sysu_room),
    }[rule]
    expected = []
    for pid, cam in queries:
        query = oracle.Row((), pid, cam)
        seen = [p for p, c in gallery if not hidden(query, oracle.Row((), p, c))]
        if pid in seen:
            expected.append(average_over_all_orders(seen, pid, unique=unique, area="rectangular"))
    level = ChanceLevel(cmc="identity" if unique else "image", average_precision="rectangular")
    scores = level.of_trial(
        Trial(queries=np.arange(5), gallery=np.arange(6)),
        Labels(pids=np.array([p for p, _ in queries]), cams=np.array([c for _, c in queries])),
        Labels(pids=np.array([p for p, _ in gallery]), cams=np.array([c for _, c in gallery])),
        exclusion,
        6,
    )
    assert 0 < len(expected) < 5
    assert (scores.valid, scores.invalid) == (len(expected), 5 - len(expected))
    for key in SCORE_KEYS:
        mean = np.mean([values[key] for values in expected])
        assert scores.values[key] == pytest.approx(mean, abs=1e-12), key


@pytest.mark.parametrize("name", ["sysu-mm01/all/1", "sysu-mm01/indoor/10"])
@pytest.mark.parametrize("area", ["rectangular", "trapezoid"])
def test_random_distances_of_the_real_test_set_score_the_expectation(name: str, area: str) -> None:
    features = sysu_test_set()
    protocol = get_protocol(name)
    expected = protocol.chance(features, average_precision=area, trials=1).mean
    trial = protocol.selector.select(features, Draw(trials=1)).trials[0]
    query = Labels(pids=features.pids[trial.queries], cams=features.cams[trial.queries])
    gallery = Labels(pids=features.pids[trial.gallery], cams=features.cams[trial.gallery])
    generator = np.random.default_rng(1)
    (ranks,) = rank_distances(
        generator.random((len(trial.queries), len(trial.gallery))),
        query,
        gallery,
        exclusion=protocol.exclusion,
    )
    scores = score_ranks(ranks, cmc="identity", average_precision=area, length=50)
    first = ranks.first_rank("identity")[ranks.valid]
    samples = {f"rank{k}": (first <= k).astype(float) for k in (1, 5, 10, 20)}
    samples["mAP"] = ranks.average_precision(area)[ranks.valid]
    samples["mINP"] = ranks.inverse_negative_penalty()[ranks.valid]
    for key in SCORE_KEYS:
        error = samples[key].std() / np.sqrt(len(first))
        assert abs(scores.values[key] - expected[key]) < 4 * error, key


def test_ten_trials_of_equal_counts_have_one_expectation() -> None:
    result = get_protocol("sysu-mm01/all/1").chance(sysu_test_set())
    assert len(result.trials) == 10
    assert result.mean["rank1_sd"] == pytest.approx(0, abs=1e-15)
    assert result.mean["rank1"] == pytest.approx(1 / 96, rel=0.01)
    assert result.distance == "chance"
    assert result.per_query is None


def test_people_with_equally_many_images_are_equally_likely() -> None:
    for count in (1, 3, 10):
        curve = expected_identity_cmc(count, np.full(19, count), 20)
        np.testing.assert_allclose(curve, np.arange(1, 21) / 20, atol=1e-13)


def test_quadrature_of_a_large_gallery_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    others = np.random.default_rng(2).integers(5, 40, 120)
    few = expected_identity_cmc(7, others, 50)
    monkeypatch.setattr(chance_module, "_EXACT_UP_TO_DEGREE", 10**6)
    np.testing.assert_allclose(few, expected_identity_cmc(7, others, 50), rtol=0, atol=1e-12)


def test_closed_forms_at_the_borders() -> None:
    assert expected_average_precision(1, 1, "rectangular") == 1.0
    assert expected_average_precision(1, 1, "trapezoid") == 1.0
    assert expected_average_precision(9, 9, "trapezoid") == pytest.approx(1.0)
    assert expected_inverse_negative_penalty(5, 5) == pytest.approx(1.0)
    np.testing.assert_allclose(expected_image_cmc(4, 1, 6), [0.25, 0.5, 0.75, 1, 1, 1])
    np.testing.assert_allclose(expected_image_cmc(3, 3, 3), [1, 1, 1])
    assert 0 < expected_inverse_negative_penalty(82161, 40) < 1e-3


def test_chance_reads_no_embedding() -> None:
    features = sysu_test_set(people=10)
    blank = Features(
        feats=np.zeros((len(features), 1)),
        pids=features.pids,
        cams=features.cams,
        modality=features.modality,
        paths=features.paths,
    )
    protocol = get_protocol("sysu-mm01/indoor/1")
    assert protocol.chance(features).mean == protocol.chance(blank).mean
