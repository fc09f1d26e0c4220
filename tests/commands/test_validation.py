"""Who is learnt from, who chooses the weights, and by which protocol."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import polars as pl
import pytest
import yaml
from tests.data.trees import TREES, plant

from crosslight.config import DataConfig
from crosslight.data.layouts import LAYOUTS, read_layout
from crosslight.data.splits import SPLITS, TEST_SPLITS
from crosslight.data.table import build_table
from crosslight.drawing.contact_sheet import draw_contact_sheet
from crosslight.errors import ConfigError, DataError
from crosslight.evaluation.protocols import PROTOCOLS
from crosslight.experiments.fitting import prepare
from crosslight.experiments.validation import (
    make_validation,
    queries_and_gallery,
    split_people,
    strangers,
    validation_protocol,
)
from crosslight.gallery.sources import candidates_from


def made(layout, tmp_path, *, lights=(0, 1), pids=(0, 1, 2), split="train"):
    rows = [(pid, cam, light) for pid in pids for cam in (1, 2) for light in lights]
    columns = {
        "path": [f"{n}.jpg" for n in range(len(rows))],
        "pid": [row[0] for row in rows],
        "cam": [row[1] for row in rows],
        "modality": [row[2] for row in rows],
        "split": [split] * len(rows),
    }
    return build_table(layout, tmp_path, columns)


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_layout_is_validated_by_a_protocol_of_its_own(tmp_path, name):
    layout = LAYOUTS[name]
    assert set(layout.protocols) <= PROTOCOLS.keys()
    assert layout.cross_modal == bool(layout.validation)
    chosen = validation_protocol(made(name, tmp_path))
    if layout.cross_modal:
        assert chosen == layout.validation
        assert chosen in layout.protocols
    assert chosen in PROTOCOLS


def test_tables_of_ones_own_are_validated_by_what_they_show(tmp_path):
    assert validation_protocol(made("table", tmp_path)) == "regdb/visible-to-thermal"
    assert validation_protocol(made("table", tmp_path, lights=(0,))) == "market1501"
    one = made("table", tmp_path, lights=(1,))
    assert validation_protocol(one.take(np.flatnonzero(one.cams == 1))) == "any-camera"


@pytest.mark.parametrize(
    ("layout", "nobody"), [("market1501", {-1, 0}), ("dukemtmc", {-1, 0}), ("msmt17", {-1})]
)
def test_nobody_learns_from_junk_and_distractors(tmp_path, layout, nobody):
    table = made(layout, tmp_path, pids=(-1, 0, 1, 2))
    assert set(table.pids[~table.known].tolist()) == nobody
    assert set(table.known_pids.tolist()) == {-1, 0, 1, 2} - nobody | {-1}
    train, _ = split_people(table, DataConfig(validation="none"), seed=0)
    assert set(train.pids.tolist()) == {-1, 0, 1, 2} - nobody
    both = dataclasses.replace(
        table,
        frame=table.frame.vstack(made(layout, tmp_path, pids=(-1, 0, 3, 4), split="val").frame),
    )
    _, val = split_people(both, DataConfig(), seed=0)
    assert val is not None
    assert set(val.pids.tolist()) == {-1, 0, 3, 4} - nobody


def test_distractors_are_enrolled_without_a_person(tmp_path):
    plant(tmp_path, TREES["market1501"]())
    table = read_layout("market1501", tmp_path).split("gallery")
    assert {-1, 0} <= set(table.pids.tolist())
    found = {c.pid for c in candidates_from(f"market1501:{tmp_path}", splits=("gallery",))}
    assert found == set(table.pids.tolist()) - {-1, 0} | {None}


def test_a_sheet_shows_person_0_where_that_is_a_person(tmp_path):
    plant(tmp_path, {f"{n}.jpg": None for n in range(4)})
    columns = {"path": [f"{n}.jpg" for n in range(4)], "pid": [0, 0, -1, -1]}
    size = {"height": 40, "width": 20}
    person = draw_contact_sheet(build_table("msmt17", tmp_path, columns), **size)
    nobody = draw_contact_sheet(build_table("market1501", tmp_path, columns), **size)
    assert person.height < nobody.height


def test_the_remedies_for_a_table_without_splits_work(tmp_path):
    table = made("table", tmp_path, split="all")
    with pytest.raises(DataError, match="no images in split train; its splits are all") as told:
        split_people(table, DataConfig(), seed=0)
    said = str(told.value)
    assert "write train into the column split" in said
    key, _, value = said.split("--set ")[1].split(" to ")[0].partition("=")
    assert key == "data.train_splits"
    config = DataConfig(train_splits=tuple(yaml.safe_load(value)), validation="none")
    assert len(split_people(table, config, seed=0)[0]) == len(table)
    written = made("table", tmp_path, split="train")
    assert len(split_people(written, DataConfig(validation="none"), seed=0)[0]) == len(table)


def test_training_on_junk_alone_is_said(tmp_path):
    table = made("table", tmp_path, pids=(-1, -2))
    with pytest.raises(DataError, match=r"Nobody in split train .* ids below 0 are junk"):
        split_people(table, DataConfig(validation="none"), seed=0)


@pytest.mark.parametrize("layout", ["market1501", "dukemtmc"])
def test_a_data_set_without_its_training_part_is_to_be_unpacked_again(tmp_path, layout):
    table = made(layout, tmp_path, lights=(0,), split="gallery")
    for wanted in (("train",), ("train", "val"), ("val",)):
        config = DataConfig(train_splits=wanted, validation="none")
        with pytest.raises(DataError, match=r"to train on is missing; unpack .* again") as told:
            split_people(table, config, seed=0)
        assert "table" not in str(told.value)
        assert "--set" not in str(told.value)
    whole = made(layout, tmp_path, lights=(0,))
    with pytest.raises(DataError, match=r"splits are train: say --set data.train_splits=\[train\]"):
        split_people(whole, DataConfig(train_splits=("val",), validation="none"), seed=0)


@pytest.mark.parametrize("split", TEST_SPLITS)
def test_nobody_is_told_to_train_on_test_people(tmp_path, split):
    table = made("table", tmp_path, split=split)
    with pytest.raises(DataError, match=r"write train into the column .* not tested") as told:
        split_people(table, DataConfig(validation="none"), seed=0)
    assert "train_splits" not in str(told.value)
    near = split.replace("e", "ee")
    config = DataConfig(train_splits=("train", near), validation="none")
    with pytest.raises(ConfigError, match=f"train_splits has '{near}'") as told:
        split_people(table, config, seed=0)
    assert split not in str(told.value).partition(str(tmp_path))[2]


def test_people_who_choose_are_the_last_to_be_trained_on(tmp_path):
    table = made("table", tmp_path, split="val")
    mine = dataclasses.replace(
        table, frame=table.frame.vstack(made("table", tmp_path, split="yard").frame)
    )
    with pytest.raises(DataError, match=r"or say --set data.train_splits=\[yard\]"):
        split_people(mine, DataConfig(), seed=0)
    yard = DataConfig(train_splits=("yard",), validation="none")
    assert set(split_people(mine, yard, seed=0)[0].splits.tolist()) == {"yard"}


@pytest.mark.parametrize("layout", ["market1501", "table"])
def test_a_misspelt_split_is_told_and_one_that_the_data_lack_is_not(tmp_path, layout):
    table = made(layout, tmp_path, lights=(0,), pids=(1, 2))
    wrong = DataConfig(train_splits=("train", "vall"), validation="none")
    with pytest.raises(ConfigError, match=r"has 'vall', which is no split .* mean 'val'\?"):
        split_people(table, wrong, seed=0)
    lacking = DataConfig(train_splits=("train", "val"), validation="none")
    assert len(split_people(table, lacking, seed=0)[0]) == len(table)
    with pytest.raises(ConfigError, match="train_splits is empty; name what to train on"):
        split_people(table, DataConfig(train_splits=(), validation="none"), seed=0)


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_no_split_of_a_layout_is_taken_for_a_misspelt_one(layout):
    assert {part.split for part in LAYOUTS[layout].expected} <= set(SPLITS)
    searched = {split for s in LAYOUTS[layout].searches for split in (s.query, s.gallery)}
    assert searched <= set(SPLITS)


def seen(tmp_path, *rows, split="val", **columns):
    """A table with a training part of eight people and the given (pid, cam) as another split."""
    trained = [(pid, cam) for pid in range(1, 9) for cam in (1, 2) for _ in range(2)]
    both = [*((*row, "train") for row in trained), *((*row, split) for row in rows)]
    given = {
        "path": [f"{n}.jpg" for n in range(len(both))],
        "pid": [row[0] for row in both],
        "cam": [row[1] for row in both],
        "split": [row[2] for row in both],
    }
    return build_table("table", tmp_path, given | columns)


def scored(held_out, monkeypatch):
    """The validation of a method that tells everybody apart."""
    told = np.eye(held_out.pids.max() + 1, dtype=np.float32)[held_out.pids]
    monkeypatch.setattr("crosslight.experiments.validation.embed_table", lambda *_, **__: told)
    return make_validation(held_out, DataConfig(), precision="32-true")(None)


def first_of_each_camera(pairs):
    """Slowly: each person's first image of each camera asks."""
    return ["gallery" if pair in pairs[:n] else "query" for n, pair in enumerate(pairs)]


