"""`crosslight swap --cases --maps` on a run across light."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from crosslight import cli
from crosslight.data.layouts import read_layout
from crosslight.drawing.cases import choose_meetings
from crosslight.errors import DataError
from crosslight.types import Modality

RECIPE = """
method: structure-id
config:
  backbone: resnet10-quarter
  weights: none
  body_network: resnet10-quarter
  body_weights: none
  dim: 16
  structure_width: 2
  adain_width: 8
  critic_width: 2
  dilations: [1, 2, 3]
  iterations: 2
data:
  height: 64
  width: 32
  validation: none
  ids_per_batch: 2
  visible_per_id: 2
  infrared_per_id: 2
  workers: 0
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, promenade: Path) -> Path:
    folder = tmp_path_factory.mktemp("structure-id")
    (folder / "recipe.yaml").write_text(RECIPE)
    data = f"sysu-mm01:{promenade}"
    arguments = ["train", str(folder / "recipe.yaml"), "--data", data, "--out", str(folder / "run")]
    cli.main(arguments)
    return folder / "run"


def test_meetings_are_those_of_the_three_cases(promenade: Path) -> None:
    table = read_layout("sysu-mm01", promenade).split("test")
    cases = choose_meetings(table, 4)
    expected = {
        "same person, same light": (True, True),
        "different people, different light": (False, False),
        "different people, same light": (False, True),
    }
    assert list(cases) == list(expected)
    for case, (same_person, same_light) in expected.items():
        assert len(cases[case]) == 4
        lights = []
        for meeting in cases[case]:
            first, second = meeting.first, meeting.second
            assert first != second
            assert (table.pids[first] == table.pids[second]) == same_person
            assert (table.modality[first] == table.modality[second]) == same_light
            lights.append(int(table.modality[first]))
        assert lights == [0, 1, 0, 1]
    assert choose_meetings(table, 4) == cases
    one_light = table.take([i for i, m in enumerate(table.modality) if m == Modality.VISIBLE])
    with pytest.raises(DataError, match="0 test people twice in each light"):
        choose_meetings(one_light, 1)


def test_cases_and_maps_are_drawn(run: Path, promenade: Path, tmp_path: Path) -> None:
    flags = ["--limit", "2", "--out", str(tmp_path / "new" / "cases.png")]
    maps = ["--maps", str(tmp_path / "maps.png")]
    cli.main(["swap", str(run), "--cases", f"sysu-mm01:{promenade}", *flags, *maps])
    with Image.open(tmp_path / "new" / "cases.png") as grid:
        assert grid.width > 6 * 64
        assert grid.height > 6 * 128
    with Image.open(tmp_path / "maps.png") as picture:
        assert 4 * 128 < picture.height < 5 * 170, "four images across light"


def test_given_images_of_both_lights_are_drawn(run: Path, promenade: Path, tmp_path: Path) -> None:
    visible, infrared = (str(next((promenade / cam).rglob("*.jpg"))) for cam in ("cam1", "cam3"))
    cli.main(
        [
            *("swap", str(run), "--appearance", visible, infrared),
            *("--structure", infrared, visible, "--out", str(tmp_path / "grid.png")),
            *("--maps", str(tmp_path / "maps.png")),
        ]
    )
    assert (tmp_path / "grid.png").is_file()
    with Image.open(tmp_path / "maps.png") as picture:
        assert picture.height > 2 * 128


def test_flags_that_contradict_are_refused(
    run: Path, promenade: Path, trained: Path, tmp_path: Path, fails
) -> None:
    data = f"sysu-mm01:{promenade}"
    image = next((promenade / "cam1").rglob("*.jpg"))
    said = fails("swap", run, "--cases", data, "--structure", image, "--out", tmp_path / "x.png")
    assert "--cases chooses the images" in said
    assert "names no image" in fails("swap", run, "--out", tmp_path / "x.png")
    assert "such as dgnet" in fails("swap", trained, "--cases", data, "--out", tmp_path / "x.png")
