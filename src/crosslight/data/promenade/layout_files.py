"""The lists that belong to a layout: split files, permutations, trials."""

import csv
import io
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.io import savemat

from crosslight.data.promenade.arrays import Integers
from crosslight.data.promenade.cameras import VISIBLE_CAMERAS
from crosslight.data.promenade.factors import Spectrum
from crosslight.data.promenade.recipe import PlannedImage

_PERMUTATION_STREAM, _TRIAL_STREAM = 43, 47
_TRIALS = 10
_CAMERAS = 6
_MAT_HEADER = b"MATLAB 5.0 MAT-file, made by crosslight Promenade".ljust(116)


def _mat(name: str, value: Integers | np.ndarray[tuple[int, ...], np.dtype[np.object_]]) -> bytes:
    """A MATLAB 5 file without the date that its header usually carries."""
    buffer = io.BytesIO()
    savemat(buffer, {name: value})  # type: ignore[arg-type]  # takes any binary stream
    return _MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :]


def _permutations(
    counts: Mapping[tuple[int, int], int], ids: int, seed: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.object_]]:
    """`cell{camera}{pid}` of `(10, n)` permutations of 1..n, empty where a camera saw nobody."""
    cameras = np.empty((_CAMERAS, 1), object)
    for camera in range(1, _CAMERAS + 1):
        people = np.empty((ids, 1), object)
        for pid in range(1, ids + 1):
            count = counts.get((camera, pid), 0)
            rng = np.random.default_rng([seed, _PERMUTATION_STREAM, camera, pid])
            rows = [rng.permutation(count) + 1 for _ in range(_TRIALS)]
            people[pid - 1, 0] = np.array(rows, np.uint8).reshape(_TRIALS, count)
        cameras[camera - 1, 0] = people
    return cameras


def sysu_files(
    splits: dict[str, list[int]], counts: Mapping[tuple[int, int], int], ids: int, seed: int
) -> dict[str, bytes]:
    """The folder `exp/` of SYSU-MM01.

    Args:
        splits: The people of `train`, `val` and `test`.
        counts: Images per (camera, pid).
        ids: How many people there are.
        seed: For the permutations.
    """
    files = {}
    everybody = sorted(pid for people in splits.values() for pid in people)
    for name, people in {**splits, "available": everybody}.items():
        files[f"exp/{name}_id.txt"] = (",".join(str(pid) for pid in people) + "\n").encode()
        files[f"exp/{name}_id.mat"] = _mat("id", np.array([people], np.uint16))
    files["exp/rand_perm_cam.mat"] = _mat("rand_perm_cam", _permutations(counts, ids, seed))
    return files


def regdb_lists(
    paths: dict[str, dict[int, list[str]]], train: int, ids: int, seed: int
) -> dict[str, bytes]:
    """The folder `idx/` of RegDB: ten halvings of the people.

    Args:
        paths: For `visible` and `thermal`, the images of each person.
        train: How many people are for training.
        ids: How many people there are.
        seed: For the halvings.
    """
    files = {}
    for trial in range(1, _TRIALS + 1):
        rng = np.random.default_rng([seed, _TRIAL_STREAM, trial])
        people = [int(pid) for pid in rng.permutation(ids) + 1]
        halves = {"train": sorted(people[:train]), "test": sorted(people[train:])}
        for half, members in halves.items():
            for light, images in paths.items():
                lines = [
                    f"{path} {label}\n" for label, pid in enumerate(members) for path in images[pid]
                ]
                files[f"idx/{half}_{light}_{trial}.txt"] = "".join(lines).encode()
    return files


CAMERAS_OF_A_WORLD = 10
"""Camera 3 of the second world is camera 13 in a table: no camera is in two worlds."""


def table_files(images: Iterable[PlannedImage], worlds: int) -> dict[str, bytes]:
    """`table.csv` of all images, and a table of the test people for each light that asks.

    In `table.csv` test people are sought by every infrared image among the visible ones. In
    `test-LIGHT.csv` images of that light are the queries; visible ones ask at cameras 1 and 4 and
    are found at 2 and 5, so that no image answers one of its own camera.
    """
    images = list(images)
    tests = [image for image in images if image.split == "test"]
    everyone = {light for light in Spectrum if light != "visible"}
    files = {"table.csv": _table(images, everyone, worlds)}
    for light in dict.fromkeys(image.spectrum for image in tests):
        if light == Spectrum.VISIBLE:
            shown = [image for image in tests if image.spectrum == light]
        else:
            shown = [image for image in tests if image.spectrum in (light, Spectrum.VISIBLE)]
        files[f"test-{light.value}.csv"] = _table(shown, {light}, worlds)
    return files


def _table(images: Iterable[PlannedImage], asking: set[Spectrum], worlds: int) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("path", "pid", "cam", "modality", "split", "spectrum"))
    for image in images:
        visible = image.spectrum == Spectrum.VISIBLE
        asks = image.spectrum in asking and (not visible or image.camera in VISIBLE_CAMERAS[::2])
        split = image.split if image.split != "test" else "query" if asks else "gallery"
        modality = "visible" if visible else "infrared"
        cam = image.camera + CAMERAS_OF_A_WORLD * ((image.person - 1) % worlds)
        rows.writerow((image.path, image.pid, cam, modality, split, image.spectrum.value))
    return text.getvalue().encode()
