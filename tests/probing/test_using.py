import numpy as np
import pytest

from crosslight.evaluation.features import Features
from crosslight.probing.people import Images, People
from crosslight.probing.pictures import Floats, draw_pairs
from crosslight.probing.using import ALL, Judge, find_by_codes, found_by_drawn, whom_swaps_show
from crosslight.types import Modality


def shown(images: Images) -> Floats:
    return images.astype(np.float64) / 255


@pytest.fixture(scope="module")
def known():
    pids = np.repeat(np.arange(1, 21), 4)
    return Features(
        feats=np.zeros((80, 1), np.float32),
        pids=pids,
        cams=np.tile([1, 2, 3, 6], 20),
        modality=np.tile(np.array([0, 0, 1, 1], np.uint8), 20),
        split=np.tile(["gallery", "gallery", "query", "query"], 20),
    )


def test_a_code_of_the_person_finds_them_and_exchanging_it_within_them_costs_nothing(known):
    rng = np.random.default_rng(0)
    who = (known.pids[:, None] == np.unique(known.pids)).astype(float)
    what = rng.normal(size=(80, 8))
    found = find_by_codes({"who": who, "what": what}, known, "any-camera", seed=0)
    assert found["who"] == {"rank1": 100, "mAP": 100}
    assert found["what"]["rank1"] < 40
    assert found["who exchanged"] == found[ALL]
    assert found["who permuted"]["rank1"] < 40
    assert found["what permuted"]["rank1"] == pytest.approx(found[ALL]["rank1"], abs=25)


def test_a_code_is_exchanged_within_a_light_so_that_no_query_borrows_its_answer(known):
    """A code that visible images alone have: exchanged across light it would name the person."""
    who = (known.pids[:, None] == np.unique(known.pids)).astype(float)
    other = np.random.default_rng(0).normal(size=who.shape)
    seen = np.where(known.modality[:, None] == 0, who, other)
    found = find_by_codes({"seen": seen, "none": np.ones((80, 1))}, known, "any-camera", seed=0)
    assert found["seen exchanged"]["rank1"] < 20


def test_one_code_is_asked_alone(known):
    who = (known.pids[:, None] == np.unique(known.pids)).astype(float)
    assert set(find_by_codes({"who": who}, known, "any-camera", seed=0)) == {"who"}


@pytest.fixture(scope="module")
def judge(people: People) -> Judge:
    """A network that sees pixels and nothing else."""

    def pixels(pictures: Floats, light: Modality) -> np.ndarray:
        return pictures.reshape(len(pictures), -1) - 0.5

    return Judge(people, pixels, shown)


def test_shares_add_up_and_a_copy_of_another_image_shows_its_person(people: People, judge: Judge):
    pairs = draw_pairs(
        people, appearance=Modality.VISIBLE, structure=Modality.VISIBLE, count=10, seed=0
    )
    twins = []  # another image of the person who lends the appearance
    for look in pairs.looks:
        own = np.flatnonzero(people.pids == people.pids[look])
        twins.append(own[own != look][0])
    found = whom_swaps_show(judge, pairs, shown(people.images[twins]))
    assert found["appearance"] == 100
    assert found["structure"] == found["somebody else"] == 0
    true = [found[f"true {whom}"] for whom in ("appearance", "structure", "somebody else")]
    assert sum(true) == pytest.approx(100)


def test_the_two_images_that_made_a_picture_are_no_answers(people: People, judge: Judge):
    pairs = draw_pairs(
        people, appearance=Modality.VISIBLE, structure=Modality.VISIBLE, count=10, seed=0
    )
    found = whom_swaps_show(judge, pairs, shown(people.images[pairs.bodies]))
    assert found["structure"] < 100


def test_a_drawn_query_finds_its_person_by_other_cameras_only(people: People, judge: Judge):
    asked = people.of(Modality.INFRARED)[:6]
    twins = []
    for image in asked:
        own = people.of(Modality.VISIBLE)
        twins.append(own[people.pids[own] == people.pids[image]][0])
    drawn = shown(people.images[twins])
    assert found_by_drawn(judge, asked, drawn, Modality.VISIBLE) == 100
    twins = np.array(twins)
    assert found_by_drawn(judge, twins, drawn, Modality.VISIBLE) < 100
