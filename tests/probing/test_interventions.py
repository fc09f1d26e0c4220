"""Codes that are the picture, or one part of it, move as the picture does."""

import numpy as np
import pytest

from crosslight.probing.interventions import CAMERA, CHANGES, LIGHT, NOISE, movements
from crosslight.probing.people import Images, Numbers, People
from crosslight.types import Modality


def as_codes(images: Images, modality: Numbers) -> dict[str, np.ndarray]:
    values = images.astype(np.float64)
    return {
        "pixels": values.reshape(len(images), -1),
        "chroma": (values - values.mean(axis=3, keepdims=True)).reshape(len(images), -1),
        "light": modality[:, None].astype(np.float64),
        "nothing": np.zeros((len(images), 3)),
    }


@pytest.fixture(scope="module")
def moved(people: People):
    return {light: movements(people, as_codes, light, count=8, seed=0) for light in Modality}


@pytest.mark.parametrize("light", Modality)
def test_the_picture_itself_moves_with_every_factor_and_least_with_noise(moved, light):
    pixels = moved[light]["pixels"]
    assert set(pixels) == {*CHANGES, NOISE, CAMERA, LIGHT}
    blind = {"clothes colour"} if light == Modality.INFRARED else set()
    for factor, share in pixels.items():
        assert (share > 0) == (factor not in blind), factor
    assert pixels[NOISE] < min(pixels[f] for f in ("garment cut", "pose", "view", CAMERA))


def test_the_colour_of_clothes_is_nowhere_in_infrared_light(moved):
    assert moved[Modality.VISIBLE]["chroma"]["clothes colour"] > 0.2
    for code in ("pixels", "chroma"):
        assert moved[Modality.INFRARED][code]["clothes colour"] == 0


def test_a_code_of_the_light_moves_with_the_light_alone_and_nothing_never(moved):
    for light in Modality:
        others = {f: s for f, s in moved[light]["light"].items() if f != LIGHT}
        assert set(others.values()) == {0}
        assert moved[light]["light"][LIGHT] > 1e6  # in one light people do not differ in it
        assert set(moved[light]["nothing"].values()) == {0}


def test_another_camera_moves_the_picture_about_as_far_as_another_person(moved):
    assert 0.5 < moved[Modality.VISIBLE]["pixels"][CAMERA] < 1.5


def test_the_spread_is_that_of_pairs_of_different_people(people: People):
    from crosslight.probing.interventions import _spread

    rng = np.random.default_rng(0)
    code, pids = rng.normal(size=(12, 4)), np.repeat(np.arange(4), 3)
    squares = [
        np.square(code[a] - code[b]).sum()
        for a in range(12)
        for b in range(12)
        if pids[a] != pids[b]
    ]
    assert _spread(code, pids) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-12)
