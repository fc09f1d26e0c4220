import numpy as np
import pytest
from tests.oracles.pair_histograms import area_under_curve, pair_distances

from crosslight.report.distances import bin_of, distance_figures, pair_histograms


def _set(seed: int = 0, *, cams: tuple[int, ...] = (1, 2, 3)) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    feats = generator.normal(size=(45, 4)).astype(np.float32)
    pids = generator.integers(-1, 5, size=45)
    cam = generator.choice(cams, size=45)
    return feats, pids, cam, (cam == 3).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_counts_and_areas_equal_those_of_the_oracle(seed: int) -> None:
    feats, pids, cams, modality = _set(seed)
    for histogram in pair_histograms(feats, pids, cams, modality):
        same, different = pair_distances(feats, pids, cams, modality, histogram.name)
        assert histogram.same.sum() == len(same)
        assert histogram.different.sum() == len(different)
        # Rounding may move a distance over the edge of a bin, never further.
        assert np.allclose(np.sort(bin_of(np.array(same))), _bins(histogram.same), atol=1)
        assert np.allclose(np.sort(bin_of(np.array(different))), _bins(histogram.different), atol=1)
        assert histogram.auc == pytest.approx(area_under_curve(same, different), abs=2e-3)


def test_each_pair_lands_in_the_bin_of_its_distance() -> None:
    feats = np.array([[1, 0], [0, 1], [-1, 0], [1, 0]], dtype=np.float32)
    pids = np.array([1, 1, 1, 2])
    (within,) = pair_histograms(feats, pids, np.array([1, 2, 3, 4]), np.zeros(4, dtype=np.uint8))
    assert {int(b): int(within.same[b]) for b in np.flatnonzero(within.same)} == {2000: 2, 3999: 1}
    assert {int(b): int(within.different[b]) for b in np.flatnonzero(within.different)} == {
        0: 1,
        2000: 1,
        3999: 1,
    }


def test_infrared_of_one_camera_uses_all_its_pairs_and_says_so() -> None:
    feats, pids, cams, modality = _set()
    rules = {h.name: h.rule for h in pair_histograms(feats, pids, cams, modality)}
    assert rules["within infrared"] == "all pairs of one camera"
    assert rules["within visible"] == "pairs from two cameras"


def test_visible_data_alone_has_one_panel() -> None:
    feats, pids, cams, _ = _set(cams=(1, 2))
    histograms = pair_histograms(feats, pids, cams, np.zeros(45, dtype=np.uint8))
    assert [h.name for h in histograms] == ["within visible"]
    assert len(distance_figures(histograms)) == 1


def test_perfect_and_useless_features() -> None:
    pids = np.repeat(np.arange(4), 6)
    cams, light = np.tile([1, 2], 12), np.zeros(24, dtype=np.uint8)
    (perfect,) = pair_histograms(np.eye(4)[pids], pids, cams, light)
    assert (perfect.auc, perfect.overlap) == (1.0, 0.0)
    (useless,) = pair_histograms(np.ones((24, 3)), pids, cams, light)
    assert (useless.auc, useless.overlap) == (pytest.approx(0.5), pytest.approx(1.0))


def test_without_same_person_pairs_there_is_no_area_but_a_picture() -> None:
    feats = np.eye(3, dtype=np.float32)
    (lonely,) = pair_histograms(feats, np.arange(3), np.arange(3), np.zeros(3, dtype=np.uint8))
    assert lonely.auc is None
    assert lonely.overlap is None
    assert len(distance_figures([lonely])) == 1


def test_a_sample_is_taken_of_large_sets_and_named() -> None:
    feats, pids, cams, modality = _set()
    sampled = pair_histograms(feats, pids, cams, modality, max_images=20)
    assert all("20 images drawn by chance" in h.rule for h in sampled)
    again = pair_histograms(feats, pids, cams, modality, max_images=20)
    for one, two in zip(sampled, again, strict=True):
        assert np.array_equal(one.same, two.same)
    assert sum(int(h.same.sum() + h.different.sum()) for h in sampled) <= 20 * 19 // 2


def _bins(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(counts.size), counts)


def test_no_pairs_are_no_figure() -> None:
    assert distance_figures([]) == []
