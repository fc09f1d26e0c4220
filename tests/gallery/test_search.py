"""A model and a store together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from crosslight.data.images import guess_modality
from crosslight.errors import ConfigError, GalleryError
from crosslight.gallery.calibration.calibration import Calibration, Curve
from crosslight.gallery.calibration.false_alarms import Alarms
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.search import Searcher
from crosslight.gallery.stores.exact import ExactStore
from crosslight.gallery.stores.rows import Filter, Rows
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


def alarms(query, row, **values):
    usual = {
        "rows": 60, "people": 199, "distances": (0.001, 0.002), "sizes": (60.0, 6.0),
        "rates": ((0.005, 0.5), (0.005, 0.1)), "found": (0.6, 0.9),
    }  # fmt: skip
    return Alarms(query=query, row=row, **{**usual, **values})


def test_probabilities_and_the_verdict_come_from_the_pair_of_lights(store):
    calibrate(store, within=CURVE, alarms=(alarms(0, 0),))
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


def test_the_verdict_is_that_of_the_nearest_row_of_each_light(store, tmp_path):
    # All infrared rows are behind the visible ones; what is said there counts as well.
    rows = store.get([name_of(40)])
    far = rows.frame.with_columns(
        id=pl.lit("night"), modality=pl.lit(1, pl.UInt8), path=pl.lit("night")
    )
    store.add(Rows(frame=far, vectors=rows.vectors))
    calibrate(store, within=CURVE, alarms=(alarms(0, 0, rates=((0.9, 1.0), (0.9, 1.0))),))
    searcher = Searcher(store, EMBEDDER)
    assert searcher.search(colour(20), k=3, modality=0).verdict == "unknown"
    near = alarms(0, 1, distances=(0.5, 0.6), rows=1, sizes=(1.0,), rates=((0.005, 0.9),))
    strict = alarms(0, 0, distances=(-1.0, -0.5), rates=((0.005, 0.9), (0.005, 0.9)))
    calibrate(store, within=CURVE, alarms=(strict, near))
    answer = searcher.search(colour(20), k=3, modality=0)
    assert answer.verdict == "in-gallery"
    assert not any(result.accepted for result in answer.results)
    assert answer.alarm == pytest.approx(2 * 0.005)
    assert answer.searched == 61


def test_a_rate_of_false_alarms_is_chosen_and_the_usual_one_gives_way(store):
    calibrate(store, within=CURVE, alarms=(alarms(0, 0),))
    searcher = Searcher(store, EMBEDDER)
    assert searcher.search(colour(25), modality=0).false_alarms == 0.01
    assert searcher.search(colour(25), modality=0, false_alarms=0.2).false_alarms == 0.2
    with pytest.raises(ConfigError, match=r"199 people .* none below 0.005; ask for 0.005 or more"):
        searcher.search(colour(25), modality=0, false_alarms=0.004)
    few = alarms(0, 0, people=24, rates=((0.04, 0.5), (0.04, 0.1)))
    calibrate(store, within=CURVE, alarms=(few,))
    answer = searcher.search(colour(25), modality=0)
    assert answer.false_alarms == pytest.approx(0.04)
    assert answer.verdict == "in-gallery"
    with pytest.raises(ConfigError, match=r"ask for 0.04 or more, or calibrate .* on more people"):
        searcher.search(colour(25), modality=0, false_alarms=0.01)
    calibrate(store, within=CURVE, alarms=(replace(alarms(0, 0), rows=20, sizes=(20.0, 2.0)),))
    with pytest.raises(ConfigError, match="now that 60 rows are there instead of 20"):
        searcher.search(colour(25), modality=0, false_alarms=0.01)


def test_a_calibration_of_before_false_alarms_gives_probabilities_and_no_verdict(store):
    calibrate(store, within=CURVE)
    answer = Searcher(store, EMBEDDER).search(colour(25), modality=0)
    assert answer.results[0].probability is not None
    assert (answer.verdict, answer.false_alarms, answer.alarm) == ("unknown", None, None)


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
