"""RegDB: one visible and one thermal camera side by side, ten published splits."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from crosslight.data.layouts.contract import Expected, Layout, Search
from crosslight.data.layouts.listing import ListedImage, listed_images, require_listed
from crosslight.data.table import SampleTable, build_table
from crosslight.errors import DataError
from crosslight.types import Modality

TRIALS = 10
LIGHTS = {"visible": Modality.VISIBLE, "thermal": Modality.INFRARED}
CAMERA = {Modality.VISIBLE: 1, Modality.INFRARED: 2}


def read(root: Path, trial: int) -> SampleTable:
    """Splits train and test of a trial, in the order of the lists, visible before thermal.

    The person is the folder's number: the labels of the lists restart in each of them.
    """
    paths: list[str] = []
    pids: list[int] = []
    lights: list[Modality] = []
    splits: list[str] = []
    for split in ("train", "test"):
        for name, light in LIGHTS.items():
            listing = root / "idx" / f"{split}_{name}_{trial}.txt"
            images = listed_images(listing)
            require_listed(root, [image.path for image in images], listing)
            paths += [image.path for image in images]
            pids += _people(images)
            lights += [light] * len(images)
            splits += [split] * len(images)
    columns = {
        "path": paths,
        "pid": pids,
        "cam": [CAMERA[light] for light in lights],
        "modality": lights,
        "split": splits,
    }
    return build_table("regdb", root, columns)


def _people(images: list[ListedImage]) -> list[int]:
    pids: list[int] = []
    person_of: dict[int, int] = {}
    for image in images:
        folder = PurePosixPath(image.path).parent.name
        if not folder.isdigit():
            raise DataError(
                f"{image.where} lists {image.path}, which lies in no person's folder; "
                "expected a path like Visible/285/male_back_v_05528_285.bmp."
            )
        pid = int(folder)
        if person_of.setdefault(image.label, pid) != pid:
            raise DataError(
                f"{image.where} gives label {image.label} to person {pid}, but an earlier line "
                f"to person {person_of[image.label]}; copy the list again from the archive."
            )
        pids.append(pid)
    return pids


def _direction(protocol: str, query: Modality, gallery: Modality) -> Search:
    return Search(
        protocol=protocol,
        query="test",
        gallery="test",
        query_modality=query,
        gallery_modality=gallery,
        across_cameras=False,
    )


LAYOUT = Layout(
    name="regdb",
    title="RegDB",
    cross_modal=True,
    signs=(("Visible", "Thermal", "idx"),),
    reader=read,
    obtain=(
        "RegDB (Nguyen et al., Sensors 2017) is Dongguk University's DBPerson-Recog-DB1, "
        "given out for research on a signed form."
    ),
    protocols=("regdb/visible-to-thermal", "regdb/thermal-to-visible"),
    validation="regdb/visible-to-thermal",
    searches=(
        _direction("regdb/visible-to-thermal", Modality.VISIBLE, Modality.INFRARED),
        _direction("regdb/thermal-to-visible", Modality.INFRARED, Modality.VISIBLE),
    ),
    # 412 people with ten images in each light, halved in every trial.
    expected=tuple(
        Expected(split=split, modality=light, ids=206, images=2060)
        for split in ("train", "test")
        for light in LIGHTS.values()
    ),
    trials=TRIALS,
    promenade=True,
)
