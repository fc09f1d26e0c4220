"""Which gallery images a trial draws, image for image as the two published samplers do.

`seeded` is the draw of the AGW family: `random.seed(trial)`, people in the order of their names,
then cameras, one `random.choice` among the sorted file names. `official` follows the permutations
that the owner of SYSU-MM01 published (`rand_perm_cam.mat`). The two agree on few images, so a
figure from one is not a figure from the other.

For ten shots the seeded family has no rule that works: its public code seeds one generator and
draws from another. Here the images are `random.sample(sorted names, min(shots, n))` from the
generator that the trial seeds.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import loadmat

from crosslight.errors import ConfigError, ProtocolError
from crosslight.evaluation.features import Features
from crosslight.evaluation.scoring import Sampler
from crosslight.files import file_name

IntArray = npt.NDArray[np.int64]
Groups = Mapping[tuple[int, int], IntArray]
"""(camera, person) → rows of the features, in the order of their file names."""

Permutations = Mapping[tuple[int, int], IntArray]
"""(camera, person) → `(trials, n)` permutations of 1..n."""

SAMPLER_TEXT: dict[Sampler, str] = {
    "seeded": "seeded (trial t draws with random.seed(t), people in the order of their zero-padded "
    "numbers, then cameras, then sorted file names)",
    "official": "official (row t of the owner's rand_perm_cam.mat, camera by camera)",
}

_PERMUTATIONS_FILE = "rand_perm_cam.mat"
_WHERE_FOUND = (
    "it is in evaluation/data_split of the public repository of the owner of SYSU-MM01 "
    "(wuancong/SYSU-MM01)"
)


def group_images(features: Features, rows: IntArray) -> dict[tuple[int, int], IntArray]:
    """The images of each (camera, person), ordered by file name; without paths by row.

    Raises:
        ProtocolError: Two rows carry the same camera, person and file name.
    """
    names = (
        None
        if features.paths is None
        else [file_name(path) for path in features.paths[rows].tolist()]
    )
    collected: dict[tuple[int, int], list[tuple[str, int]]] = {}
    cams, pids = features.cams[rows].tolist(), features.pids[rows].tolist()
    for i, row in enumerate(rows.tolist()):
        name = names[i] if names is not None else ""
        collected.setdefault((cams[i], pids[i]), []).append((name, row))
    groups: dict[tuple[int, int], IntArray] = {}
    for (cam, pid), images in collected.items():
        images.sort()
        if names is not None:
            for (name, row), (next_name, next_row) in itertools.pairwise(images):
                if name == next_name:
                    raise ProtocolError(
                        f"Rows {row} and {next_row} both are {name} of camera {cam}, person {pid}; "
                        "keep one row per image."
                    )
        groups[cam, pid] = np.array([row for _, row in images], dtype=np.int64)
    return groups


def people_by_name(groups: Iterable[tuple[int, int]]) -> list[int]:
    """The distinct people of (camera, person) pairs in the order of their zero-padded names."""
    return sorted({pid for _, pid in groups}, key=lambda pid: f"{pid:04d}")


def seeded_gallery(groups: Groups, cams: Sequence[int], *, trial: int, shots: int) -> IntArray:
    """Rows drawn by the seeded sampler, person by person, then in the order of `cams`.

    Args:
        groups: The images.
        cams: The gallery cameras in drawing order.
        trial: 0-based number of the trial; it is the seed.
        shots: Images per person and camera; all where a person has fewer.
    """
    generator = random.Random(trial)
    drawn: list[int] = []
    for pid in people_by_name(groups):
        for cam in cams:
            if (cam, pid) not in groups:
                continue
            images = groups[cam, pid].tolist()
            if shots == 1:
                drawn.append(generator.choice(images))
            else:
                drawn.extend(generator.sample(images, min(shots, len(images))))
    return np.array(drawn, dtype=np.int64)


def official_gallery(
    groups: Groups,
    cams: Sequence[int],
    permutations: Permutations,
    *,
    trial: int,
    shots: int,
) -> IntArray:
    """Rows drawn by the owner's permutations, camera by camera, then person by person.

    Args:
        groups: The images, as `numbered_images` gives them.
        cams: The gallery cameras in drawing order.
        permutations: The owner's permutations.
        trial: 0-based row of the permutations.
        shots: Images per person and camera.

    Raises:
        ProtocolError: The permutations do not fit the images.
    """
    drawn: list[int] = []
    for cam in cams:
        for pid in sorted({who for camera, who in groups if camera == cam}):
            images = groups[cam, pid]
            order = permutations.get((cam, pid))
            known = 0 if order is None else order.shape[1]
            if order is None or known != len(images):
                raise ProtocolError(
                    f"The permutations know {known} images of cam{cam}/{pid:04d}, the features "
                    f"hold {len(images)}; give the features of the whole test set of SYSU-MM01, or "
                    "use --sampler seeded."
                )
            if trial >= len(order):
                raise ProtocolError(
                    f"The permutations hold {len(order)} trials, but trial {trial + 1} is asked "
                    f"for; use at most {len(order)} trials."
                )
            drawn.extend(images[order[trial, :shots] - 1].tolist())
    return np.array(drawn, dtype=np.int64)


def numbered_images(features: Features, groups: Groups, cams: Sequence[int]) -> Groups:
    """The images of the given cameras with number k, the file whose stem is k, at place k - 1.

    The owner's code reads the permutations as positions, others read them as file names; the two
    are the same gallery only if the stems are 1, 2, ... n. Features without paths are taken by
    position.

    Raises:
        ProtocolError: A stem is not a number, or numbers are missing.
    """
    if features.paths is None:
        return groups
    numbered: dict[tuple[int, int], IntArray] = {}
    for (cam, pid), rows in groups.items():
        if cam not in cams:
            continue
        stems = [file_name(path).rsplit(".", 1)[0] for path in features.paths[rows].tolist()]
        numbers = [int(stem) if stem.isascii() and stem.isdigit() else 0 for stem in stems]
        missing = sorted(set(range(1, len(rows) + 1)) - set(numbers))
        if missing:
            raise ProtocolError(
                f"The {len(rows)} images of cam{cam}/{pid:04d} should be numbered 1 to "
                f"{len(rows)} without gaps, but there is no number {missing[0]}; complete the "
                "features, or use --sampler seeded."
            )
        numbered[cam, pid] = rows[np.argsort(numbers)]
    return numbered


def load_permutations(path: Path | str) -> dict[tuple[int, int], IntArray]:
    """The permutations of a `rand_perm_cam.mat`, given the file or the root of SYSU-MM01.

    In a folder the file is looked for in `exp/` and beside it.

    Raises:
        ConfigError: The file is not there or is something else.
    """
    path = Path(path)
    if path.is_dir():
        places = [path / "exp" / _PERMUTATIONS_FILE, path / _PERMUTATIONS_FILE]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ConfigError(
                f"There is no {_PERMUTATIONS_FILE} in {path / 'exp'} or {path}; copy it there "
                f"({_WHERE_FOUND})."
            )
        path = found
    if not path.is_file():
        raise ConfigError(
            f"{path} is not a file; give the path of {_PERMUTATIONS_FILE} ({_WHERE_FOUND})."
        )
    permutations: dict[tuple[int, int], IntArray] = {}
    try:
        for cam, people in enumerate(loadmat(path)["rand_perm_cam"].ravel(), start=1):
            for pid, order in enumerate(people.ravel(), start=1):
                if order.size:
                    permutations[cam, pid] = np.atleast_2d(order).astype(np.int64)
    except Exception as error:  # on foreign bytes the reader fails in a dozen ways
        raise ConfigError(
            f"{path} does not hold the table 'rand_perm_cam' (cameras, then people, then trials x "
            f"images); obtain the original file: {_WHERE_FOUND}."
        ) from error
    for (cam, pid), order in permutations.items():
        if not np.array_equal(
            np.sort(order, axis=1), np.broadcast_to(np.arange(1, order.shape[1] + 1), order.shape)
        ):
            raise ConfigError(
                f"Camera {cam}, person {pid} of {path} is not a permutation of "
                f"1..{order.shape[1]}; obtain the original file: {_WHERE_FOUND}."
            )
    return permutations
