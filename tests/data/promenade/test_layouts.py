import re
from collections import Counter
from pathlib import Path

import numpy as np
import polars
import pytest
from PIL import Image
from scipy.io import loadmat

from crosslight.data.promenade import Spectrum
from crosslight.data.promenade.layouts import plan_images
from crosslight.data.promenade.recipe import Plan, make_recipe
from crosslight.data.promenade.wishes import Wishes
from crosslight.data.promenade.world import CROWD_START


def plan(layout: str, preset: str, seed: int = 0) -> Plan:
    return plan_images(
        make_recipe(Wishes(preset=preset, layout=layout, height=128, width=64, seed=seed))
    )


def ids_in(content: bytes) -> list[int]:
    lines = content.decode().splitlines()
    assert len(lines) == 1
    return [int(word) for word in lines[0].split(",")]


@pytest.mark.parametrize(
    ("preset", "splits", "low", "high"),
    [
        ("mini", (120, 24, 40), 3500, 4500),
        ("small", (200, 50, 96), 10_000, 18_000),
        ("full", (296, 99, 96), 42_000, 48_000),
    ],
)
def test_sysu_counts(preset: str, splits: tuple[int, int, int], low: int, high: int) -> None:
    made = plan("sysu-mm01", preset)
    lists = [ids_in(made.files[f"exp/{name}_id.txt"]) for name in ("train", "val", "test")]
    assert tuple(len(people) for people in lists) == splits
    assert sorted(pid for people in lists for pid in people) == list(range(1, made.ids + 1))
    assert low <= len(made.images) <= high
    assert len({image.path for image in made.images}) == len(made.images)


def test_sysu_paths_cameras_and_stems() -> None:
    made = plan("sysu-mm01", "small")
    stems: dict[tuple[int, int], list[int]] = {}
    for image in made.images:
        match = re.fullmatch(r"cam([1-6])/(\d{4})/(\d{4})\.jpg", image.path)
        assert match
        camera, pid, stem = (int(group) for group in match.groups())
        assert (camera, pid) == (image.camera, image.pid)
        assert (image.spectrum == Spectrum.VISIBLE) == (camera in (1, 2, 4, 5))
        stems.setdefault((camera, pid), []).append(stem)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in stems.values())
    test_people = ids_in(made.files["exp/test_id.txt"])
    assert all(len(numbers) >= 13 for (_, pid), numbers in stems.items() if pid in test_people)
    seen = {
        camera: {pid for number, pid in stems if number == camera and pid in test_people}
        for camera in range(1, 7)
    }
    assert seen[1] == seen[2]
    assert len(seen[1]) == 56
    assert len(seen[3]) == 93
    assert seen[6] == set(test_people)
    for pid in range(1, made.ids + 1):
        cameras = {camera for camera, other in stems if other == pid}
        assert cameras & {3, 6}
        assert cameras & {1, 2, 4, 5}


def test_sysu_mat_files_have_the_published_structure(tmp_path: Path) -> None:
    made = plan("sysu-mm01", "mini")
    for name, content in made.files.items():
        (tmp_path / Path(name).name).write_bytes(content)
    for split in ("train", "val", "test", "available"):
        people = loadmat(tmp_path / f"{split}_id.mat")["id"]
        assert people.dtype == np.uint16
        assert people.tolist() == [ids_in(made.files[f"exp/{split}_id.txt"])]
    cells = loadmat(tmp_path / "rand_perm_cam.mat")["rand_perm_cam"]
    assert cells.shape == (6, 1)
    counts = Counter((image.camera, image.pid) for image in made.images)
    for camera in range(1, 7):
        people = cells[camera - 1][0]
        assert people.shape == (made.ids, 1)
        for pid in range(1, made.ids + 1):
            rows = people[pid - 1][0]
            count = counts[camera, pid]
            assert rows.shape == (10, count)
            assert all(sorted(row) == list(range(1, count + 1)) for row in rows.tolist())


