"""Sets of one's own size, of several worlds, and of all three lights."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from tests.data.promenade.conftest import SIZE, make_tiny, tree
from tests.data.promenade.test_layouts import ids_in
from tests.data.promenade.test_making import KILLED_RUN

from crosslight.config import DataConfig
from crosslight.data.check import check_data
from crosslight.data.layouts import get_layout, read_layout
from crosslight.data.naming import name_of_data
from crosslight.data.promenade import Spectrum, World, load_world, true_swap
from crosslight.data.promenade.factors import NOBODY, Slot
from crosslight.data.promenade.layouts import plan_images
from crosslight.data.promenade.recipe import Plan, make_recipe
from crosslight.data.promenade.settings import setting
from crosslight.data.promenade.wishes import Wishes
from crosslight.data.sampling import build_batches, people_by_site
from crosslight.drawing.contact_sheet import draw_contact_sheet
from crosslight.types import Modality

STANDARD_WORLD = Path(__file__).with_name("standard-world.png")
"""Pictures of `World(5, 300)`, from before there were other worlds: lights down, cameras across."""


def plan(layout: str, **wishes: int) -> Plan:
    recipe = make_recipe(
        Wishes(preset="tiny", layout=layout, height=48, width=24, seed=0, **wishes)
    )
    return plan_images(recipe)


def test_the_standard_world_is_as_it_was() -> None:
    world = World(5, 300)
    rows = [
        [world.render(world.shot(1 + camera, camera, 0, light), *SIZE) for camera in range(1, 7)]
        for light in Spectrum
    ]
    drawn = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    with Image.open(STANDARD_WORLD) as picture:
        kept = np.asarray(picture)
    # Equal where it was stored; another processor or codec may round a few values otherwise.
    assert (np.abs(drawn.astype(int) - kept) > 1).mean() < 0.002


def test_the_standard_world_has_the_same_people_whatever_its_name() -> None:
    for seed in (0, 8):
        known, named = World(seed, 9), World(seed, 9, numbers=[0])
        assert [known.person(pid) for pid in range(1, 10)] == [
            named.person(pid) for pid in range(1, 10)
        ]


def test_worlds_share_no_camera_no_place_no_person_and_no_garment() -> None:
    drawn = [setting(seed, number, "default") for seed in (0, 1) for number in (1, 2, 3)]
    settings = [setting(0, 0, "default"), *drawn]
    cameras = [own.cameras[number] for own in settings for number in range(1, 7)]
    assert len(set(cameras)) == len({camera.place for camera in cameras}) == 6 * len(settings)
    assert len({own.seed for own in settings}) == len({own.difficulty for own in settings}) == 7
    worlds = [World(seed, 60, numbers=[number]) for seed in (0, 1) for number in (0, 1, 2)]
    bodies, garments = set(), [set() for _ in worlds]
    for world, worn in zip(worlds, garments, strict=True):
        for pid in range(1, 61):
            person = world.person(pid)
            bodies.add(person.body)
            worn |= {person.look.materials[slot] for slot in (Slot.UPPER, Slot.LOWER, Slot.SHOE)}
        assert len(worn) < 3 * 60  # a wardrobe is shared
    assert len(bodies) == 60 * len(worlds)
    assert len(set.union(*garments)) == sum(len(worn) for worn in garments)


def test_every_person_belongs_to_one_world_and_meets_its_crowd_only() -> None:
    world = World(3, 300, numbers=range(4, 7))
    met: dict[int, set[int]] = {4: set(), 5: set(), 6: set()}
    for pid in range(1, 301):
        view = world.shot(pid, 1 + pid % 6, 0, Spectrum.VISIBLE).view
        for stranger in {view.bystander, view.passer} - {NOBODY}:
            assert world.number_of(stranger) == world.number_of(pid)
            met[world.number_of(pid)].add(stranger)
    assert [sum(world.number_of(pid) == number for pid in range(1, 301)) for number in met] == [
        100,
        100,
        100,
    ]
    assert all(met.values())


def test_a_world_is_the_same_alone_and_among_others() -> None:
    alone, among = World(2, 9, numbers=[5]), World(2, 9, numbers=[4, 5, 6])
    pid = next(pid for pid in range(1, 10) if among.number_of(pid) == 5)
    shot = among.shot(pid, 4, 0, Spectrum.THERMAL)
    assert alone.person(pid) == among.person(pid)
    assert alone.shot(pid, 4, 0, Spectrum.THERMAL).pose == shot.pose


@pytest.mark.parametrize("camera", range(1, 9))
def test_every_camera_of_a_drawn_world_sees_people(camera: int) -> None:
    for number in range(1, 6):
        world = World(1, 6, numbers=[number])
        for pid in (1, 2):
            for light in Spectrum:
                picture = world.picture(world.shot(pid, camera, 0, light), 64, 32)
                assert picture.image.std() > 5
                assert 0.05 < picture.mask.mean() < 0.85


@pytest.mark.parametrize(
    ("layout", "wishes", "splits"),
    [
        ("sysu-mm01", {"people": 31}, {"train": 31, "val": 2, "test": 6}),
        ("sysu-mm01", {"people": 0, "val_people": 0, "test_people": 9}, {"test": 9}),
        ("table", {"people": 31, "val_people": 3}, {"train": 31, "val": 3, "test": 6}),
        ("table", {"people": 7, "test_people": 0}, {"train": 7, "val": 2}),
        ("market1501", {"people": 31, "test_people": 5}, {"train": 31, "query": 5}),
        ("market1501", {"people": 0}, {"query": 4}),
        ("market1501", {"people": 8, "test_people": 0}, {"train": 8}),
    ],
)
def test_people_per_split(layout: str, wishes: dict[str, int], splits: dict[str, int]) -> None:
    made = plan(layout, **wishes)
    people: dict[str, set[int]] = {}
    for image in made.images:
        if image.split not in ("gallery", "multi-query"):
            people.setdefault(image.split, set()).add(image.pid)
    assert {split: len(members) for split, members in people.items()} == splits
    assert sorted(pid for members in people.values() for pid in members) == list(
        range(1, made.ids + 1)
    )


def test_regdb_takes_people_for_either_part() -> None:
    made = plan("regdb", people=9, test_people=2, images_per_camera=3)
    assert made.ids == 11
    assert len(made.images) == 11 * 2 * 3
    for trial in range(1, 11):
        for part, count in (("train", 9), ("test", 2)):
            lines = made.files[f"idx/{part}_visible_{trial}.txt"].decode().splitlines()
            assert len(lines) == 3 * count


def test_images_per_camera_is_everybodys_count() -> None:
    made = plan("table", people=12, images_per_camera=3)
    counts: dict[tuple[int, int], int] = {}
    for image in made.images:
        counts[image.pid, image.camera] = counts.get((image.pid, image.camera), 0) + 1
    assert set(counts.values()) == {3}
    assert len(counts) == made.ids * 8
    made = plan("sysu-mm01", people=12, images_per_camera=3)
    assert len({image.index for image in made.images}) == 3
    assert len(ids_in(made.files["exp/train_id.txt"])) == 12


def test_people_of_five_digits_fit_a_table() -> None:
    made = plan("table", people=10_500, val_people=0, test_people=0, images_per_camera=1)
    assert len({image.path for image in made.images}) == len(made.images) == 8 * 10_500
    assert any(image.path == "cam8/10500/0001.jpg" for image in made.images)


def test_all_lights_are_learnt_together(worlds_root: Path) -> None:
    table = read_layout("table", worlds_root)
    light_of = dict(pl.read_csv(worlds_root / "table.csv").select("path", "spectrum").iter_rows())
    train = table.split("train")
    config = DataConfig(
        sampling="cross-modal", ids_per_batch=3, visible_per_id=2, infrared_per_id=3
    )
    batches = build_batches(train, config, seed=0)
    shown = set()
    for batch in batches.batches(0):
        for row in batch:
            shown.add((train.modality[row], light_of[train.relative_paths[row]]))
    assert shown == {
        (Modality.VISIBLE, "visible"),
        (Modality.INFRARED, "near-infrared"),
        (Modality.INFRARED, "thermal"),
    }


def test_no_camera_of_a_table_is_in_two_worlds(worlds_root: Path) -> None:
    table = read_layout("table", worlds_root)
    columns = ["path", "world"]
    factors = pl.read_parquet(worlds_root / "factors.parquet", columns=columns)
    world_of = dict(factors.iter_rows())
    worlds = np.array([world_of[path] for path in table.relative_paths])
    pairs = set(zip(table.cams.tolist(), worlds.tolist(), strict=True))
    assert len(pairs) == len({cam for cam, _ in pairs}) == 8 * len(set(worlds.tolist()))
    sites = people_by_site(table)
    assert len(sites) == len(set(worlds.tolist()))


@pytest.mark.parametrize(
    ("name", "asking", "answering"),
    [
        ("table.csv", {3, 6, 7, 8}, {1, 2, 4, 5}),
        ("test-visible.csv", {1, 4}, {2, 5}),
        ("test-near-infrared.csv", {3, 6}, {1, 2, 4, 5}),
        ("test-thermal.csv", {7, 8}, {1, 2, 4, 5}),
    ],
)
def test_each_light_asks_among_visible_images(
    worlds_root: Path, name: str, asking: set[int], answering: set[int]
) -> None:
    table = read_layout("table", worlds_root / name)
    query, gallery = table.split("query"), table.split("gallery")
    assert {cam % 10 for cam in query.cams.tolist()} == asking
    assert {cam % 10 for cam in gallery.cams.tolist()} == answering
    assert set(query.pids) == set(gallery.pids)
    assert len(set(query.pids)) == 3
    assert check_data("table", worlds_root / name).ok


def test_one_light_alone_fits_a_table_too(tmp_path: Path) -> None:
    made = plan_images(
        make_recipe(
            Wishes(preset="tiny", layout="table", height=48, width=24, seed=0, infrared="thermal")
        )
    )
    assert {image.camera for image in made.images} == {1, 2, 4, 5, 7, 8}
    assert set(made.files) == {"table.csv", "test-visible.csv", "test-thermal.csv"}


def test_worlds_stand_in_the_record(worlds_root: Path) -> None:
    manifest = json.loads((worlds_root / "promenade.json").read_text())
    assert (manifest["worlds"], manifest["first_world"]) == (3, 1)
    record = pl.read_parquet(worlds_root / "factors.parquet")
    assert set(record["world"]) == {1, 2, 3}
    assert (record.group_by("person").agg(pl.col("world").n_unique())["world"] == 1).all()
    name = name_of_data(get_layout("table"), worlds_root)
    assert name == "Promenade of 9 people in 3 worlds (near-infrared, thermal, a table)"
    assert name_of_data(get_layout("table"), worlds_root / "test-thermal.csv") == name


def test_a_look_of_one_world_fits_a_structure_of_another(worlds_root: Path) -> None:
    made = load_world(worlds_root)
    first = made.table.filter(pl.col("world") == 1, pl.col("spectrum") == "visible")["path"][0]
    other = made.table.filter(pl.col("world") == 2, pl.col("spectrum") == "visible")["path"][0]
    swapped = true_swap(made.world, made.shot(first), made.shot(other), *SIZE)
    own = made.world.picture(made.shot(other), *SIZE)
    assert np.abs(swapped.astype(int) - own.image)[own.mask].mean() > 3


def test_workers_and_a_kill_change_no_byte(worlds_root: Path, tmp_path: Path) -> None:
    wishes = {"people": 4, "test_people": 3, "images_per_camera": 1, "worlds": 3}
    make_tiny(tmp_path / "two", layout="table", workers=2, **wishes)
    assert tree(tmp_path / "two") == tree(worlds_root)
    code = KILLED_RUN.replace(
        "make_tiny(Path(sys.argv[1]))", f"make_tiny(Path(sys.argv[1]), layout='table', **{wishes})"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out"), "30"],
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    summary = make_tiny(tmp_path / "out", layout="table", **wishes)
    assert 0 < summary.rendered < summary.images
    assert tree(tmp_path / "out") == tree(worlds_root)


def test_a_set_for_testing_alone_can_be_read(tmp_path: Path) -> None:
    wishes = {"people": 0, "val_people": 0, "test_people": 4, "first_world": 2}
    for layout in ("sysu-mm01", "market1501", "table"):
        own = wishes if layout != "market1501" else wishes | {"val_people": 0}
        make_tiny(tmp_path / layout, layout=layout, **own)
        assert check_data(layout, tmp_path / layout).ok
        splits = set(read_layout(layout, tmp_path / layout).splits)
        assert splits <= {"test", "query", "gallery", "multi-query"}


def test_a_set_begun_by_an_earlier_version_is_completed(sysu_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(sysu_root, out)
    manifest = json.loads((out / "promenade.json").read_text())
    known = ("layout", "preset", "height", "width", "seed", "infrared", "difficulty", "generator")
    (out / "promenade.json").write_text(json.dumps({name: manifest[name] for name in known}))
    assert load_world(out).world.numbers == (0,)
    assert make_tiny(out).rendered == 0


def test_a_contact_sheet_shows_people_of_one_world(tmp_path: Path) -> None:
    make_tiny(tmp_path / "set", layout="table", people=8, test_people=0, worlds=4)
    table = read_layout("table", tmp_path / "set")
    sheet = draw_contact_sheet(table, people=2, height=48, width=24)
    alone = draw_contact_sheet(
        table.take(np.flatnonzero(table.cams < 10)), people=2, height=48, width=24
    )
    assert sheet.width == alone.width
