import numpy as np
import pytest

from crosslight.probing.factors import Factor, true_code
from crosslight.probing.leakage import (
    completeness,
    disentanglement,
    raw_pixels,
    read_out,
)

PEOPLE, EACH = 120, 4


@pytest.fixture(scope="module")
def known():
    """Two independent factors of 120 people, and codes that are one of them, both, or neither."""
    rng = np.random.default_rng(3)
    pids = np.repeat(np.arange(PEOPLE), EACH)
    colour = rng.normal(size=(PEOPLE, 3))[pids]
    cut = rng.choice(["coat", "tee", "dress"], PEOPLE)[pids]
    factors = (Factor(name="colour", numbers=colour), Factor(name="cut", classes=cut))
    one_hot = (cut[:, None] == np.unique(cut)).astype(float)
    mixed = np.concatenate([colour, one_hot], axis=1) @ rng.normal(size=(6, 40))
    codes = {
        "appearance": colour @ rng.normal(size=(3, 20)),
        "structure": one_hot @ rng.normal(size=(3, 20)),
        "both": mixed,
        "neither": rng.normal(size=(PEOPLE * EACH, 20)),
        "truth": true_code(factors),
    }
    return codes, factors, pids


@pytest.fixture(scope="module")
def readings(known):
    codes, factors, pids = known
    return list(read_out(codes, factors, pids, seeds=[0, 1, 2]))


def shares(readings, probe):
    return {(r.code, r.factor): float(np.mean(r.known)) for r in readings if r.probe == probe}


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_a_code_that_is_a_factor_knows_it_and_nothing_else(readings, probe):
    found = shares(readings, probe)
    assert found["appearance", "colour"] > 0.98
    assert found["structure", "cut"] > 0.98
    assert found["appearance", "cut"] < 0.15
    assert found["structure", "colour"] < 0.15
    assert found["neither", "colour"] == 0
    assert found["neither", "cut"] < 0.15


def test_a_small_network_reads_what_no_line_reads(known):
    """Of how far a number lies from 0, its place on the line says nothing."""
    codes, _, pids = known
    colour = codes["truth"][:, :3]
    far = (Factor(name="far", numbers=np.abs(colour)),)
    found = shares(read_out({"colour": colour}, far, pids, seeds=[0, 1]), "mlp")
    line = shares(
        read_out({"colour": colour}, far, pids, seeds=[0, 1], probes=("linear",)), "linear"
    )
    assert line["colour", "far"] < 0.1
    assert found["colour", "far"] > 0.5


def test_a_code_that_holds_everything_leaks_everything(readings):
    found = shares(readings, "linear")
    for code in ("both", "truth"):
        assert found[code, "colour"] > 0.98
        assert found[code, "cut"] > 0.98


def test_every_split_has_a_score_and_chance_is_said(readings):
    assert {len(r.scores) for r in readings} == {3}
    assert {r.chance for r in readings if r.factor == "cut"} == {1 / 3}
    assert {r.chance for r in readings if r.factor == "colour"} == {0.0}


def test_people_who_teach_a_probe_are_never_asked(known):
    """A code that is who somebody is tells nothing about others; only a shared person would."""
    _, factors, pids = known
    who = (pids[:, None] == np.unique(pids)).astype(float)
    for reading in read_out({"who": who}, factors, pids, seeds=[0, 1]):
        assert np.mean(reading.known) < 0.15, reading


def test_disentanglement_is_one_where_each_code_knows_one_factor(readings):
    pure = [r for r in readings if r.code in ("appearance", "structure")]
    assert min(disentanglement(pure).values()) > 0.5
    assert min(completeness(pure).values()) > 0.5
    mixed = [r for r in readings if r.code in ("both", "truth")]
    assert max(disentanglement(mixed).values()) < 0.05
    assert max(completeness(mixed).values()) < 0.05
    assert "neither" not in disentanglement([r for r in readings if r.factor == "colour"])


def test_pixels_are_means_of_blocks():
    images = np.zeros((1, 32, 16, 3), np.uint8)
    images[0, :2, :2, 0] = [[0, 255], [255, 0]]
    code = raw_pixels(images)
    assert code.shape == (1, 16 * 8 * 3)
    assert code[0, 0] == pytest.approx(0.5)
    assert code[0, 1:].max() == 0


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_values_that_no_teacher_had_do_not_run_away(known, probe):
    """Behind a ReLU a number is 0 in most images, and large where it is not."""
    _, factors, pids = known
    rng = np.random.default_rng(5)
    rare = np.maximum(rng.normal(size=(len(pids), 60)) - 2.5, 0) ** 3
    rare[pids == pids[-1]] *= 1e4
    scores = [
        score
        for one in read_out({"rare": rare}, factors[:1], pids, seeds=range(6), probes=(probe,))
        for score in one.scores
    ]
    assert min(scores) > -0.2


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_a_person_known_by_heart_says_nothing_about_others(probe):
    """Images of one person are alike: whoever learns people, not the factor, is refused."""
    rng = np.random.default_rng(7)
    pids = np.repeat(np.arange(60), 8)
    code = rng.normal(size=(60, 40))[pids] + 0.02 * rng.normal(size=(len(pids), 40))
    numbers = (Factor(name="n", numbers=rng.normal(size=(60, 2))[pids]),)
    (one,) = read_out({"who": code}, numbers, pids, seeds=range(4), probes=(probe,))
    assert np.mean(one.scores) > -0.12
