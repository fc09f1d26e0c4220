"""A store is calibrated on other people than those in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from crosslight.data.table import SampleTable, build_table
from crosslight.errors import DataError
from crosslight.gallery.calibrating import calibrate_store
from crosslight.gallery.calibration.calibration import Calibration
from crosslight.gallery.enrolment import enrol
from crosslight.gallery.options import Calibrating
from crosslight.gallery.sources import candidates_from
from crosslight.gallery.stores.opening import create_store
from tests.gallery.served import CAMS, EMBEDDER, INFRARED_CAM, picture

ENOUGH = Calibrating(false_match_rate=0.05)


def people(root: Path, numbers: range, *, layout: str = "table", pids=None) -> SampleTable:
    """Images of people by three cameras, drawn into a folder."""
    root.mkdir()
    columns: dict[str, list] = {"path": [], "pid": [], "cam": [], "modality": []}
    for number in numbers:
        for cam in CAMS:
            name = f"{number}-{cam}.png"
            picture(number, cam).save(root / name)
            values = (name, (pids or {}).get(number, number), cam, int(cam == INFRARED_CAM))
            for key, value in zip(columns, values, strict=True):
                columns[key].append(value)
    return build_table(layout, root, columns)


@pytest.fixture
def store(tmp_path):
    with create_store(
        tmp_path / "people.exact", model=EMBEDDER.fingerprint, method="pattern", run="runs/pattern",
        dim=32, distance="cosine",
    ) as made:  # fmt: skip
        people(tmp_path / "enrolled", range(6))
        enrol(made, EMBEDDER, candidates_from(str(tmp_path / "enrolled")))
        yield made


def test_the_curves_are_those_of_the_table(store, tmp_path):
    table = people(tmp_path / "others", range(100, 140))
    found = calibrate_store(store, EMBEDDER, table, ENOUGH, data="others")
    assert found.people == 40
    assert Calibration.from_plain(store.info.calibration) == found


def test_images_that_the_store_holds_are_refused(store, tmp_path):
    table = people(tmp_path / "others", range(100, 140))
    copied = table.paths[5]
    enrolled = tmp_path / "enrolled" / "2-1.png"

    def refused() -> str:
        with pytest.raises(DataError) as told:
            calibrate_store(store, EMBEDDER, table, ENOUGH, data="others")
        assert not store.info.calibration
        return str(told.value)

    shutil.copy(enrolled, copied)
    assert f"1 of the 120 images of others are in the store ({copied} for one)" in refused()
    # In another kind of file the pixels are the same.
    Image.open(enrolled).save(copied, format="TIFF")
    assert "1 of the 120 images" in refused()
    # The file of an enrolled image is refused whatever it holds now.
    columns = table.frame.to_dict(as_series=False)
    columns["path"][5] = "../enrolled/2-1.png"
    picture(999, 1).save(enrolled)
    table = build_table("table", table.root, columns)
    assert "1 of the 120 images of others are in the store" in refused()


@pytest.mark.parametrize("layout", ["market1501", "dukemtmc"])
def test_distractors_and_junk_are_not_one_person(store, tmp_path, layout):
    nobody = {100 + n: 0 if n % 2 else -1 for n in range(20)}
    table = people(tmp_path / "others", range(100, 140), layout=layout, pids=nobody)
    found = calibrate_store(store, EMBEDDER, table, ENOUGH, data="others")
    assert found.people == 20
    alone = people(tmp_path / "alone", range(120, 140))
    again = calibrate_store(store, EMBEDDER, alone, ENOUGH, data="others")
    assert found == again
