"""Which images a data set consists of, and where they go: the published layouts, exactly."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from crosslight.data.promenade.arrays import Integers
from crosslight.data.promenade.cameras import INFRARED_CAMERAS, VISIBLE_CAMERAS
from crosslight.data.promenade.factors import Shot, Spectrum
from crosslight.data.promenade.layout_files import regdb_lists, sysu_files
from crosslight.data.promenade.recipe import LayoutName, Plan, PlannedImage, PresetName, Recipe
from crosslight.data.promenade.world import CROWD_SIZE, CROWD_START, World

_PLAN_STREAM, _JUNK_STREAM, _FACING_STREAM = 31, 37, 41
_REGDB_CAMERA, _REGDB_IMAGES = 4, 10
_JUNK_INDEX = 10_000


@dataclass(frozen=True, kw_only=True)
class _SysuSize:
    """People per split, and the range of images per person and (visible, infrared) camera."""

    train: int
    val: int
    test: int
    train_images: tuple[tuple[int, int], tuple[int, int]]
    val_images: tuple[tuple[int, int], tuple[int, int]]
    test_images: tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class _MarketSize:
    """People per half, range of images per person and camera, distractors, junk."""

    train: int
    test: int
    images: tuple[int, int]
    distractors: int
    junk: int


_SYSU: dict[PresetName, _SysuSize] = {
    "tiny": _SysuSize(
        train=6,
        val=2,
        test=6,
        train_images=((2, 2), (2, 3)),
        val_images=((2, 2), (2, 2)),
        test_images=((2, 2), (2, 2)),
    ),
    "mini": _SysuSize(
        train=120,
        val=24,
        test=40,
        train_images=((3, 4), (5, 6)),
        val_images=((3, 3), (4, 4)),
        test_images=((4, 4), (6, 6)),
    ),
    "small": _SysuSize(
        train=200,
        val=50,
        test=96,
        train_images=((4, 6), (6, 8)),
        val_images=((3, 4), (4, 5)),
        test_images=((13, 15), (13, 15)),
    ),
    "full": _SysuSize(
        train=296,
        val=99,
        test=96,
        train_images=((15, 28), (14, 20)),
        val_images=((5, 7), (9, 11)),
        test_images=((16, 28), (18, 22)),
    ),
}
_REGDB: dict[PresetName, int] = {"tiny": 6, "mini": 60, "small": 120, "full": 412}
_MARKET: dict[PresetName, _MarketSize] = {
    "tiny": _MarketSize(train=5, test=4, images=(1, 2), distractors=4, junk=3),
    "mini": _MarketSize(train=100, test=40, images=(2, 4), distractors=60, junk=40),
    "small": _MarketSize(train=300, test=150, images=(3, 5), distractors=500, junk=300),
    "full": _MarketSize(train=751, test=750, images=(2, 6), distractors=2798, junk=3819),
}
# The share of people whom a camera never saw, as among the test people of SYSU-MM01. Cameras 1 and
# 2 see the same people, and everybody passes camera 6.
_INDOOR_SHARE = 0.58
_MISSED_SHARE = {3: 0.03, 4: 0.02, 5: 0.01}


def _splits(rng: np.random.Generator, sizes: dict[str, int]) -> dict[str, list[int]]:
    people = rng.permutation(sum(sizes.values())) + 1
    splits, start = {}, 0
    for name, size in sizes.items():
        splits[name] = sorted(int(pid) for pid in people[start : start + size])
        start += size
    return splits


def _cameras_of(rng: np.random.Generator, people: list[int]) -> dict[int, set[int]]:
    """The cameras that saw each person."""
    seen: dict[int, set[int]] = {pid: {3, 4, 5, 6} for pid in people}
    count = len(people)
    for pid in rng.permutation(people)[: max(1, round(_INDOOR_SHARE * count))]:
        seen[int(pid)] |= {1, 2}
    for camera, share in _MISSED_SHARE.items():
        for pid in rng.permutation(people)[: round(share * count)]:
            seen[int(pid)].discard(camera)
    return seen


def _plan_sysu(recipe: Recipe) -> Plan:
    size = _SYSU[recipe.preset]
    rng = np.random.default_rng([recipe.seed, _PLAN_STREAM, 0])
    splits = _splits(rng, {"train": size.train, "val": size.val, "test": size.test})
    ranges = {"train": size.train_images, "val": size.val_images, "test": size.test_images}
    infrared = recipe.infrared or Spectrum.NEAR_INFRARED
    images: list[PlannedImage] = []
    counts: dict[tuple[int, int], int] = {}
    for split, people in splits.items():
        seen = _cameras_of(rng, people)
        for pid in people:
            for camera in (*VISIBLE_CAMERAS, *INFRARED_CAMERAS):
                dark = camera in INFRARED_CAMERAS
                low, high = ranges[split][dark]
                count = int(rng.integers(low, high + 1))
                if camera not in seen[pid]:
                    continue
                counts[camera, pid] = count
                images += [
                    PlannedImage(
                        path=f"cam{camera}/{pid:04d}/{index + 1:04d}.jpg",
                        pid=pid,
                        person=pid,
                        camera=camera,
                        index=index,
                        spectrum=infrared if dark else Spectrum.VISIBLE,
                        split=split,
                    )
                    for index in range(count)
                ]
    ids = size.train + size.val + size.test
    files = sysu_files(splits, counts, ids, recipe.seed)
    return Plan(ids=ids, images=tuple(images), files=files)


def _facing(seed: int, pid: int) -> float:
    """In RegDB a person is seen either from the front or from the back."""
    return (0.0, np.pi)[np.random.default_rng([seed, _FACING_STREAM, pid]).integers(2)]


def _plan_regdb(recipe: Recipe) -> Plan:
    ids = _REGDB[recipe.preset]
    world = World(recipe.seed, ids, difficulty=recipe.difficulty)
    images, serial = [], 0
    paths: dict[str, dict[int, list[str]]] = {"visible": {}, "thermal": {}}
    for pid in range(1, ids + 1):
        sex = "female" if world.person(pid).body.sex > 0.5 else "male"
        side = "back" if _facing(recipe.seed, pid) else "front"
        for spectrum, letter in ((Spectrum.VISIBLE, "v"), (Spectrum.THERMAL, "t")):
            names = [
                f"{spectrum.value.title()}/{pid}/"
                f"{sex}_{side}_{letter}_{serial + index + 1:05d}_{pid}.bmp"
                for index in range(_REGDB_IMAGES)
            ]
            serial += _REGDB_IMAGES
            paths[spectrum.value][pid] = names
            images += [
                PlannedImage(
                    path=name,
                    pid=pid,
                    person=pid,
                    camera=_REGDB_CAMERA,
                    index=index,
                    spectrum=spectrum,
                    split="all",
                    manner="paired",
                )
                for index, name in enumerate(names)
            ]
    return Plan(ids=ids, images=tuple(images), files=regdb_lists(paths, ids, recipe.seed))


def _market_name(pid: int, camera: int, index: int, number: int, detection: int) -> str:
    label = "-1" if pid < 0 else f"{pid:04d}"
    frame = 26 + 25 * number
    return f"{label}_c{camera}s{1 + index % 6}_{frame:06d}_{detection:02d}.jpg"


def _market_images(
    folder: str, split: str, pid: int, camera: int, indices: range, *, by_hand: bool
) -> list[PlannedImage]:
    return [
        PlannedImage(
            path=f"{folder}/{_market_name(pid, camera, index, index, 0 if by_hand else 1)}",
            pid=pid,
            person=pid,
            camera=camera,
            index=index,
            spectrum=Spectrum.VISIBLE,
            split=split,
            manner="hand-drawn" if by_hand else "plain",
        )
        for index in indices
    ]


def _plan_market(recipe: Recipe) -> Plan:
    size = _MARKET[recipe.preset]
    rng = np.random.default_rng([recipe.seed, _PLAN_STREAM, 2])
    splits = _splits(rng, {"train": size.train, "test": size.test})
    images: list[PlannedImage] = []
    for split, people in splits.items():
        for pid in people:
            cameras = sorted(rng.permutation(6)[: rng.integers(3, 7)] + 1)
            for camera in (int(number) for number in cameras):
                count = int(rng.integers(size.images[0], size.images[1] + 1))
                taken = (pid, camera)
                if split == "train":
                    images += _market_images(
                        "bounding_box_train", "train", *taken, range(count), by_hand=False
                    )
                    continue
                images += _market_images("query", "query", *taken, range(1), by_hand=True)
                rest = range(1, count + 1)
                images += _market_images(
                    "bounding_box_test", "gallery", *taken, rest, by_hand=False
                )
                images += _market_images(
                    "gt_bbox", "multi-query", *taken, range(count + 1), by_hand=True
                )
    images += _market_strangers(rng, size, splits["test"])
    return Plan(
        ids=size.train + size.test,
        images=tuple(images),
        files={},
        folders=("gt_query",),
    )


def _market_strangers(
    rng: np.random.Generator, size: _MarketSize, people: list[int]
) -> list[PlannedImage]:
    """Distractors are people of the crowd; junk are bad boxes of test people."""
    images = []
    for number in range(size.distractors + size.junk):
        camera = int(rng.integers(1, 7))
        junk = number >= size.distractors
        pid = -1 if junk else 0
        person = people[rng.integers(len(people))] if junk else CROWD_START + number % CROWD_SIZE
        name = _market_name(pid, camera, number, number, 3 if junk else 2)
        images.append(
            PlannedImage(
                path=f"bounding_box_test/{name}",
                pid=pid,
                person=person,
                camera=camera,
                index=_JUNK_INDEX + number if junk else number,
                spectrum=Spectrum.VISIBLE,
                split="gallery",
                manner="junk" if junk else "plain",
            )
        )
    return images


_PLANNERS: dict[LayoutName, Callable[[Recipe], Plan]] = {
    "sysu-mm01": _plan_sysu,
    "regdb": _plan_regdb,
    "market1501": _plan_market,
}


def plan_images(recipe: Recipe) -> Plan:
    """All images and files of a data set; a pure function of its recipe."""
    return _PLANNERS[recipe.layout](recipe)


def take_shot(world: World, image: PlannedImage) -> Shot:
    """The shot of a planned image; a pure function of the world and the plan."""
    key = (image.person, image.camera, image.index)
    if image.manner == "paired":  # one moment, seen by two cameras side by side
        shot = world.shot(*key, Spectrum.VISIBLE).seen_in(image.spectrum)
        yaw = _facing(world.seed, image.person) + 0.35 * float(np.sin(shot.view.yaw))
        return replace(shot, view=replace(shot.view, yaw=float(yaw)))
    shot = world.shot(*key, image.spectrum)
    if image.manner == "hand-drawn":
        return shot.well_cropped()
    if image.manner == "junk":
        rng = np.random.default_rng([world.seed, _JUNK_STREAM, *key])
        sides: Integers = 2 * rng.integers(2, size=2) - 1
        view = replace(
            shot.view,
            crop_x=float(sides[0] * rng.uniform(0.0, 0.3)),
            crop_y=float(sides[1] * rng.uniform(0.25, 0.6)),
            crop_scale=float(rng.uniform(0.4, 1.3)),
        )
        return replace(shot, view=view)
    return shot
