import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars
import pytest
from PIL import Image
from tests.data.promenade.conftest import SIZE, make_tiny, tree

from crosslight.data.promenade import MakeInterruptedError, load_world, make, making, true_swap
from crosslight.data.promenade.layouts import plan_images
from crosslight.data.promenade.produce import Producer, encode, is_whole
from crosslight.data.promenade.recipe import read_manifest
from crosslight.errors import ConfigError, DataError

KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from tests.data.promenade.conftest import make_tiny

limit, writes, replace = int(sys.argv[2]), 0, Path.replace


def dying(self, target):
    global writes
    writes += 1
    if writes == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)


Path.replace = dying
make_tiny(Path(sys.argv[1]))
"""


def test_two_workers_write_the_same_bytes_as_one(
    sysu_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "FRAME_ROWS", 20)
    summary = make_tiny(tmp_path / "two", workers=2)
    assert summary.rendered == summary.images
    assert tree(tmp_path / "two") == tree(sysu_root)


def test_another_seed_writes_other_bytes(sysu_root: Path, tmp_path: Path) -> None:
    make_tiny(tmp_path / "other", seed=4)
    first, other = tree(sysu_root), tree(tmp_path / "other")
    assert all(first[path] != other[path] for path in first.keys() & other.keys() if "cam" in path)


@pytest.mark.parametrize("writes", [2, 25, 97])
def test_killed_run_goes_on_to_the_same_tree(sysu_root: Path, tmp_path: Path, writes: int) -> None:
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, str(out), str(writes)],
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(out.rglob("*.part"))
    assert not (out / "factors.parquet").exists()
    summary = make_tiny(out)
    assert summary.rendered > 0
    assert tree(out) == tree(sysu_root)


def test_lost_and_cut_files_are_made_again(sysu_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(sysu_root, out)
    images = sorted(out.rglob("*.jpg"))
    chosen = random.Random(0).sample(images, 8)
    for path in chosen[:4]:
        path.unlink()
    for path in chosen[4:]:
        path.write_bytes(path.read_bytes()[:-9])
    (out / "factors.parquet").unlink()
    assert make_tiny(out).rendered == 8
    assert tree(out) == tree(sysu_root)
    assert make_tiny(out, workers=2).rendered == 0
    assert tree(out) == tree(sysu_root)


def test_ctrl_c_keeps_what_is_done(
    sysu_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, produce = tmp_path / "out", Producer.produce

    def interrupted(self, number, images):
        if number == 2:
            raise KeyboardInterrupt
        return produce(self, number, images)

    with monkeypatch.context() as patch:
        patch.setattr(Producer, "produce", interrupted)
        with pytest.raises(MakeInterruptedError, match="same command again"):
            make_tiny(out)
    assert len(list(out.rglob("*.jpg"))) == 16
    make_tiny(out)
    assert tree(out) == tree(sysu_root)


def test_full_disk_is_one_sentence_and_nothing_half_written(
    sysu_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", Path.write_bytes

    def full(self, content):
        if self.name.startswith(".0002.jpg") and len(list(out.rglob("*.jpg"))) > 20:
            write(self, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(DataError, match="No space left on device"):
            make_tiny(out)
    assert not list(out.rglob("*.part"))
    assert all(is_whole(path, *SIZE) for path in out.rglob("*.jpg"))
    make_tiny(out)
    assert tree(out) == tree(sysu_root)


def test_error_in_a_worker_reaches_the_user(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_tiny(out)
    shutil.rmtree(out / "cam1")
    (out / "cam1").write_text("in the way")
    with pytest.raises(DataError, match="could not be written"):
        make_tiny(out, workers=2)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 9}, "seed"),
        ({"height": 64}, "height"),
        ({"layout": "market1501"}, "layout"),
        ({"difficulty": "hard"}, "difficulty"),
        ({"infrared": "thermal"}, "infrared"),
        ({"preset": "mini"}, "preset"),
        ({"people": 9}, "people"),
        ({"images_per_camera": 1}, "images_per_camera"),
        ({"worlds": 2}, "worlds"),
        ({"first_world": 1}, "first_world"),
    ],
)
def test_other_configuration_is_refused(
    sysu_root: Path, change: dict[str, object], name: str
) -> None:
    wishes: dict[str, object] = {
        "preset": "tiny",
        "layout": "sysu-mm01",
        "height": SIZE[0],
        "width": SIZE[1],
        "seed": 3,
        "progress": False,
    }
    before = tree(sysu_root)
    with pytest.raises(ConfigError, match=f"made with {name} "):
        make(sysu_root, **(wishes | change))  # type: ignore[arg-type]
    assert tree(sysu_root) == before


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not empty"):
        make_tiny(tmp_path)
    with pytest.raises(DataError, match="is a file"):
        make_tiny(tmp_path / "thesis.txt")
    assert tree(tmp_path).keys() == {"thesis.txt"}


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"layout": "sysu"}, "sysu-mm01, regdb, market1501"),
        ({"preset": "huge"}, "mini, small, full"),
        ({"height": 3}, "height of 3"),
        ({"seed": -1}, "seed is -1"),
        ({"difficulty": "x"}, "easy, default, hard"),
        ({"infrared": "visible"}, "near-infrared or thermal"),
        ({"layout": "market1501", "infrared": "thermal"}, "visible images only"),
        ({"layout": "regdb", "infrared": "near-infrared"}, "it has thermal"),
        ({"workers": -2}, "-2 workers"),
        ({"people": -1}, "--people is -1: give 0 or more"),
        ({"people": 9990}, "numbers at most 9999 people, and 9990 [+] 24 [+] 40 are asked for"),
        ({"people": 0, "val_people": 0, "test_people": 0}, "without people"),
        ({"layout": "table", "people": 100_000}, "at most 99999 people"),
        ({"layout": "market1501", "val_people": 3}, "leave --val-people out"),
        ({"layout": "regdb", "people": 0}, "both halves of regdb need people"),
        ({"images_per_camera": 0}, "give 1 to 255"),
        ({"images_per_camera": 256}, "give 1 to 255"),
        ({"worlds": 0}, "--worlds is 0"),
        ({"worlds": 185}, "give --worlds 184 or fewer"),
        ({"first_world": -1}, "--first-world is -1"),
    ],
)
def test_impossible_wishes_are_refused(
    tmp_path: Path, wish: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "out", **wish)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_thermal_in_sysu_layout(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, preset="tiny", height=32, width=16, infrared="thermal", progress=False)
    table = polars.read_parquet(out / "factors.parquet")
    assert set(table.filter(polars.col("camera").is_in([3, 6]))["spectrum"]) == {"thermal"}
    assert json.loads((out / "promenade.json").read_text())["infrared"] == "thermal"


@pytest.mark.parametrize("root_name", ["sysu_root", "regdb_root", "market_root", "worlds_root"])
def test_table_rebuilds_every_image(root_name: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(root_name)
    made = load_world(root)
    plan = plan_images(read_manifest(root))
    assert made.table["path"].to_list() == [image.path for image in plan.images]
    files = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix in (".jpg", ".bmp")
    }
    assert files == set(made.table["path"])
    keys = made.table.filter(polars.col("split") != "multi-query").select(
        "person", "camera", "index", "spectrum"
    )
    assert keys.is_unique().all()
    for row in made.table.iter_rows(named=True):
        assert made.person(row["path"]) == made.world.person(row["person"])
    for path in made.table["path"].gather_every(7):
        image = made.world.render(made.shot(path), *SIZE)
        assert encode(image, Path(path).suffix) == (root / path).read_bytes()


def test_swap_of_two_images_of_a_made_set(sysu_root: Path) -> None:
    made = load_world(sysu_root)
    first, second = made.table["path"][0], made.table["path"][-1]
    swapped = true_swap(made.world, made.shot(sysu_root / first), made.shot(second), *SIZE)
    assert swapped.shape == (*SIZE, 3)
    assert (swapped != made.world.render(made.shot(second), *SIZE)).any()


def test_loading_names_what_is_wrong(sysu_root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Promenade data set"):
        load_world(tmp_path)
    with pytest.raises(DataError, match="is no image"):
        load_world(sysu_root).shot("cam9/0001/0001.jpg")
    out = tmp_path / "out"
    shutil.copytree(sysu_root, out)
    (out / "factors.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="not readable as Parquet"):
        load_world(out)
    (out / "factors.parquet").unlink()
    with pytest.raises(DataError, match="was stopped"):
        load_world(out)
    (out / "promenade.json").write_text("{")
    with pytest.raises(DataError, match="manifest"):
        load_world(out)


def test_only_whole_files_count(tmp_path: Path) -> None:
    for suffix in (".jpg", ".bmp"):
        path = tmp_path / f"image{suffix}"
        assert not is_whole(path, 20, 11)
        Image.new("RGB", (11, 20)).save(path)
        assert is_whole(path, 20, 11)
        for size in (0, 2, os.path.getsize(path) - 1):  # noqa: PTH202
            content = path.read_bytes()
            path.write_bytes(content[:size])
            assert not is_whole(path, 20, 11)
            path.write_bytes(content)
