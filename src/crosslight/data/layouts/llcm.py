"""LLCM: nine cameras that see in colour by day and in near-infrared by night."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from crosslight.data.layouts.contract import Expected, Layout, Search
from crosslight.data.layouts.id_lists import read_ids, require_people
from crosslight.data.layouts.listing import (
    ListedImage,
    entries,
    image_names,
    listed_images,
    person_folders,
    require_listed,
)
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import DataError
from crosslight.types import UNKNOWN_CAM, Modality

LIGHTS = {"vis": Modality.VISIBLE, "nir": Modality.INFRARED}
CAMERA_FOLDER = re.compile(r"cam(\d+)")
CAMERA_IN_NAME = re.compile(r"\d+_c(\d+)_")


def read(root: Path, trial: int) -> SampleTable:
    """Splits train (in the order of its lists) and test (camera-major, then person and name).

    The person is the folder's number: the labels of the training lists are not used.
    """
    del trial
    rows: list[tuple[str, int, int, Modality, str]] = []
    for name, light in LIGHTS.items():
        listing = root / "idx" / f"train_{name}.txt"
        images = listed_images(listing)
        require_listed(root, [image.path for image in images], listing)
        rows += [(image.path, _person(image), _camera(image), light, "train") for image in images]
    ids = read_ids(root / "idx", "test_id")
    tested = [row for name, light in LIGHTS.items() for row in _test(root, name, light, set(ids))]
    require_people(ids, {row[1] for row in tested}, root / "idx" / "test_id.txt")
    names = ("path", "pid", "cam", "modality", "split")
    values = zip(*rows, *tested, strict=True)
    return build_table("llcm", root, dict(zip(names, map(list, values), strict=True)))


def _test(
    root: Path, name: str, light: Modality, ids: set[int]
) -> list[tuple[str, int, int, Modality, str]]:
    part = f"test_{name}"
    matches = [CAMERA_FOLDER.fullmatch(entry) for entry in entries(root / part)]
    cameras = sorted((int(match[1]), match[0]) for match in matches if match)
    return [
        (f"{part}/{camera}/{folder}/{image}", pid, cam, light, "test")
        for cam, camera in cameras
        for pid, folder in person_folders(root / part / camera)
        if pid in ids
        for image in image_names(root / part / camera / folder)
    ]


def _person(image: ListedImage) -> int:
    folder = PurePosixPath(image.path).parent.name
    if not folder.isdigit():
        raise DataError(
            f"{image.where} lists {image.path}, which lies in no person's folder; "
            "expected a path like vis/0001/0001_c01_s185535_f7010_vis.jpg."
        )
    return int(folder)


def _camera(image: ListedImage) -> int:
    match = CAMERA_IN_NAME.match(image.name)
    return int(match[1]) if match else UNKNOWN_CAM


def _direction(protocol: str, query: Modality, gallery: Modality) -> Search:
    return Search(
        protocol=protocol,
        query="test",
        gallery="test",
        query_modality=query,
        gallery_modality=gallery,
    )


def _part(split: str, light: Modality, ids: int, images: int) -> Expected:
    return Expected(split=split, modality=light, ids=ids, images=images, verified=False)


LAYOUT = Layout(
    name="llcm",
    title="LLCM",
    cross_modal=True,
    signs=(("idx", "test_vis", "test_nir"),),
    reader=read,
    obtain=(
        "LLCM (Zhang and Wang, CVPR 2023) is released by its owners on a signed agreement; "
        "github.com/ZYK100/LLCM says how."
    ),
    protocols=("llcm/visible-to-infrared", "llcm/infrared-to-visible"),
    validation="llcm/visible-to-infrared",
    searches=(
        _direction("llcm/visible-to-infrared", Modality.VISIBLE, Modality.INFRARED),
        _direction("llcm/infrared-to-visible", Modality.INFRARED, Modality.VISIBLE),
    ),
    # As the paper is remembered; the four parts do sum to the published 46,767 images.
    expected=(
        _part("train", Modality.VISIBLE, 713, 16946),
        _part("train", Modality.INFRARED, 713, 13975),
        _part("test", Modality.VISIBLE, 351, 8680),
        _part("test", Modality.INFRARED, 351, 7166),
    ),
)
