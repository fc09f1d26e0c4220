"""Who is learnt from, who chooses the weights, and by which protocol."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml
from tests.data.trees import TREES, plant

from crosslight.config import DataConfig
from crosslight.data.layouts import LAYOUTS, read_layout
from crosslight.data.table import build_table
from crosslight.drawing.contact_sheet import draw_contact_sheet
from crosslight.errors import DataError
from crosslight.evaluation.protocols import PROTOCOLS
from crosslight.experiments.validation import split_people, validation_protocol
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
        frame=table.frame.vstack(made(layout, tmp_path, pids=(-1, 0, 3), split="val").frame),
    )
    _, val = split_people(both, DataConfig(), seed=0)
    assert val is not None
    assert set(val.pids.tolist()) == {-1, 0, 3} - nobody


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
