"""SYSU-MM01: four visible cameras and two near-infrared ones."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.layouts.contract import PROMENADE, Expected, Layout, Search
from crosslight.data.layouts.id_lists import read_ids, require_people
from crosslight.data.layouts.listing import image_names, person_folders
from crosslight.data.table import SampleTable, build_table
from crosslight.types import Modality

CAMERAS = (1, 2, 3, 4, 5, 6)
INDOOR_CAMERAS = (1, 2)  # of the visible ones
INFRARED_CAMERAS = (3, 6)
VISIBLE_CAMERAS = tuple(cam for cam in CAMERAS if cam not in INFRARED_CAMERAS)
SPLITS = ("train", "val", "test")
SHARED_LOCATION = {3: 2}  # cameras 2 and 3 look at the same room


def read(root: Path, trial: int) -> SampleTable:
    """Splits train, val and test, each camera-major, then by person and file name.

    People of no split are left out. The test split holds both lights; the protocol draws the
    gallery from it.
    """
    del trial
    images = {cam: _images(root, f"cam{cam}") for cam in CAMERAS}
    present = {pid for people in images.values() for pid in people}
    paths: list[str] = []
    pids: list[int] = []
    cams: list[int] = []
    splits: list[str] = []
    drawn = (root / PROMENADE).is_file()
    for split in SPLITS:
        ids = read_ids(root / "exp", f"{split}_id", drawn=drawn)
        require_people(ids, present, root / "exp" / f"{split}_id.txt")
        for cam, people in images.items():
            for pid in ids:
                found = people.get(pid, [])
                paths += found
                pids += [pid] * len(found)
                cams += [cam] * len(found)
                splits += [split] * len(found)
    modality = [Modality.INFRARED if cam in INFRARED_CAMERAS else Modality.VISIBLE for cam in cams]
    columns = {"path": paths, "pid": pids, "cam": cams, "modality": modality, "split": splits}
    return build_table("sysu-mm01", root, columns)


def _images(root: Path, camera: str) -> dict[int, list[str]]:
    """Person to image paths; people without an image in this camera are not in it."""
    found: dict[int, list[str]] = {}
    for pid, folder in person_folders(root / camera):
        names = image_names(root / camera / folder)
        if names:
            found.setdefault(pid, []).extend(f"{camera}/{folder}/{name}" for name in names)
    return found


def _part(split: str, ids: int, visible: int, infrared: int) -> tuple[Expected, Expected]:
    return (
        Expected(split=split, ids=ids, images=visible),
        Expected(split=split, modality=Modality.INFRARED, ids=ids, images=infrared),
    )


def _camera(cam: int, ids: int, images: int) -> Expected:
    light = Modality.INFRARED if cam in INFRARED_CAMERAS else Modality.VISIBLE
    return Expected(split="test", modality=light, cam=cam, ids=ids, images=images)


LAYOUT = Layout(
    name="sysu-mm01",
    title="SYSU-MM01",
    cross_modal=True,
    signs=(("exp", *(f"cam{cam}" for cam in CAMERAS)),),
    reader=read,
    obtain=(
        "SYSU-MM01 (Wu et al., ICCV 2017) is released by its owners on a signed agreement; "
        "github.com/wuancong/SYSU-MM01 says how."
    ),
    protocols=("sysu-mm01/all/1", "sysu-mm01/all/10", "sysu-mm01/indoor/1", "sysu-mm01/indoor/10"),
    validation="sysu-mm01/all/1",
    # All-search only: that 40 people have no image indoors is meant.
    searches=(
        Search(
            protocol="sysu-mm01/all/1",
            query="test",
            gallery="test",
            query_modality=Modality.INFRARED,
            gallery_modality=Modality.VISIBLE,
            locations=SHARED_LOCATION,
        ),
    ),
    # Recomputed from the sizes of the permutations in the owners' rand_perm_cam.mat.
    expected=(
        *_part("train", 296, 20284, 9929),
        *_part("val", 99, 1974, 1980),
        *_part("test", 96, 6775, 3803),
        _camera(1, 56, 1374),
        _camera(2, 56, 1565),
        _camera(3, 93, 1883),
        _camera(4, 94, 1918),
        _camera(5, 95, 1918),
        _camera(6, 96, 1920),
    ),
    promenade=True,
)
