"""A drawer that changes nothing is at the floor, the renderer itself at the ceiling."""

from dataclasses import replace

import numpy as np
import pytest

from crosslight.probing.people import Images, People, draw_scenes
from crosslight.probing.pictures import (
    Floats,
    draw_pairs,
    likeness,
    swaps_beside_truth,
    translations_beside_truth,
)
from crosslight.types import Modality

KEYS = [(measure, "person") for measure in ("psnr", "ssim", "l1")]


def shown(images: Images) -> Floats:
    return images.astype(np.float64) / 255


@pytest.fixture(scope="module", params=[(0, 0), (0, 1), (1, 0)])
def pairs(people: People, request: pytest.FixtureRequest):
    appearance, structure = map(Modality, request.param)
    return draw_pairs(people, appearance=appearance, structure=structure, count=8, seed=0)


def test_a_drawer_that_changes_nothing_is_at_the_floor(people: People, pairs):
    drawn = shown(people.images[pairs.bodies])
    found = swaps_beside_truth(people, pairs, drawn, shown)
    assert found.drawn == found.floors["structure's own image"]
    assert max(found.scaled(key) for key in KEYS) <= 0


def test_the_renderer_is_at_the_ceiling(people: People, pairs):
    scenes = [
        replace(people.scenes[body], look=people.scenes[look].look, grain=2)
        for body, look in zip(pairs.bodies, pairs.looks, strict=True)
    ]
    drawn, _ = draw_scenes(people.world, scenes, *people.size)
    found = swaps_beside_truth(people, pairs, shown(drawn), shown)
    for key in KEYS:
        assert found.scaled(key) == pytest.approx(1, abs=0.1), key
    perfect = swaps_beside_truth(people, pairs, shown(pairs.true), shown)
    assert min(perfect.scaled(key) for key in KEYS) > 1


def test_pairs_are_of_different_people_in_the_lights_that_were_asked(people: People):
    pairs = draw_pairs(
        people, appearance=Modality.INFRARED, structure=Modality.VISIBLE, count=20, seed=1
    )
    lights, pids = people.modality, people.pids
    assert set(lights[pairs.looks].tolist()) == {Modality.INFRARED}
    assert set(lights[pairs.bodies].tolist()) == {Modality.VISIBLE}
    assert (pids[pairs.looks] != pids[pairs.bodies]).all()
    assert (pids[pairs.thirds] != pids[pairs.bodies]).all()
    assert (pids[pairs.thirds] != pids[pairs.looks]).all()


@pytest.mark.parametrize("to", Modality)
def test_a_translator_that_copies_is_at_the_floor_and_the_renderer_at_the_ceiling(
    people: People, to: Modality
):
    asked = people.of(Modality(1 - to))[:8]
    same = shown(people.images[asked])
    found = translations_beside_truth(people, asked, same, shown, to=to, seed=0)
    assert found.drawn == found.floors["the input"]
    spectrum = people.scenes[people.of(to)[0]].spectrum
    scenes = [replace(people.scenes[n], spectrum=spectrum, grain=3) for n in asked]
    true, _ = draw_scenes(people.world, scenes, *people.size)
    found = translations_beside_truth(people, asked, shown(true), shown, to=to, seed=0)
    for key in KEYS:
        assert found.scaled(key) == pytest.approx(1, abs=0.1), key


def test_measures_by_hand():
    truth = np.zeros((1, 16, 16, 3))
    drawn = truth.copy()
    drawn[0, :8] = 0.1
    person = np.zeros((1, 16, 16), bool)
    person[0, :8] = True
    found = likeness(drawn, truth, person)
    assert found["psnr", "person"] == pytest.approx(20)
    assert found["psnr", "around"] == pytest.approx(100)
    assert found["l1", "person"] == pytest.approx(0.1)
    assert found["l1", "around"] == 0