@pytest.mark.parametrize(("preset", "people"), [("mini", 60), ("small", 120), ("full", 412)])
def test_regdb_counts_and_lists(preset: str, people: int) -> None:
    made = plan("regdb", preset)
    assert made.ids == people
    assert len(made.images) == 20 * people
    paths = {image.path for image in made.images}
    name = r"(Visible|Thermal)/(\d+)/(fe)?male_(back|front)_(v|t)_\d{5}_(\d+)\.bmp"
    for image in made.images:
        match = re.fullmatch(name, image.path)
        assert match
        assert match[2] == match[6] == str(image.pid)
        assert (match[1] == "Visible") == (match[5] == "v") == (image.spectrum == Spectrum.VISIBLE)
    half = people // 2
    for trial in range(1, 11):
        members = {}
        for part in ("train", "test"):
            lists = {}
            for light in ("visible", "thermal"):
                lines = made.files[f"idx/{part}_{light}_{trial}.txt"].decode().splitlines()
                pairs = [line.rsplit(" ", 1) for line in lines]
                assert len(pairs) == 10 * half
                assert {path for path, _ in pairs} <= paths
                assert sorted({int(label) for _, label in pairs}) == list(range(half))
                lists[light] = [(path.split("/")[1], label) for path, label in pairs]
            assert lists["visible"] == lists["thermal"]
            members[part] = {pid for pid, _ in lists["visible"]}
        assert not members["train"] & members["test"]
    trials = {made.files[f"idx/train_visible_{trial}.txt"] for trial in range(1, 11)}
    assert len(trials) == 10


@pytest.mark.parametrize("preset", ["mini", "small", "full"])
def test_market_names_and_halves(preset: str) -> None:
    made = plan("market1501", preset)
    assert "gt_query" in made.folders
    folders: dict[str, list[str]] = {}
    for image in made.images:
        folder, name = image.path.split("/")
        match = re.fullmatch(r"(-1|\d{4})_c([1-6])s[1-6]_\d{6}_0[0-3]\.jpg", name)
        assert match
        assert (int(match[1]), int(match[2])) == (image.pid, image.camera)
        assert image.spectrum == Spectrum.VISIBLE
        folders.setdefault(folder, []).append(name)
    assert set(folders) == {"bounding_box_train", "bounding_box_test", "query", "gt_bbox"}
    assert all(len(set(names)) == len(names) for names in folders.values())
    train = {image.pid for image in made.images if image.path.startswith("bounding_box_train")}
    query = {image.pid for image in made.images if image.path.startswith("query")}
    assert train.isdisjoint(query)
    assert train | query == set(range(1, made.ids + 1))
    for image in made.images:
        if image.pid == 0:
            assert image.person >= CROWD_START
        if image.pid == -1:
            assert image.person in query
    strangers = Counter(image.pid for image in made.images if image.pid <= 0)
    assert strangers[0] > 0
    assert strangers[-1] > 0
    gallery = {
        (image.pid, image.camera)
        for image in made.images
        if image.path.startswith("bounding_box_test")
    }
    for image in made.images:
        if image.path.startswith("query"):
            assert any(pid == image.pid and cam != image.camera for pid, cam in gallery)


@pytest.mark.parametrize("layout", ["sysu-mm01", "regdb", "market1501"])
def test_plan_is_a_function_of_the_seed(layout: str) -> None:
    assert plan(layout, "tiny", 4) == plan(layout, "tiny", 4)
    assert plan(layout, "tiny", 4).images != plan(layout, "tiny", 5).images


def test_regdb_pairs_show_the_same_moment(regdb_root: Path) -> None:
    table = polars.read_parquet(regdb_root / "factors.parquet")
    assert set(table["camera"]) == {4}
    structure = [
        name for name in table.columns if name.startswith(("body_", "cut_", "pose_", "view_"))
    ]
    key = ["pid", "index"]
    visible = table.filter(polars.col("spectrum") == "visible").sort(key)
    thermal = table.filter(polars.col("spectrum") == "thermal").sort(key)
    assert visible.select(key + structure).equals(thermal.select(key + structure))
    with Image.open(regdb_root / visible["path"][0]) as image:
        assert image.format == "BMP"
        assert image.size == (24, 48)
        assert image.mode == "RGB"


def test_infrared_files_have_equal_channels(sysu_root: Path) -> None:
    for path in sorted(sysu_root.glob("cam[36]/*/*.jpg")):
        with Image.open(path) as image:
            assert image.mode == "RGB"
            pixels = np.asarray(image).astype(int)
        assert np.abs(pixels - pixels[..., :1]).max() <= 1


def test_market_junk_is_badly_cropped(market_root: Path) -> None:
    table = polars.read_parquet(market_root / "factors.parquet")
    junk = table.filter(polars.col("pid") == -1)
    assert (junk["view_crop_y"].abs() >= 0.25).all()
    by_hand = table.filter(polars.col("split") == "query")
    assert (by_hand["view_crop_y"] == 0).all()
    assert (market_root / "gt_query").is_dir()
