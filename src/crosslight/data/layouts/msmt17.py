"""MSMT17: fifteen visible cameras; version 1, and version 2 with masked faces."""

from __future__ import annotations

from pathlib import Path

from crosslight.data.layouts.contract import Expected, Layout, Search
from crosslight.data.layouts.listing import ListedImage, listed_images, require_listed
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import DataError

VERSIONS = (("train", "test"), ("mask_train_v2", "mask_test_v2"))
LISTS = {"train": 0, "val": 0, "query": 1, "gallery": 1}
CAMERA_FIELD = 2  # of the basename: 0000_000_01_0303morning_0015_0.jpg


def read(root: Path, trial: int) -> SampleTable:
    """Splits train, val, query and gallery, in the order of the lists.

    People of train and val, and those of query and gallery, are numbered independently from 0.
    """
    del trial
    folders = _version(root)
    paths, pids, cams, splits = [], [], [], []
    for split, part in LISTS.items():
        listing = root / f"list_{split}.txt"
        images = listed_images(listing)
        split_paths = [_inside(folders[part], image.path) for image in images]
        require_listed(root, split_paths, listing)
        paths += split_paths
        pids += [image.label for image in images]
        cams += [_camera(image) for image in images]
        splits += [split] * len(images)
    return build_table("msmt17", root, {"path": paths, "pid": pids, "cam": cams, "split": splits})


def _version(root: Path) -> tuple[str, str]:
    found = [names for names in VERSIONS if all((root / name).is_dir() for name in names)]
    if len(found) > 1:
        raise DataError(
            f"{root} holds version 1 and version 2 of MSMT17 side by side; "
            "expected one: move one of them, with its lists, into a folder of its own."
        )
    return found[0]


def _inside(folder: str, path: str) -> str:
    return path if path.startswith(f"{folder}/") else f"{folder}/{path}"


def _camera(image: ListedImage) -> int:
    fields = image.name.split("_")
    if len(fields) <= CAMERA_FIELD or not fields[CAMERA_FIELD].isdigit():
        raise DataError(
            f"{image.where} lists {image.name}, which names no camera; expected a name like "
            "0000_000_01_0303morning_0015_0.jpg with the camera third."
        )
    return int(fields[CAMERA_FIELD])


LAYOUT = Layout(
    name="msmt17",
    title="MSMT17",
    cross_modal=False,
    signs=tuple((*folders, *(f"list_{split}.txt" for split in LISTS)) for folders in VERSIONS),
    reader=read,
    obtain=(
        "MSMT17 (Wei et al., CVPR 2018) is given out by its authors on a signed release "
        "agreement; ask on their project page."
    ),
    protocols=("msmt17",),
    searches=(Search(protocol="msmt17"),),
    # Images from the official lists; 1,041 people are published for train and val together.
    expected=(
        Expected(split="train", ids=1041, images=30248, verified=False),
        Expected(split="val", images=2373),
        Expected(split="query", ids=3060, images=11659),
        Expected(split="gallery", ids=3060, images=82161),
    ),
    ids_restart=True,
)
