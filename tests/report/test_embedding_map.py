import numpy as np
import pytest

from crosslight.report.embedding_map import choose_rows, map_embeddings, map_figures

PIDS = np.repeat(np.arange(-1, 30), 8)
LIGHT = np.tile([0, 0, 0, 0, 0, 1, 1, 1], 31).astype(np.uint8)


def _choose(pids: np.ndarray = PIDS, people: int = 10, images: int = 1500) -> np.ndarray:
    return choose_rows(pids, LIGHT[: len(pids)], seed=0, max_people=people, max_images=images)


def test_people_are_sampled_whole_and_nobody_unknown() -> None:
    rows = _choose()
    people, counts = np.unique(PIDS[rows], return_counts=True)
    assert people.size == 10
    assert (people >= 0).all()
    assert (counts == 8).all()


def test_images_are_sampled_evenly_over_people_and_modalities() -> None:
    rows = _choose(images=40)
    for light in (0, 1):
        assert (np.unique(PIDS[rows][LIGHT[rows] == light], return_counts=True)[1] == 2).all()


def test_people_seen_in_both_modalities_come_first() -> None:
    pids = PIDS.copy()
    visible_only = (pids > 5) & (LIGHT == 1)
    pids[visible_only] = -1
    assert set(np.unique(pids[_choose(pids, people=6)])) == set(range(6))


def test_the_same_seed_gives_the_same_map_near_points_together() -> None:
    generator = np.random.default_rng(1)
    pids, light = PIDS[8:72], LIGHT[8:72]
    feats = 8 * np.eye(16)[pids] + generator.normal(size=(64, 16))
    found, again = (map_embeddings(feats, pids, light) for _ in range(2))
    assert found is not None
    assert again is not None
    assert np.array_equal(found.places, again.places)
    distance = np.linalg.norm(found.places[:, None] - found.places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    people = pids[found.rows]
    assert (people[distance.argmin(axis=1)] == people).mean() > 0.95
    assert len(map_figures(found, pids, light)) == 2


@pytest.mark.parametrize("feats", [np.ones((6, 4)), np.arange(6.0)[:, None] - 2, np.zeros((6, 3))])
def test_features_without_a_plane_are_drawn_all_the_same(feats: np.ndarray) -> None:
    pids, light = np.array([0, 0, 0, 1, 1, 1]), np.zeros(6, dtype=np.uint8)
    found = map_embeddings(feats, pids, light)
    assert found is not None
    assert np.isfinite(found.places).all()
    assert len(map_figures(found, pids, light)) == 1


def test_too_few_images_make_no_map() -> None:
    assert map_embeddings(np.eye(3), np.arange(3), np.zeros(3, dtype=np.uint8)) is None


def test_points_on_a_line_lie_apart_whatever_its_direction() -> None:
    feats = np.zeros((8, 4))
    feats[:, 2] = [1, 1, 1, 1, -1, -1, -1, -1]
    found = map_embeddings(feats, np.arange(8) // 4, np.zeros(8, dtype=np.uint8))
    assert found is not None
    assert len(np.unique(found.places, axis=0)) == 2
