"""A model and a store together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.errors import GalleryError
from crosslight.gallery.calibration import Calibration, Curve
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.exact import ExactStore
from crosslight.gallery.rows import Filter
from crosslight.gallery.search import Searcher
from tests.gallery.rows import INFO
from tests.gallery.writer import EMBEDDER, candidates, name_of

CURVE = Curve(
    fit="logistic", distances=(0.0, 1.0), log_ratios=(4.0, -4.0), prior=0.5, threshold=0.001,
    missed=0.1, same=10, different=90, log_loss=0.1, reliability=(),
)  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with ExactStore.create(tmp_path / "people.exact", INFO) as made:
        enrol(made, EMBEDDER, candidates(60))
        yield made


def calibrate(store, **curves):
    found = Calibration(false_match_rate=0.01, data="made up", people=9, within=None, across=None)
    store.set_calibration(replace(found, **curves).to_plain())


def colour(red):
    return Image.new("RGB", (32, 64), (red, 0, 0))


def test_the_nearest_comes_first_and_ranks_count_from_one(store):
    answer = Searcher(store, EMBEDDER).search(colour(25), k=5, modality=0)
    assert answer.results[0].hit.id == name_of(25)
    assert [result.rank for result in answer.results] == [1, 2, 3, 4, 5]
    assert answer.verdict == "unknown"
    assert answer.results[0].probability is None


def test_a_search_from_a_row_leaves_the_row_out(store):
    searcher = Searcher(store, EMBEDDER)
    found = [result.hit.id for result in searcher.search_like(name_of(30), k=60).results]
    assert len(found) == 59
    assert name_of(30) not in found
    assert set(found[:2]) <= {name_of(n) for n in (29, 31, 32, 28)}
    with pytest.raises(GalleryError, match="There is no row 'nobody'"):
        searcher.search_like("nobody")


def test_probabilities_and_the_verdict_come_from_the_pair_of_lights(store):
    calibrate(store, within=CURVE)
    searcher = Searcher(store, EMBEDDER)
    near = searcher.search(colour(25), k=3, modality=0)
    assert near.verdict == "in-gallery"
    assert near.results[0].probability == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-3)
    far = searcher.search(Image.new("RGB", (32, 64), (0, 0, 255)), k=3, modality=0)
    assert far.verdict == "not-in-gallery"
    assert not any(result.accepted for result in far.results)
    across = searcher.search(colour(25), k=3, modality=1)
    assert across.verdict == "unknown"
    assert across.results[0].probability is None


def test_a_filter_that_leaves_nobody_is_no_verdict(store):
    calibrate(store, within=CURVE)
    answer = Searcher(store, EMBEDDER).search(colour(1), where=Filter(cams=frozenset({99})))
    assert answer.results == ()
    assert answer.verdict == "unknown"


def test_another_model_is_refused(store):
    with pytest.raises(GalleryError, match="cannot be compared"):
        Searcher(store, replace(EMBEDDER, fingerprint="b" * 64))


def test_images_without_colour_are_taken_as_infrared():
    rng = np.random.default_rng(0)
    gray = Image.fromarray(rng.integers(0, 256, (64, 32), dtype=np.uint8)).convert("RGB")
    assert guess_modality(gray) == 1
    assert guess_modality(colour(200)) == 0