def test_people_with_one_image_by_each_camera_choose_weights(tmp_path, monkeypatch):
    pairs = [(11, 2), (11, 1), (12, 1), (12, 3), (13, 2), (14, 3), (14, 2)]
    _, held_out = split_people(seen(tmp_path, *pairs), DataConfig(), seed=0)
    asks = [(11, 1), (12, 1), (14, 2)]  # 13 is seen by one camera, and is to be confused with
    expected = ["query" if pair in asks else "gallery" for pair in pairs]
    assert queries_and_gallery(held_out).tolist() == expected
    assert scored(held_out, monkeypatch)["mAP"] == 1
    lone = [*pairs, (13, 2)]  # his second image would be a gallery without anybody to be found
    _, held_out = split_people(seen(tmp_path, *lone), DataConfig(), seed=0)
    assert queries_and_gallery(held_out).tolist() == [*expected, "gallery"]
    assert scored(held_out, monkeypatch)["rank1"] == 1


def test_where_a_camera_sees_many_twice_the_first_image_of_each_asks(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    tried = Counter()
    for _ in range(100):
        pairs = [(int(pid), int(cam)) for pid, cam in rng.integers((11, 1), (15, 4), (9, 2))]
        by_two = {pid for pid, cam in pairs if any(p == pid and c != cam for p, c in pairs)}
        if not by_two:
            continue
        twice = {pid for pid, cam in pairs if pid in by_two and pairs.count((pid, cam)) > 1}
        many = len(twice) >= max(2, len(by_two) / 2)
        tried[many] += 1
        _, held_out = split_people(seen(tmp_path, *pairs), DataConfig(), seed=0)
        asks = queries_and_gallery(held_out).tolist()
        assert (asks == first_of_each_camera(pairs)) == many
        assert scored(held_out, monkeypatch)["mAP"] == 1
    assert min(tried[True], tried[False]) > 10
    one = [(11, 1), (11, 1), (12, 1), (12, 1), (12, 1)]
    _, held_out = split_people(seen(tmp_path, *one), DataConfig(), seed=0)
    assert queries_and_gallery(held_out).tolist() == first_of_each_camera(one)
    assert scored(held_out, monkeypatch)["mAP"] == 1


def test_one_person_whom_a_camera_sees_twice_does_not_stand_alone_in_the_gallery(tmp_path):
    pairs = [(pid, cam) for pid in range(11, 31) for cam in (1, 2)]
    _, held_out = split_people(seen(tmp_path, *pairs, (11, 1)), DataConfig(), seed=0)
    in_gallery = held_out.pids[queries_and_gallery(held_out) == "gallery"]
    assert set(in_gallery.tolist()) == set(range(11, 31))


ALONE = [(pid, pid % 3) for pid in range(11, 17) for _ in range(2)]


@pytest.mark.parametrize(
    ("rows", "lack"),
    [
        (ALONE, "(6) cannot choose the best weights: each is seen by one camera alone"),
        ([(11, 1), (12, 1)], "(2) cannot choose the best weights: there is one image of each"),
        ([(11, 1), (11, 2), (12, 1), (12, -1)], "1 of their 4 images have no camera; fill"),
        ([(11, 1), (11, 2), (11, 3)], "(1) cannot choose the best weights: nobody stands beside"),
    ],
)
def test_people_who_cannot_be_scored_are_told_before_training_and_the_remedy_works(
    tmp_path, rows, lack
):
    table = seen(tmp_path, *rows)
    config = DataConfig()
    with pytest.raises(DataError) as told:
        split_people(table, config, seed=0)
    assert lack in str(told.value)
    assert "--protocol" not in str(told.value)
    assert "say --set data.validation=holdout (or data.validation=none)." in str(told.value)
    _, held_out = split_people(table, DataConfig(validation="holdout"), seed=0)
    assert set(held_out.pids.tolist()) <= set(range(1, 9))
    assert split_people(table, DataConfig(validation="none"), seed=0)[1] is None


def test_no_setting_is_advised_that_does_not_work_either(tmp_path):
    table = seen(tmp_path, *ALONE)
    alone = table.where(pl.col("split") == "val")
    alone = dataclasses.replace(alone, frame=alone.frame.with_columns(split=pl.lit("train")))
    for fraction in (0.1, 0.5):
        config = DataConfig(validation="holdout", holdout_fraction=fraction)
        only = r"held out \(\d\) .*; say --set data.validation=none\.$"
        with pytest.raises(DataError, match=only):
            split_people(alone, config, seed=0)


def test_more_people_are_advised_where_more_can_be_scored(tmp_path):
    pairs = [(pid, pid % 4) for pid in range(11, 51)] + [(pid, 9) for pid in range(11, 21)]
    table = seen(tmp_path, *pairs, split="many")
    config = DataConfig(validation="holdout", train_splits=("many",), holdout_fraction=0.02)
    seed, said = next(refusals(table, config))
    setting, _, value = said.split("--set ")[1].split(" (or")[0].partition("=")
    assert setting == "data.holdout_fraction"
    assert float(value) > config.holdout_fraction
    wider = dataclasses.replace(config, holdout_fraction=float(value))
    assert split_people(table, wider, seed=seed)[1] is not None


def refusals(table, config):
    for seed in range(50):
        try:
            split_people(table, config, seed=seed)
        except DataError as error:
            yield seed, str(error)


def test_people_in_one_light_each_are_told(tmp_path):
    table = made("table", tmp_path, split="val")
    light = pl.when(pl.col("pid") == 0).then(1).otherwise(0).cast(pl.UInt8)
    apart = dataclasses.replace(table, frame=table.frame.with_columns(modality=light))
    both = dataclasses.replace(
        apart, frame=apart.frame.vstack(made("table", tmp_path, pids=range(5, 25)).frame)
    )
    with pytest.raises(DataError, match="nobody among them is seen in both lights; say --set data"):
        split_people(both, DataConfig(), seed=0)
    places = both.frame.with_columns(
        modality=pl.col("cam") - 1,
        cam=pl.col("cam") + 1,  # cameras 2 and 3 look at one room
    ).with_columns(pl.col("modality").cast(pl.UInt8))
    rooms = dataclasses.replace(both, layout="sysu-mm01", frame=places)
    with pytest.raises(DataError, match="sysu-mm01/all/1 leaves nobody among them to be found"):
        split_people(rooms, DataConfig(), seed=0)


def prepared(tmp_path, table, *overrides):
    """A training that is ready to begin on a table; it sees no image yet."""
    (tmp_path / "data").mkdir(exist_ok=True)
    table.write(tmp_path / "data" / "table.csv")
    told = ("training.precision=32-true", *overrides)
    return prepare(
        "baseline-market1501", f"table:{tmp_path / 'data'}", tmp_path / "run", overrides=told
    )


STRANGERS = [(pid, cam) for pid in range(11, 14) for cam in (1, 2)]
KNOWN = [(pid, cam) for pid in (1, 2, 11) for cam in (1, 2)]


@pytest.mark.parametrize(
    ("val", "test", "said"),
    [
        (STRANGERS, [(21, 1)], "on 3 people who are neither trained on nor tested."),
        (
            KNOWN,
            [(21, 1), (-1, 2)],
            "on 3 people, 2 trained on as well, which flatters the model; "
            "--set data.validation=holdout holds others out.",
        ),
        (
            KNOWN,
            [(11, 1), (12, 1)],
            "on 3 people, 2 trained on and 1 tested as well, which flatters the model; "
            "give each split people of its own.",
        ),
    ],
)
def test_it_is_said_who_of_those_who_choose_is_trained_on_or_tested(tmp_path, val, test, said):
    table, tested = seen(tmp_path, *val), seen(tmp_path, *test, split="query")
    more = tested.where(pl.col("split") == "query").frame.with_columns(path="q/" + pl.col("path"))
    both = dataclasses.replace(table, frame=table.frame.vstack(more))
    chosen = prepared(tmp_path, both, "data.validation=val").chosen_by
    assert chosen == f"Weights are chosen by market1501 {said}"


def test_the_people_of_msmt17s_val_are_trained_on_and_those_of_its_test_are_others(tmp_path):
    people = {"train": range(8), "val": range(1, 4), "query": range(3), "gallery": range(3)}
    tree = {}
    for n, (split, pids) in enumerate(people.items()):
        shown = [
            (f"{pid:04d}/{pid:04d}_{n}{cam}{one}_{cam:02d}_0303morning_0015_0.jpg", pid)
            for pid in pids
            for cam in (1, 2)
            for one in (0, 1)
        ]
        tree[f"list_{split}.txt"] = "".join(f"{name} {pid}\n" for name, pid in shown)
        folder = "train" if split in ("train", "val") else "test"
        tree |= {f"{folder}/{name}": None for name, _ in shown}
    data = f"msmt17:{plant(tmp_path / 'data', tree)}"
    expected = {"val": "3 people, 3 trained on as well", "holdout": "2 people who are neither"}
    for validation, said in expected.items():
        told = ("training.precision=32-true", f"data.validation={validation}")
        fitting = prepare("baseline-msmt17", data, tmp_path / validation, overrides=told)
        assert f"chosen by market1501 on {said}" in fitting.chosen_by
    table = read_layout("msmt17", tmp_path / "data")
    assert strangers(table, ["train"]) == "holdout"
    assert strangers(table.where(pl.col("pid") > 3), ["train"]) == "holdout"


def test_people_who_judge_rates_are_not_trained_on(tmp_path):
    table = seen(tmp_path, *STRANGERS)
    assert strangers(table, ["train"]) == "val"
    assert strangers(table, ["train", "val"]) == "holdout"
    assert strangers(seen(tmp_path, *KNOWN), ["train"]) == "holdout"
    assert strangers(seen(tmp_path), ["train", "val"]) == "holdout"


def begun(tmp_path, table, *overrides):
    """One that has something to lose: a checkpoint, or what stands for one here."""
    fitting = prepared(tmp_path, table, *overrides)
    fitting.run.checkpoints_path.mkdir()
    (fitting.run.checkpoints_path / "last.pt").touch()
    return fitting.run


def test_a_training_goes_on_with_the_people_who_chose_its_best_weights(tmp_path):
    table, by_val = seen(tmp_path, *STRANGERS), "data.validation=val"
    run = begun(tmp_path, table, by_val)
    fewer = table.where((pl.col("split") == "train") | (pl.col("pid") != 13))
    with pytest.raises(ConfigError, match=r"validation images are others than those that .* put"):
        prepared(tmp_path, fewer, by_val)
    assert prepared(tmp_path, table, by_val).run == run
    with pytest.raises(ConfigError, match=r"data.validation = 'val', but data.validation = 'none'"):
        prepared(tmp_path, table, "data.validation=none")


def test_a_training_that_kept_no_fingerprint_of_those_people_goes_on(tmp_path):
    table, by_val = seen(tmp_path, *STRANGERS), "data.validation=val"
    run = begun(tmp_path, table, by_val)
    content = yaml.safe_load(run.config_path.read_text())
    del content["data_set"]["validation_fingerprint"]
    run.config_path.write_text(yaml.safe_dump(content))
    assert prepared(tmp_path, table, by_val).run == run
    assert prepared(tmp_path, table.where(pl.col("pid") != 13), by_val).run == run
    with pytest.raises(ConfigError, match=r"training images are others .* 4 were removed"):
        prepared(tmp_path, table.where(pl.col("pid") != 3), by_val)


def test_a_training_without_validation_asks_for_no_people_but_its_own(tmp_path):
    table = seen(tmp_path, *STRANGERS)
    run = begun(tmp_path, table, "data.validation=none")
    assert "validation_fingerprint" not in run.load_data()
    fewer = table.where(pl.col("pid") != 13)
    assert prepared(tmp_path, fewer, "data.validation=none").run == run
    with pytest.raises(ConfigError, match=r"data.validation = 'none', but data.validation = 'val'"):
        prepared(tmp_path, table, "data.validation=val")
